"""What each kind of layer does to the axes of its input: one function a rule of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from net2net_cli.layers.table import LAYER_TYPES, LayerType
from net2net_cli.layers.zero import maps_zero
from net2net_cli.laying.attention import attention, dot_product
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.joining import add, concat, divide, einsum, matmul, multiply
from net2net_cli.laying.lines import channels, features, lookup, norm
from net2net_cli.laying.moving import (
    channel_shuffle,
    chunk,
    expand,
    flatten,
    glu,
    maxout,
    pad,
    permute,
    reorder,
    reshape,
    select,
    shuffle,
    slice_,
    squeeze,
    transpose,
    unflatten,
    unfold,
    unshuffle,
    unsqueeze,
)
from net2net_cli.laying.recurrent import recurrent
from net2net_cli.laying.reducing import normalize, reduce, softmax
from net2net_cli.laying.tensors import bag, constant, index, parameter
from net2net_cli.layout import EACH, MEAN, NOTHING, ZERO, Data
from net2net_cli.network import Layer

_LINEAR = (
    "Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "StochasticDepth", "Scale",
    "Negative",
)  # fmt: skip


def apply_layer(builder: Builder, layer: Layer) -> Data:
    """Lay one layer out: unify its input's axes with its own, add its tensors, give its output.

    Raises SpecError where the input does not fit.
    """
    kind = LAYER_TYPES[layer.type]
    inputs = [builder.values[name] for name in layer.inputs]
    if kind.most == 0:
        return _SOURCES[kind.rule](builder, layer, kind)
    if kind.rule == "attention":
        return attention(builder, layer, kind, inputs)
    if kind.most != 1:
        return _JOINS[kind.rule](builder, layer, inputs)
    return _RULES[kind.rule](builder, layer, kind, inputs[0])


def _pointwise(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    bears = EACH
    if maps_zero(kind, layer.args):
        bears |= ZERO | (MEAN if data.settled or layer.type in _LINEAR else NOTHING)
    for axis in data.axes:
        builder.demand(axis, bears, layer.name, f"{layer.type} acts on each channel alone")
    return data


_RULES: dict[str, Callable[[Builder, Layer, LayerType, Data], Data]] = {
    "channels": channels,
    "features": features,
    "norm": norm,
    "lookup": lookup,
    "bag": bag,
    "recurrent": recurrent,
    "pointwise": _pointwise,
    "softmax": softmax,
    "reduce": reduce,
    "normalize": normalize,
    "flatten": flatten,
    "permute": permute,
    "shuffle": shuffle,
    "unshuffle": unshuffle,
    "channel_shuffle": channel_shuffle,
    "maxout": maxout,
    "glu": glu,
    "chunk": chunk,
    "slice": slice_,
    "select": select,
    "unflatten": unflatten,
    "reshape": reshape,
    "transpose": transpose,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "expand": expand,
    "reorder": reorder,
    "pad": pad,
    "unfold": unfold,
}
_JOINS: dict[str, Callable[[Builder, Layer, Sequence[Data]], Data]] = {
    "add": add,
    "subtract": add,
    "multiply": multiply,
    "extreme": multiply,
    "divide": divide,
    "concat": concat,
    "matmul": matmul,
    "einsum": einsum,
    "index": index,
    "dot_product": dot_product,
}
_SOURCES: dict[str, Callable[[Builder, Layer, LayerType], Data]] = {
    "parameter": parameter,
    "constant": constant,
}
