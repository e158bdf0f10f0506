"""Layers that hold or look up tensors: parameters, buffers, constants, and their entries by index.

A parameter's axes write, as a bias' do. What has no inputs is the same for every example: its batch
is one, which is broadcast where it is joined with others.
"""

from __future__ import annotations

from collections.abc import Sequence

from net2net_cli.axes import Axis, Number
from net2net_cli.errors import SpecError
from net2net_cli.layers.constants import constant_shape
from net2net_cli.layers.kinds import LayerType
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.lines import add_tensor
from net2net_cli.laying.viewing import axis_index, grows, integers
from net2net_cli.layout import EACH, MEAN, NOTHING, ZERO, Data, Factor, integer, place_of
from net2net_cli.network import Layer


def parameter(builder: Builder, layer: Layer, kind: LayerType) -> Data:
    """A tensor of the state dict; a buffer's axes never grow."""
    shape, batched = integers(layer.args["shape"]), bool(layer.args["batched"])
    if batched and shape[0] != 1:
        raise SpecError(
            f"`{layer.name}` is batched, but its first axis has {shape[0]} entries",
            where=place_of(layer, "shape"),
            hint="that axis stands for the batch and has size 1; or remove `batched`",
        )
    learned = layer.type == "Parameter"
    axes: tuple[Axis, ...] = tuple(
        builder.unifier.width(f"{layer.name}.{at}", size) if size > 1 and learned else Number(size)
        for at, size in enumerate(shape)
    )
    factors = tuple((Factor(axis, "write"),) for axis in axes)
    add_tensor(builder, layer, kind.tensors[0], factors, settled=False)
    builder.arguments[layer.name] = {"shape": axes}
    return Data(axes[1:] if batched else axes)


def constant(builder: Builder, layer: Layer, kind: LayerType) -> Data:
    """A tensor that the spec writes out."""
    try:
        return Data(tuple(Number(size) for size in constant_shape(layer.args)))
    except ValueError as error:
        raise SpecError(f"`{layer.name}` {error}", where=layer.place) from None


def index(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """Entries of one axis, in the order that a buffer or constant of whole numbers says."""
    data, where = inputs
    source = next((la for la in builder.spec.layers if la.name == layer.inputs[1]), None)
    if source is None or source.type not in ("Buffer", "Constant"):
        raise SpecError(
            f"`{layer.name}` takes entries by `{layer.inputs[1]}`, which differs between examples",
            where=layer.place,
            hint="the second input is a Buffer or a Constant of whole numbers",
        )
    at = axis_index(layer, "dim", data)
    if grows(builder, data.axes[at]):
        reason = "IndexSelect takes its entries by their places"
        builder.demand(data.axes[at], NOTHING, layer.name, reason)
    return Data((*data.axes[:at], *where.axes, *data.axes[at + 1 :]), data.settled, data.normed)


def bag(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """EmbeddingBag: the mean, sum or largest of the vectors of several ids."""
    if len(data.axes) != 1:
        raise SpecError(
            f"`{layer.name}` (EmbeddingBag) needs 1 axis of ids beside the batch, but gets"
            f" {len(data.axes)}",
            where=layer.place,
        )
    ids = builder.unifier.width(f"{layer.name}.ids", integer(layer.args["num_embeddings"]))
    out = builder.unifier.width(layer.name, integer(layer.args["embedding_dim"]))
    builder.demand(ids, NOTHING, layer.name, "counts the network's input ids")
    linear = layer.args["mode"] != "max"
    builder.demand(
        out,
        EACH | ZERO | (MEAN if linear else NOTHING),
        layer.name,
        "EmbeddingBag takes the largest of each alone",
    )
    add_tensor(
        builder,
        layer,
        kind.tensors[0],
        ((Factor(ids, "read"),), (Factor(out, "write"),)),
        settled=False,
    )
    builder.arguments[layer.name] = {"num_embeddings": (ids,), "embedding_dim": (out,)}
    return Data((out,))
