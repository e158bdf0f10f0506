"""A layout as ``inspect`` shows it: every layer, and every width with what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from net2net_cli.axes import Width
from net2net_cli.expansion import KINDS
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import EACH, GraphLayout, Layout, tensor_widths
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
    ``reasons`` say who forbids the others."""

    size: int
    members: tuple[str, ...]
    grows: tuple[str, ...]
    reasons: tuple[str, ...]


def layer_rows(layout: GraphLayout) -> tuple[LayerRow, ...]:
    """The layers, in the order in which they run."""
    return tuple(
        LayerRow(
            layer.name,
            layer.type,
            _arguments(layer),
            layer.inputs,
            tuple(layout.size(axis) for axis in layout.values[layer.name].axes),
            count_parameters(layout, layer.name),
        )
        for layer in layout.spec.layers
    )


def count_parameters(layout: Layout, layer: str | None = None) -> int:
    """The parameters of a layer, or of the whole network."""
    return sum(
        prod(tensor.shape)
        for tensor in layout.tensors.values()
        if not tensor.line.buffer and layer in (None, tensor.layer)
    )


def width_rows(layout: Layout) -> tuple[WidthRow, ...]:
    """The widths that tensors have, in the network's order."""
    seen: dict[Width, None] = {}
    for tensor in layout.tensors.values():
        seen.update(dict.fromkeys(tensor_widths(tensor)))
    return tuple(
        WidthRow(
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
