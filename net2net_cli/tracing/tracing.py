"""From a module to a spec: export, read, name, fold, write, and check what came out."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from net2net_cli.errors import TraceError
from net2net_cli.spec import Document, Spec, to_spec
from net2net_cli.tracing.branches import Forest, find_branches
from net2net_cli.tracing.checking import Agreement, check
from net2net_cli.tracing.drafts import BATCH, Draft, Flow, Given, Origin, Source
from net2net_cli.tracing.exporting import export
from net2net_cli.tracing.given import Example
from net2net_cli.tracing.graph import read_graph
from net2net_cli.tracing.naming import name_drafts
from net2net_cli.tracing.sharing import shares_of
from net2net_cli.tracing.writing import write


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
    program = export(module, examples, training=False)
    inputs = _inputs(module, examples)
    reader, returned = read_graph(module, program, inputs)
    outputs = [reader.natural(value, Origin("", "", "")).source for value in _flows(returned)]
    drafts = _alive(reader.drafts, outputs)
    _check_all_read(module, drafts)
    name_drafts(drafts, [given.name for given in inputs])
    forest = Forest(drafts, outputs)
    find_branches(forest)
    document = write(forest, inputs, shares_of(module, drafts), {})
    spec = to_spec(document)
    return Traced(document, spec, check(module, spec, examples))


def _inputs(module: nn.Module, examples: Sequence[Example]) -> list[Given]:
    """The network's inputs, named as the arguments of ``forward`` are; a single one ``input``."""
    unnamed = iter(inspect.signature(module.forward).parameters)
    found = []
    for example in examples:
        name = example.name or next(unnamed)
        name = "input" if len(examples) == 1 else name
        found.append(Given(name, (BATCH, *example.shape[1:]), example.dtype))
    return found


def _flows(returned: Sequence[object]) -> list[Flow]:
    found = [value for value in returned if isinstance(value, Flow)]
    if not found:
        raise TraceError("the module returns nothing that depends on its inputs")
    return found


def _check_all_read(module: nn.Module, drafts: Sequence[Draft]) -> None:
    """Every tensor of the state dict is one of a layer's."""
    read = {key for draft in drafts for key in draft.tensors.values()}
    batches = "num_batches_tracked"
    read |= {f"{key.rpartition('.')[0]}.{batches}" for key in read if key.endswith("running_mean")}
    unread = [key for key in module.state_dict() if key not in read]
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        raise TraceError(
            f"the module holds `{unread[0]}`{more}, which it does not use in evaluation mode",
            hint="build it without them (aux_logits=False), so that all of it is grown",
        )


def _alive(drafts: Sequence[Draft], outputs: Sequence[Source]) -> list[Draft]:
    """Those that an output needs."""
    needed: set[Source] = set(outputs)
    for draft in reversed(drafts):
        if draft in needed:
            needed.update(draft.reads)
    return [draft for draft in drafts if draft in needed]
