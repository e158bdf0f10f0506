"""What each kind of layer does to the axes of its input: one function a rule of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from net2net_cli.axes import Axis, Number, product, total, widths
from net2net_cli.errors import SpecError
from net2net_cli.layers.table import LAYER_TYPES, LayerType
from net2net_cli.layers.zero import maps_zero
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.lines import channels, features, lookup, norm
from net2net_cli.layout import ALL, EACH, MEAN, NOTHING, ZERO, Data, integer, place_of
from net2net_cli.network import Layer

LINEAR = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d")


def apply_layer(builder: Builder, layer: Layer) -> Data:
    """Lay one layer out: unify its input's axes with its own, add its tensors, give its output.

    Raises SpecError where the input does not fit.
    """
    kind = LAYER_TYPES[layer.type]
    inputs = [builder.values[name] for name in layer.inputs]
    if kind.inputs == "many":
        return _JOINS[kind.rule](builder, layer, inputs)
    return _RULES[kind.rule](builder, layer, kind, inputs[0])


def _pointwise(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    bears = EACH
    if maps_zero(kind, layer.args):
        bears |= ZERO | (MEAN if data.settled or layer.type in LINEAR else NOTHING)
    for axis in data.axes:
        builder.demand(axis, bears, layer.name, f"{layer.type} acts on each channel alone")
    return data


def _softmax(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    at = 0 if layer.type == "Softmax2d" else axis_index(layer, "dim", data)
    for index, axis in enumerate(data.axes):
        bears = NOTHING if index == at else EACH
        builder.demand(axis, bears, layer.name, f"{layer.type} normalises over it")
    return Data(data.axes)


def axis_index(layer: Layer, argument: str, data: Data) -> int:
    """The axis that an argument of torch's means, which counts the batch as axis 0."""
    dim, count = integer(layer.args[argument]), len(data.axes)
    at = dim + count if dim < 0 else dim - 1
    if not 0 <= at < count:
        raise SpecError(
            f"`{layer.name}` acts on axis {dim}, but its input has {count} axes beside the batch",
            where=place_of(layer, argument),
        )
    return at


