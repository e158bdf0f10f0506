"""From a module to a spec: export, read, name, fold, write, and check what came out."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from net2net_cli.errors import TraceError, UsageError
from net2net_cli.spec import Document, Spec, to_spec
from net2net_cli.tracing.branches import Forest, find_branches
from net2net_cli.tracing.checking import Agreement, check
from net2net_cli.tracing.drafts import BATCH, NOWHERE, Draft, Flow, Given, Known, Source, Stored
from net2net_cli.tracing.exporting import export
from net2net_cli.tracing.folding import folded
from net2net_cli.tracing.given import Example
from net2net_cli.tracing.graph import read_graph
from net2net_cli.tracing.naming import name_drafts
from net2net_cli.tracing.reader import Reader
from net2net_cli.tracing.sharing import shares_of
from net2net_cli.tracing.training import differences
from net2net_cli.tracing.writing import write

SHOWS = 1e-6
"""How far outputs must be apart for different inputs, so that an error before them would show."""


@dataclass(frozen=True)
class Traced:
    """A module's spec. ``agreement`` says how near the spec's network is to the module;
    ``warnings`` what the spec leaves out."""

    document: Document
    spec: Spec
    agreement: Agreement
    warnings: tuple[str, ...] = ()


def trace(module: nn.Module, examples: Sequence[Example]) -> Traced:
    """The spec of a module, checked against it.

    Raises UsageError where the module does not take such inputs, TraceError where specs cannot say
    what it does, DifferenceError where what was read is not what the module computes.
    """
    inputs = _inputs(module, examples)
    read, outputs = _read(module, examples, inputs, training=False)
    drafts = _alive(read, outputs)
    warnings = _with_training(module, examples, inputs, drafts)
    warnings += _with_unread(module, drafts)
    name_drafts(drafts, [given.name for given in inputs])
    forest = Forest(drafts, outputs)
    find_branches(forest)
    document = write(forest, inputs, shares_of(module, drafts))
    spec = to_spec(document)
    agreement = check(module, spec, examples)
    if agreement.spread < SHOWS:
        warnings.append(
            "with random weights the outputs hardly depend on the inputs: the check says little"
        )
    return Traced(document, spec, agreement, tuple(warnings))


def _read(
    module: nn.Module, examples: Sequence[Example], inputs: Sequence[Given], *, training: bool
) -> tuple[list[Draft], list[Source]]:
    """The layers of one mode, and those that give what the module returns."""
    program = export(module, examples, training=training)
    reader, returned = read_graph(module, program, inputs)
    outputs = [reader.natural(value, NOWHERE).source for value in _flows(returned)]
    return folded(reader.drafts, outputs), outputs


def _with_training(
    module: nn.Module, examples: Sequence[Example], inputs: Sequence[Given], drafts: list[Draft]
) -> list[str]:
    """Adds the layers that training alone runs; returns what is to be said of the difference."""
    try:
        training, _ = _read(module, examples, inputs, training=True)
    except (TraceError, UsageError) as error:
        return [f"training mode could not be read, and is not compared: {error.message}"]
    found = differences(drafts, training)
    drafts += found.added
    said = []
    if found.added:
        names = ", ".join(f"`{name}`" for name in _modules(found.added))
        said.append(f"only training runs {names}: kept as layers that lead to no output")
    if found.changed:
        names = ", ".join(f"`{name}`" for name in _modules(found.changed))
        said.append(f"training computes something else in {names}: the spec is evaluation's")
    return said


def _modules(drafts: Sequence[Draft], shown: int = 3) -> list[str]:
    """The outermost names of the modules of layers, a few of them."""
    paths = [draft.origin.path or draft.word for draft in drafts]
    names = list(dict.fromkeys(path.partition(".")[0] for path in paths))
    return [*names[:shown], "..."] if len(names) > shown else names


def _with_unread(module: nn.Module, drafts: list[Draft]) -> list[str]:
    """Adds what no layer reads of the state dict, as it is; returns what is to be said of it."""
    read = {key for draft in drafts for key in draft.tensors.values()}
    counts = (f"{key.rpartition('.')[0]}.num_batches_tracked" for key in read)
    state = module.state_dict(keep_vars=True)
    unread = [key for key in state if key not in read.union(counts)]
    reader = Reader(module)
    for key in unread:
        reader.flow(Stored(key, state[key], parameter=False), NOWHERE)
    drafts += reader.drafts
    names = list(dict.fromkeys(key.rpartition(".")[0] or key for key in unread))
    if not any(isinstance(state[key], nn.Parameter) for key in unread):
        return []  # buffers that a constant was made of: nothing is lost with them
    listed = ", ".join(f"`{name}`" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return [f"nothing reads the weights of {listed}: they are kept as they are, and never grow"]


def _inputs(module: nn.Module, examples: Sequence[Example]) -> list[Given]:
    """The network's inputs, named as the arguments of ``forward`` are; a single one ``input``."""
    unnamed = iter(inspect.signature(module.forward).parameters)
    found = []
    for number, example in enumerate(examples, 1):
        name = example.name or next(unnamed, f"input{number}")
        name = "input" if len(examples) == 1 else name
        found.append(Given(name, (BATCH, *example.shape[1:]), example.dtype))
    return found


def _flows(returned: Sequence[object]) -> list[Flow]:
    if any(isinstance(value, (Known, Stored)) for value in returned):
        raise TraceError(
            "the module returns a tensor that no input takes part in",
            hint="return what it computes from its inputs alone",
        )
    found = [value for value in returned if isinstance(value, Flow)]
    if not found:
        raise TraceError("the module returns nothing that depends on its inputs")
    return found


def _alive(drafts: Sequence[Draft], outputs: Sequence[Source]) -> list[Draft]:
    """Those that an output needs."""
    needed: set[Source] = set(outputs)
    for draft in reversed(drafts):
        if draft in needed:
            needed.update(draft.reads)
    return [draft for draft in drafts if draft in needed]
