"""Layers that take one number from a whole axis: means, sums, largest ones, norms, softmax.

What keeps that number: copies in equal number keep a mean, zeros a sum, any copies a largest one.
"""

from __future__ import annotations

from net2net_cli.axes import Number, product
from net2net_cli.layers.kinds import LayerType
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.viewing import axis_index, axis_indices
from net2net_cli.layout import ALL, EACH, MEAN, NOTHING, ZERO, Data, integer
from net2net_cli.network import Layer

_EVEN = frozenset({"even"})
_COPIES = frozenset({"duplicate", "even"})


def softmax(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Normalises over one axis."""
    at = 0 if layer.type == "Softmax2d" else axis_index(layer, "dim", data)
    for index, axis in enumerate(data.axes):
        bears = NOTHING if index == at else EACH
        builder.demand(axis, bears, layer.name, f"{layer.type} normalises over it")
    return Data(data.axes)


def reduce(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Mean, Sum, Amax, Amin, Var and Std over some axes."""
    over = axis_indices(layer, "dim", data)
    bears, what = _borne(layer, data)
    builder.demand(
        product(*(data.axes[at] for at in over)),
        bears,
        layer.name,
        f"{layer.type} is taken over it: {what}",
        joint=layer.type in ("Mean", "Var", "Std"),
    )
    linear = layer.type in ("Mean", "Sum")
    axes = []
    for at, axis in enumerate(data.axes):
        if at not in over:
            axes.append(axis)
            allowed = ALL if linear else EACH | ZERO
            builder.demand(axis, allowed, layer.name, f"{layer.type} is taken for each alone")
        elif layer.args["keepdim"]:
            axes.append(Number(1))
    return Data(tuple(axes), data.settled and linear, data.normed)


def _borne(layer: Layer, data: Data) -> tuple[frozenset[str], str]:
    mean = NOTHING if data.settled or data.normed else MEAN
    match layer.type:
        case "Mean":
            return _EVEN | mean, "only copies in equal number keep it"
        case "Sum":
            return ZERO, "only new features that are zero keep it"
        case "Amax" | "Amin":
            return _COPIES | mean, "only copies keep it"
        case _:
            even = NOTHING if integer(layer.args["correction"]) else _EVEN
            return even, "only copies in equal number keep it, and with `correction: 0` alone"


def normalize(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Normalize divides by a norm over one axis, which zeros keep."""
    at = axis_index(layer, "dim", data)
    for index, axis in enumerate(data.axes):
        if index == at:
            reason = "Normalize divides by the norm over it: only zeros keep it"
            builder.demand(axis, ZERO, layer.name, reason)
        else:
            builder.demand(axis, EACH | ZERO, layer.name, "Normalize acts on each alone")
    return Data(data.axes)
