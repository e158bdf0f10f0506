"""Networks in memory, for notebooks: load a checkpoint, grow a module into a bigger one.

The engine is the command line's; what comes back is the network as ``net2net export`` writes it,
compiled at once: a plain ``nn.Module`` whose source ``inspect.getsource`` shows.
"""

from __future__ import annotations

import linecache
import reprlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from net2net_cli import tracing
from net2net_cli.api import (
    Choices,
    Model,
    Plan,
    RunOptions,
    deepen_plan,
    make_plan,
    open_model,
    widen_plan,
)
from net2net_cli.applying import apply_in_memory
from net2net_cli.calibration import idle
from net2net_cli.errors import DifferenceError, UsageError
from net2net_cli.exporting import exported
from net2net_cli.fits import check_fit
from net2net_cli.io import MemorySource
from net2net_cli.laying import layout_of
from net2net_cli.opening import FamilyModel, SpecModel
from net2net_cli.spec import Document, parse_document, read_document, resolve, to_spec
from net2net_cli.verify.inputs import draw_inputs

__all__ = ["deepen", "grow", "load", "widen"]

SPEC = "net2net_spec"
"""The attribute in which a module that was made here keeps its spec, as text."""

_NUMBERS = count(1)
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.3}
"""How far two modules may be apart that compute the same in a dtype, relative: a wrong activation
is further."""

Inputs = Tensor | Sequence[Tensor]

Calibrating = Inputs | str | Path
"""A batch, or a safetensors file of one."""


def load(path: str | Path, *, source_spec: str | Path | None = None) -> nn.Module:
    """The network of a checkpoint with its weights, on the CPU and in evaluation mode.

    Of a layer spec it is a plain ``nn.Module``, in the checkpoint's dtypes; of a transformer's
    folder what ``from_pretrained`` of its class in transformers gives.

    Raises CheckpointError or SpecError where it cannot be read, UsageError for a transformer that
    is no folder.
    """
    with_spec = None if source_spec is None else str(source_spec)
    model = open_model(str(path), with_spec)
    with model.source as source:
        if isinstance(model, FamilyModel):
            return _transformer(model)
        return _module_of(model, {name: source.tensor(name).clone() for name in source.tensors})


def grow(
    module: nn.Module,
    *,
    spec: str | Path | None = None,
    set: Mapping[str, object] | None = None,  # noqa: A002   as the command's option
    width: str | None = None,
    depth: Sequence[str] = (),
    inputs: Inputs | None = None,
    source_spec: str | Path | None = None,
    expansion: str = "auto",
    split: str = "signed",
    noise: float = 0.0,
    seed: int = 0,
    calibrate: Calibrating | None = None,
    verify: bool = True,
) -> nn.Module:
    """A bigger module that computes what ``module`` does, which stays as it is.

    ``spec`` is a target (it may say ``extends: source``), ``set`` arguments by their names
    (``{"fc1.out_features": 512}``), ``width`` a factor for the whole network (``"x1.5"``),
    ``depth`` units to add (``["layer3=+2"]``); the other options are the command's. What the
    module computes is found by tracing it with ``inputs``, a batch ``[batch, ...]`` as its
    ``forward`` takes it (a tuple of several), or is said by ``source_spec``, a spec's file;
    modules that came from here know it. ``calibrate``, a batch or a file of one, measures the
    running statistics of inserted BatchNorms and of fresh channels, as ``--calibrate`` does.

    The student has the module's dtypes, device and mode. Raises what ``grow`` on the command line
    ends with: UsageError, TraceError, SpecError, UnreachableError, NotPreservedError.
    """
    if not isinstance(set, Mapping | None):
        raise _unfit("set", 'names with values, as {"fc1.out_features": 512}', set)
    if isinstance(depth, str):
        raise _unfit("depth", 'a list of units to add, as ["layer3=+2"]', depth)
    settings = {name: _setting(value) for name, value in (set or {}).items()}
    if spec is None and not settings and width is None and not depth:
        raise UsageError(
            "nothing says what to grow into", hint="give spec=, set=, width= or depth="
        )
    choices = _choices(expansion, split, seed, noise)

    def planned(model: Model) -> Plan:
        return make_plan(
            model,
            spec,
            settings,
            choices,
            width=width,
            depth=tuple(depth),
            calibrated=calibrate is not None,
        )

    return _grown(module, planned, inputs, source_spec, calibrate, verify=verify)


