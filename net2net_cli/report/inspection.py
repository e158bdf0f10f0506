"""A layout as ``inspect`` shows it: every layer, and every width with what it may do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from net2net_cli.axes import Axis, Number, Product, Sum, Width
from net2net_cli.expansion import KINDS
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import EACH, GraphLayout, LaidTensor, Layout, tensor_widths
from net2net_cli.network import Layer, Value
from net2net_cli.spec.arguments import normalise_default


@dataclass(frozen=True)
class LayerRow:
    """A layer; ``arguments`` are those that are not torch's defaults, ``shape`` is what it gives
    for one example, ``parameters`` counts what it owns (running statistics left out)."""

    name: str
    type: str
    arguments: Mapping[str, Value]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class WidthRow:
    """Features that grow together: ``grows`` are the expansions that all members bear, and
    ``reasons`` say who forbids the others. A family's widths have a ``name``."""

    name: str
    size: int
    members: tuple[str, ...]
    grows: tuple[str, ...]
    reasons: tuple[str, ...]


def layer_rows(layout: GraphLayout) -> tuple[LayerRow, ...]:
    """The layers, in the order in which they run."""
    counts = Counter[str]()
    for tensor in layout.tensors.values():
        counts[tensor.layer] += _parameters(tensor)
    return tuple(
        LayerRow(
            layer.name,
            layer.type,
            _arguments(layer),
            layer.inputs,
            tuple(layout.size(axis) for axis in layout.values[layer.name].axes),
            counts[layer.name],
        )
        for layer in layout.spec.layers
    )


@dataclass(frozen=True)
class ModuleRow:
    """A transformer's tensors of one pattern: their axes in arrow notation, the shape of each, how
    many there are, and their parameters together."""

    name: str
    axes: str
    shape: tuple[int, ...]
    count: int
    parameters: int


def module_rows(layout: Layout) -> tuple[ModuleRow, ...]:
    """The tensors of a transformer, those of all blocks on one line where they are alike."""
    found: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
    for tensor in layout.tensors.values():
        key = (f"{tensor.layer}.{tensor.line.name}", arrows(tensor), tensor.shape)
        found.setdefault(key, []).append(prod(tensor.shape))
    return tuple(ModuleRow(*key, len(each), sum(each)) for key, each in found.items())


def arrows(tensor: LaidTensor) -> str:
    """A tensor's axes in arrow notation."""
    sides: dict[str, list[str]] = {"write": [], "read": []}
    for factors in tensor.axes:
        text = " ".join(_notation(factor.axis) for factor in factors)
        sides[factors[0].role].append(f"({text})" if len(factors) > 1 else text)
    written, read = " ".join(sides["write"]), " ".join(sides["read"])
    if not read:
        return written
    first = tensor.axes[0][0].role == "write"
    return f"{written} <- {read}" if first else f"{read} -> {written}"


def _notation(axis: Axis) -> str:
    match axis:
        case Number(size):
            return str(size)
        case Width(name):
            return name
        case Product(parts):
            return "(" + " ".join(_notation(part) for part in parts) + ")"
        case Sum(parts):
            return "(" + " + ".join(_notation(part) for part in parts) + ")"


def count_parameters(layout: Layout) -> int:
    """The parameters of the whole network."""
    return sum(_parameters(tensor) for tensor in layout.tensors.values())


def _parameters(tensor: LaidTensor) -> int:
    return 0 if tensor.line.buffer else prod(tensor.shape)


def width_rows(layout: Layout) -> tuple[WidthRow, ...]:
    """The widths that tensors have, in the network's order."""
    seen: dict[Width, None] = {}
    for tensor in layout.tensors.values():
        seen.update(dict.fromkeys(tensor_widths(tensor)))
    return tuple(
        WidthRow(
            "" if isinstance(layout, GraphLayout) else width.name,
            layout.sizes[width],
            layout.members(width),
            tuple(kind for kind in KINDS if kind in layout.bears(width)),
            _reasons(layout, width),
        )
        for width in seen
    )


def _reasons(layout: Layout, width: Width) -> tuple[str, ...]:
    """Who bears less than a layer that acts on each channel alone."""
    found = {
        f"{demand.layer} {demand.reason}".strip()
        for demand in layout.limits(width)
        if not demand.bears >= EACH
    }
    return tuple(sorted(found))


def _arguments(layer: Layer) -> Mapping[str, Value]:
    kind = LAYER_TYPES[layer.type]
    found = {}
    for argument in kind.args:
        value = layer.args.get(argument.name)
        told = argument.need == "optional" and value == normalise_default(kind, argument)
        if value is not None and not told and argument.need != "inferred":
            found[argument.name] = value
    return found