def _flatten(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    start, end = axis_index(layer, "start_dim", data), axis_index(layer, "end_dim", data)
    flat = product(*data.axes[start : end + 1])
    return replace(data, axes=(*data.axes[:start], flat, *data.axes[end + 1 :]))


def _permute(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    dims = layer.args["dims"]
    assert isinstance(dims, tuple)
    order = [integer(d) - 1 for d in dims]
    if sorted(order) != list(range(len(data.axes))):
        raise SpecError(
            f"`{layer.name}` permutes axes {[d + 1 for d in order]},"
            f" but its input has axes 1 to {len(data.axes)}",
            where=place_of(layer, "dims"),
        )
    return replace(data, axes=tuple(data.axes[i] for i in order))


def _split_axis(
    builder: Builder, layer: Layer, axis: Axis, inner: Sequence[int], name: str
) -> Axis:
    """View an axis as ``(c inner...)`` and give c."""
    step = 1
    for size in inner:
        step *= size
    whole = builder.unifier.size(axis)
    if whole % step:
        raise SpecError(
            f"`{layer.name}` needs a multiple of {step} channels, but gets {whole}",
            where=layer.place,
        )
    c = builder.unifier.width(name, whole // step)
    builder.unifier.unify(axis, product(c, *(Number(size) for size in inner)), layer.name)
    return c


def _shuffle(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    r = integer(layer.args["upscale_factor"])
    c = _split_axis(builder, layer, data.axes[0], (r, r), layer.name)
    sizes = _fixed_sizes(builder, layer, data.axes[1:])
    return Data((c, *(Number(size * r) for size in sizes)))


def _unshuffle(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    r = integer(layer.args["downscale_factor"])
    sizes = _fixed_sizes(builder, layer, data.axes[1:])
    if any(size % r for size in sizes):
        raise SpecError(
            f"`{layer.name}` needs an image whose sides are multiples of {r}", where=layer.place
        )
    channel = product(data.axes[0], Number(r * r))
    return Data((channel, *(Number(size // r) for size in sizes)))


def _fixed_sizes(builder: Builder, layer: Layer, axes: Sequence[Axis]) -> list[int]:
    for axis in axes:
        if any(widths(axis)):
            builder.demand(axis, NOTHING, layer.name, f"{layer.type} moves features along it")
    return [builder.unifier.size(axis) for axis in axes]


def _channel_shuffle(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    groups, axis = integer(layer.args["groups"]), data.axes[0]
    whole = builder.unifier.size(axis)
    if whole % groups:
        raise SpecError(
            f"`{layer.name}` shuffles {groups} groups, but gets {whole} channels",
            where=place_of(layer, "groups"),
        )
    c = builder.unifier.width(layer.name, whole // groups)
    builder.unifier.unify(axis, product(Number(groups), c), layer.name)
    return Data((product(c, Number(groups)), *data.axes[1:]))


def _maxout(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    at = axis_index(layer, "dim", data)
    c = _split_axis(builder, layer, data.axes[at], (integer(layer.args["pieces"]),), layer.name)
    builder.demand(c, EACH | ZERO, layer.name, "Maxout takes the largest of each channel's pieces")
    return Data((*data.axes[:at], c, *data.axes[at + 1 :]))


def _glu(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    at = axis_index(layer, "dim", data)
    whole = builder.unifier.size(data.axes[at])
    if whole % 2:
        raise SpecError(
            f"`{layer.name}` halves its input, but gets {whole} channels", where=layer.place
        )
    c = builder.unifier.width(layer.name, whole // 2)
    builder.unifier.unify(data.axes[at], product(Number(2), c), layer.name)
    builder.demand(c, EACH | ZERO, layer.name, "GLU gates each channel with its partner")
    return Data((*data.axes[:at], c, *data.axes[at + 1 :]))


def _elementwise(
    builder: Builder, layer: Layer, inputs: Sequence[Data], bears: frozenset[str]
) -> Data:
    """Unify the axes of all inputs; an axis of size 1 is broadcast, as torch does."""
    first = inputs[0]
    for name, data in zip(layer.inputs[1:], inputs[1:], strict=True):
        _same_rank(layer, name, first, data)
        axes = [
            _broadcast(builder, layer, name, a, b)
            for a, b in zip(first.axes, data.axes, strict=True)
        ]
        first = Data(tuple(axes), first.settled and data.settled, first.normed or data.normed)
    for index, axis in enumerate(first.axes):
        sizes = {builder.unifier.size(data.axes[index]) for data in inputs}
        shifts = len(sizes) > 1 and layer.type == "Add"  # zeros do not stay zeros
        allowed = bears - ZERO if shifts else bears
        builder.demand(axis, allowed, layer.name, f"{layer.type} acts on each channel alone")
    return first


def _same_rank(layer: Layer, name: str, first: Data, data: Data) -> None:
    if len(first.axes) != len(data.axes):
        raise SpecError(
            f"`{layer.name}` joins `{layer.inputs[0]}` with {len(first.axes)} axes"
            f" and `{name}` with {len(data.axes)}",
            where=layer.place,
        )


def _broadcast(builder: Builder, layer: Layer, name: str, a: Axis, b: Axis) -> Axis:
    left, right = builder.unifier.size(a), builder.unifier.size(b)
    if left == right:
        builder.unifier.unify(a, b, layer.name)
        return a
    if 1 not in (left, right):
        raise SpecError(
            f"`{layer.name}` joins sizes that differ: {left}, and {right} from `{name}`",
            where=layer.place,
        )
    narrow, wide = (a, b) if left == 1 else (b, a)
    builder.demand(narrow, NOTHING, layer.name, "is broadcast over all channels")
    return wide


def _add(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    return _elementwise(builder, layer, inputs, ALL)


def _multiply(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    return _elementwise(builder, layer, inputs, EACH | ZERO)


def _concat(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    at = axis_index(layer, "dim", inputs[0])
    axes = list(inputs[0].axes)
    for name, data in zip(layer.inputs[1:], inputs[1:], strict=True):
        _same_rank(layer, name, inputs[0], data)
        for index, (a, b) in enumerate(zip(inputs[0].axes, data.axes, strict=True)):
            if index == at:
                continue
            left, right = builder.unifier.size(a), builder.unifier.size(b)
            if left != right:
                raise SpecError(
                    f"`{layer.name}` lays `{layer.inputs[0]}` and `{name}` end to end,"
                    f" but their axis {index + 1} has {left} and {right}",
                    where=layer.place,
                )
            builder.unifier.unify(a, b, layer.name)
    axes[at] = total(*(data.axes[at] for data in inputs))
    return Data(
        tuple(axes), all(data.settled for data in inputs), any(data.normed for data in inputs)
    )


_RULES: dict[str, Callable[[Builder, Layer, LayerType, Data], Data]] = {
    "channels": channels,
    "features": features,
    "norm": norm,
    "lookup": lookup,
    "pointwise": _pointwise,
    "softmax": _softmax,
    "flatten": _flatten,
    "permute": _permute,
    "shuffle": _shuffle,
    "unshuffle": _unshuffle,
    "channel_shuffle": _channel_shuffle,
    "maxout": _maxout,
    "glu": _glu,
}
_JOINS: dict[str, Callable[[Builder, Layer, Sequence[Data]], Data]] = {
    "add": _add,
    "multiply": _multiply,
    "concat": _concat,
}