def widen(
    module: nn.Module,
    layer: str,
    to: int,
    *,
    inputs: Inputs | None = None,
    source_spec: str | Path | None = None,
    expansion: str = "auto",
    split: str = "signed",
    noise: float = 0.0,
    seed: int = 0,
    calibrate: Calibrating | None = None,
    verify: bool = True,
) -> nn.Module:
    """As ``grow``, for one width, named by any layer of it: ``to`` features."""
    _check_name("layer", layer)
    _check_number("to", to, 1)
    choices = _choices(expansion, split, seed, noise)

    def planned(model: Model) -> Plan:
        return widen_plan(model, layer, to, choices, calibrated=calibrate is not None)

    return _grown(module, planned, inputs, source_spec, calibrate, verify=verify)


def deepen(
    module: nn.Module,
    after: str,
    *,
    name: str | None = None,
    count: int = 1,
    inputs: Inputs | None = None,
    source_spec: str | Path | None = None,
    seed: int = 0,
    calibrate: Calibrating | None = None,
    verify: bool = True,
) -> nn.Module:
    """As ``grow``, with ``count`` copies of the unit of a layer inserted behind it."""
    _check_name("after", after)
    _check_number("count", count, 1)
    choices = _choices(seed=seed)

    def planned(model: Model) -> Plan:
        return deepen_plan(model, after, name, count, choices, calibrated=calibrate is not None)

    return _grown(module, planned, inputs, source_spec, calibrate, verify=verify)


def _unfit(name: str, fits: str, given: object) -> UsageError:
    """An argument is of another kind."""
    return UsageError(f"{name}= takes {fits}, not {reprlib.repr(given)}")


def _check_name(argument: str, given: object) -> None:
    if not isinstance(given, str):
        raise _unfit(argument, 'a layer by its name, as "fc1" or "0"', given)


def _check_number(argument: str, given: object, least: int) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        raise _unfit(argument, f"a whole number from {least} on", given)


def _choices(
    expansion: str = "auto", split: str = "signed", seed: int = 0, noise: float = 0.0
) -> Choices:
    _check_amounts(seed, noise)
    return Choices(expansion, split, seed, noise)


def _check_amounts(seed: object, noise: object) -> None:
    if not isinstance(seed, int):
        raise _unfit("seed", "a whole number", seed)
    if not isinstance(noise, float | int) or not 0 <= noise < inf:
        raise _unfit("noise", "a number from 0 on", noise)


def _grown(
    module: nn.Module,
    planned: Callable[[Model], Plan],
    inputs: Inputs | None,
    source_spec: str | Path | None,
    calibrate: Calibrating | None,
    *,
    verify: bool,
) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"a module is grown, not a {type(module).__name__}",
            hint="net2net_cli.load gives the module of a checkpoint",
        )
    with _modes_kept(module):
        model = _model_of(module, inputs, source_spec)
        with _calibrating(calibrate, model) as data:
            options, plan = RunOptions(verify=verify, calibrate=data), planned(model)
            for warning in idle(plan, data, "calibrate="):
                warnings.warn(warning, stacklevel=3)
            student, state = apply_in_memory(plan, model, options)
        made = _module_of(student, state)
        made.to(next(iter(module.state_dict().values())).device)
        if verify:
            _compare(module, made, model)
    return made.train(module.training)


def _model_of(
    module: nn.Module, inputs: Inputs | None, source_spec: str | Path | None
) -> SpecModel:
    """The module as a checkpoint that is opened, and its spec."""
    label = type(module).__name__
    if type(module).__module__.startswith("transformers."):
        raise UsageError(
            f"{label} is a transformer, which is grown as a folder",
            hint="save_pretrained it, and give the folder to `net2net grow`",
        )
    document, found = _document(module, inputs, source_spec)
    source = MemorySource(module.state_dict(), label)
    spec = to_spec(document)
    layout = layout_of(spec)
    check_fit(layout, source.tensors, label)
    return SpecModel(source, layout, found, (), document, spec)


