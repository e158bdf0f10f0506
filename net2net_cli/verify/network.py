"""A spec and a checkpoint's tensors as a network that runs: the probe's two contestants.

Shares no code with the surgery: torch.nn's modules (modules.py) run in the spec's order, each fed
by the values that it names, each value freed after its last reader. Sizes that the spec leaves out
come from a pass of shapes: plain arithmetic (shapes.py), or torch on its meta device. A state dict
fits when every tensor is used, none is missing, and all shapes agree.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from net2net_cli.errors import SpecError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer, Spec
from net2net_cli.verify.comparison import Mode
from net2net_cli.verify.deferred import weight_bytes
from net2net_cli.verify.division import fill
from net2net_cli.verify.modules import first_line, make_module
from net2net_cli.verify.shapes import shape_after
from net2net_cli.verify.state import load_state

Watch = Callable[[str, Tensor], None]

CONV_BYTES = 64 * 2**20
"""What a convolution may take for its unfolded input: in float64 torch unfolds the whole batch,
230 MB an example in VGG's second layer, so larger batches go through in parts."""


@dataclass(frozen=True)
class Step:
    """One layer as run: its module, and the values that nothing reads after it."""

    layer: Layer
    module: nn.Module
    done: tuple[str, ...]
    columns: int
    """Entries of one example's unfolded input, where the module is a convolution."""
    shape: tuple[int, ...]
    """Of what it gives for one example."""

    def rows(self, dtype: torch.dtype) -> int:
        """How many examples it takes at once, where they are many."""
        size = self.columns * dtype.itemsize
        return max(1, CONV_BYTES // size) if size else sys.maxsize


class Network(nn.Module):
    """The network of a spec; see ``build``. In evaluation mode unless ``as_mode`` says otherwise.

    ``example_bytes`` is about what one example takes at the fullest moment of a pass,
    ``output_bytes`` what its outputs take, ``weight_bytes`` the weights that are there at once.
    """

    def __init__(self, spec: Spec, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.dtype = dtype
        self.steps, self.example_bytes = _lay_out(spec, dtype)
        given = [step for step in self.steps if step.layer.name in spec.outputs]
        self.output_bytes = sum(prod(step.shape) for step in given) * dtype.itemsize
        self.weight_bytes = max((_whole(step.module) for step in self.steps), default=0)
        self._registered = nn.ModuleList(step.module for step in self.steps)
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """One tensor per input of the spec, batch first -> one per output, in the spec's order."""
        return self.watched(inputs)

    def forward_values(
        self, *inputs: Tensor, only: Container[str] | None = None
    ) -> dict[str, Tensor]:
        """Every value by the name of its layer or input, or those of ``only``; none is freed."""
        found: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> None:
            if only is None or name in only:
                found[name] = value

        self.watched(inputs, keep)
        return found

    @property
    def value_bytes(self) -> dict[str, int]:
        """What each layer's value takes for one example."""
        return {s.layer.name: prod(s.shape) * self.dtype.itemsize for s in self.steps}

    def watched(self, inputs: tuple[Tensor, ...], watch: Watch | None = None) -> tuple[Tensor, ...]:
        """As ``forward``; ``watch`` is shown each value as it arises, inputs included."""
        values: dict[str, Tensor] = {}
        for declared, value in zip(self.spec.inputs, inputs, strict=True):
            values[declared.name] = value
            if watch:
                watch(declared.name, value)
        for step in self.steps:
            name = step.layer.name
            values[name] = _call(step, [values[source] for source in step.layer.inputs])
            if watch:
                watch(name, values[name])
            for source in step.done:
                del values[source]
        return tuple(values[name] for name in self.spec.outputs)

    def read_bytes(self, count: int) -> int:
        """What a pass of so many examples reads of the weights."""
        return sum(
            weight_bytes(step.module) * -(-count // step.rows(self.dtype)) for step in self.steps
        )

    @property
    def tracks_statistics(self) -> bool:
        """Whether training mode computes something else than evaluation (dropout aside)."""
        return any(norm.track_running_stats for norm in _norms(self))

    @property
    def mixes_examples(self) -> bool:
        """Whether an example's output depends on its neighbours in evaluation mode too."""
        return any(
            isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
            and not norm.track_running_stats
            for norm in _norms(self)
        )


def build(
    spec: Spec,
    state: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float64,
    *,
    label: str = "",
) -> Network:
    """The network of ``spec`` with the tensors of ``state``, those of floats cast to ``dtype``.

    ``label`` names the checkpoint in errors. SpecError where the spec's shapes do not fit each
    other, CheckpointError where a tensor is missing, unused, or of another shape or kind.
    """
    network = Network(spec, dtype)
    load_state([(step.layer, step.module) for step in network.steps], state, dtype, label)
    return network


@contextmanager
def as_mode(network: Network, mode: Mode) -> Iterator[None]:
    """Puts the network into a mode for a while; running statistics come out as they went in.

    Training mode is that of the norms alone: dropout and RReLU are random and stay off.
    """
    network.eval()
    norms = [] if mode == "evaluation" else _norms(network)
    kept = [(norm, dict(norm.named_buffers())) for norm in norms]
    try:
        for norm, buffers in kept:
            norm.train()
            for name, value in buffers.items():
                setattr(norm, name, value.clone())
        yield
    finally:
        for norm, buffers in kept:
            norm.eval()
            for name, value in buffers.items():
                setattr(norm, name, value)


def _whole(module: nn.Module) -> int:
    """Bytes of weights that are not read piece by piece."""
    if isinstance(module, nn.Linear | nn.Embedding):
        return 0
    return sum(weight.numel() * weight.element_size() for weight in module.parameters())


def _norms(network: Network) -> list[_NormBase]:
    return [step.module for step in network.steps if isinstance(step.module, _NormBase)]


def _lay_out(spec: Spec, dtype: torch.dtype) -> tuple[tuple[Step, ...], int]:
    """Builds each module from the shapes that reach it; also the bytes of one example."""
    last_reader = {source: layer.name for layer in spec.layers for source in layer.inputs}
    values = {
        declared.name: torch.empty((2, *declared.shape), dtype=_flows(declared.dtype, dtype),
                                   device="meta")
        for declared in spec.inputs
    }  # fmt: skip
    steps, peak = [], 0
    for layer in spec.layers:
        read = [_read(values, layer, source) for source in layer.inputs]
        module = make_module(layer, tuple(tuple(value.shape) for value in read))
        values[layer.name] = made = _shape_of(layer, module.to(dtype), read, dtype)
        columns = _columns(module, made)
        live = sum(value.numel() // 2 for value in values.values())
        peak = max(peak, live + columns)
        done = {s for s in layer.inputs if last_reader[s] == layer.name and s not in spec.outputs}
        if layer.name not in last_reader and layer.name not in spec.outputs:
            done.add(layer.name)
        for name in done:
            del values[name]
        shape = tuple(made.shape[1:])
        steps.append(Step(layer, module, tuple(sorted(done)), columns, shape))
    for name in spec.outputs:
        if name not in values:
            raise SpecError(f"output {name} is not a layer", where=spec.place)
    return tuple(steps), peak * dtype.itemsize


def _flows(declared: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype of an input's values: floats run in the network's own."""
    kind: torch.dtype = getattr(torch, declared)
    return dtype if kind.is_floating_point else kind


def _read(values: Mapping[str, Tensor], layer: Layer, source: str) -> Tensor:
    if source not in values:
        raise SpecError(f"{layer.name} reads {source}, which is not there yet", where=layer.place)
    return values[source]


def _shape_of(layer: Layer, module: nn.Module, read: list[Tensor], dtype: torch.dtype) -> Tensor:
    """What the layer gives, on the meta device."""
    _check_floats(layer, module, read)
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # of slow paths, once
            if not read:
                constant: Tensor = module()
                return constant.to("meta")
            shape = shape_after(layer, module, read, dtype)
            made: Tensor = module(*read) if shape is None else read[0].new_empty(shape)
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError) as error:
        shapes = " and ".join(str(list(value.shape[1:])) for value in read)
        raise SpecError(
            f"{layer.name} ({layer.type}) cannot read {shapes}: {first_line(error)}",
            where=layer.place,
        ) from error
    return made


def _check_floats(layer: Layer, module: nn.Module, read: list[Tensor]) -> None:
    """The meta device lets whole numbers into layers that refuse them when they run."""
    looks_up = LAYER_TYPES[layer.type].ids is not None
    computes = not looks_up and any(True for _ in module.parameters())
    if computes and not all(value.is_floating_point() for value in read):
        raise SpecError(
            f"{layer.name} ({layer.type}) reads whole numbers, but computes with floats",
            where=layer.place,
            hint="feed it from an Embedding, or give the input a dtype of floats",
        )


def _columns(module: nn.Module, made: Tensor) -> int:
    if not isinstance(module, _ConvNd):
        return 0
    kernel = torch.Size(module.kernel_size).numel()
    return module.in_channels // module.groups * kernel * made.shape[2:].numel()


def _call(step: Step, read: list[Tensor]) -> Tensor:
    """Runs one layer, a convolution in parts that keep its unfolded input within bounds."""
    if not step.columns:
        made: Tensor = step.module(*read)
        return made
    (values,), count = read, len(read[0])
    rows = step.rows(values.dtype)
    if rows >= count:
        whole: Tensor = step.module(values)
        return whole
    made = values.new_empty(count, *step.shape)
    return fill(made, 0, [*range(0, count, rows), count], lambda a, b: step.module(values[a:b]))