def _document(
    module: nn.Module, inputs: Inputs | None, source_spec: str | Path | None
) -> tuple[Document, str]:
    if source_spec is not None:
        return resolve(read_document(Path(source_spec)), None), str(source_spec)
    if inputs is not None:
        given = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        if not given or not all(isinstance(one, Tensor) for one in given):
            raise _unfit("inputs", "a batch as a tensor, or several in a tuple", inputs)
        return tracing.trace(module, [_example(one) for one in given]).document, "traced"
    said = getattr(module, SPEC, None)
    if isinstance(said, str):
        return parse_document(said, "the module's spec"), "its own"
    raise UsageError(
        f"what {type(module).__name__} computes has to be traced",
        hint="give inputs=, a batch as its forward takes it, or source_spec=, a spec's file",
    )


@contextmanager
def _calibrating(given: Calibrating | None, model: SpecModel) -> Iterator[Path | None]:
    """The file that holds a batch, by the names of the network's inputs."""
    if given is None or isinstance(given, str | Path):
        yield None if given is None else Path(given)
        return
    batch = (given,) if isinstance(given, Tensor) else tuple(given)
    names = [declared.name for declared in model.spec.inputs]
    if len(batch) != len(names) or not all(isinstance(one, Tensor) for one in batch):
        count = f"{len(names)} tensors in a tuple" if len(names) > 1 else "a batch as a tensor"
        raise _unfit("calibrate", f"{count}, or a safetensors file", given)
    with TemporaryDirectory() as folder:
        file = Path(folder, "calibrate.safetensors")
        held = zip(names, batch, strict=True)
        save_file({name: one.detach().cpu().contiguous().clone() for name, one in held}, file)
        yield file


def _example(batch: Tensor) -> tracing.Example:
    dtype = str(batch.dtype).removeprefix("torch.")
    return tracing.Example(None, tuple(batch.shape), dtype, batch.detach().cpu())


def _setting(value: object) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _module_of(model: Model, state: Mapping[str, Tensor]) -> nn.Module:
    """The exported class, compiled, with those tensors as its own; in evaluation mode."""
    text = exported(model)
    file = f"<net2net network {next(_NUMBERS)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    home = ModuleType(file[1:-1].replace(" ", "_"))
    home.__file__ = file
    sys.modules[home.__name__] = home  # where inspect and pickle look for a class
    exec(compile(text, file, "exec"), vars(home))  # noqa: S102   our own text
    made: nn.Module = home.Network()
    made.load_state_dict(state, strict=True, assign=not model.layout.aliases)
    setattr(made, SPEC, model.text)
    return made.eval()


def _compare(teacher: nn.Module, student: nn.Module, model: SpecModel) -> None:
    """Both modules themselves, on the same inputs, in their own dtype and evaluation mode: what
    the probe sees are networks of specs. Raises DifferenceError."""
    floats = [v for v in teacher.state_dict().values() if v.is_floating_point()]
    dtype = floats[0].dtype if floats else torch.float32
    device = floats[0].device if floats else torch.device("cpu")
    batch = [
        value.to(device, dtype if value.is_floating_point() else None)
        for value in draw_inputs(model.spec, 4, 0).values()
    ]
    with torch.no_grad():
        expected, found = (_tensors(network.eval()(*batch)) for network in (teacher, student))
    for ours, theirs in zip(expected, found, strict=True):
        scale = float(ours.abs().max()) or 1.0
        error = float((ours.double() - theirs.double()).abs().max()) / scale
        if not error <= _ROUNDING.get(dtype, 1e-3):
            raise DifferenceError(
                f"{type(teacher).__name__} does not compute what its spec says: the student's"
                f" outputs differ by {error:.1e}, relative",
                hint="does source_spec= describe this module? inputs= traces it",
            )


def _tensors(made: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]


@contextmanager
def _modes_kept(module: nn.Module) -> Iterator[None]:
    """Every part of a module comes out in the mode in which it went in."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _transformer(model: FamilyModel) -> nn.Module:
    import transformers

    if model.folder is None:
        raise UsageError(
            "a transformer is loaded from its folder, with its config.json",
            where=model.source.label,
        )
    said = model.laid.config.get("architectures")
    name = said[0] if isinstance(said, list) and said else "AutoModel"
    kind = getattr(transformers, str(name), transformers.AutoModel)
    loaded: nn.Module = kind.from_pretrained(str(model.folder), local_files_only=True)
    return loaded
