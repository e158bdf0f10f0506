"""Layers without parameters that move, cut and view axes: what becomes of their widths.

Moving whole features about bears every expansion; whatever would tear features apart, or mix them
with axes that never grow, keeps its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from net2net_cli.axes import Axis, Number, product, total
from net2net_cli.errors import SpecError
from net2net_cli.layers.kinds import LayerType
from net2net_cli.layers.shapes import unfolded
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.viewing import (
    axis_index,
    axis_indices,
    block,
    cut,
    factored,
    grows,
    integers,
    whole_sizes,
)
from net2net_cli.layout import EACH, NOTHING, ZERO, Data, integer, place_of
from net2net_cli.network import Layer


def flatten(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Several axes as one product."""
    start, end = axis_index(layer, "start_dim", data), axis_index(layer, "end_dim", data)
    flat = product(*data.axes[start : end + 1])
    return replace(data, axes=(*data.axes[:start], flat, *data.axes[end + 1 :]))


def permute(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Axes in another order."""
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


def shuffle(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """PixelShuffle: ``(c r r)`` channels become c, and larger images."""
    r = integer(layer.args["upscale_factor"])
    c = _split_axis(builder, layer, data.axes[0], (r, r), layer.name)
    sizes = _fixed_sizes(builder, layer, data.axes[1:])
    return Data((c, *(Number(size * r) for size in sizes)))


def unshuffle(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """PixelUnshuffle: images become smaller, with ``(c r r)`` channels."""
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
        _keep(builder, layer, axis, f"{layer.type} moves features along it")
    return [builder.unifier.size(axis) for axis in axes]


def channel_shuffle(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """``(groups c)`` becomes ``(c groups)``."""
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


def maxout(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """``(c pieces)`` becomes c."""
    at = axis_index(layer, "dim", data)
    c = _split_axis(builder, layer, data.axes[at], (integer(layer.args["pieces"]),), layer.name)
    builder.demand(c, EACH | ZERO, layer.name, "Maxout takes the largest of each channel's pieces")
    return Data((*data.axes[:at], c, *data.axes[at + 1 :]))


def glu(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Halves of whatever is there share one width."""
    at = axis_index(layer, "dim", data)
    whole = builder.unifier.size(data.axes[at])
    if whole % 2:
        raise SpecError(
            f"`{layer.name}` halves its input, but gets {whole} channels", where=layer.place
        )
    c = block(builder, layer, data.axes[at], 2)
    builder.demand(c, EACH | ZERO, layer.name, "GLU gates each channel with its partner")
    return Data((*data.axes[:at], c, *data.axes[at + 1 :]))


def chunk(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """One of equal blocks of whatever is there: they all share one width."""
    at = axis_index(layer, "dim", data)
    chunks, whole = integer(layer.args["chunks"]), builder.unifier.size(data.axes[at])
    if whole % chunks:
        raise SpecError(
            f"`{layer.name}` cuts {whole} into {chunks} chunks, which are not equal",
            where=place_of(layer, "chunks"),
            hint="name each part by a Slice",
        )
    return _with(data, at, block(builder, layer, data.axes[at], chunks))


def slice_(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """A cut at fixed places; with a step, every so many of an axis that never grows."""
    at = axis_index(layer, "dim", data)
    axis, step = data.axes[at], integer(layer.args["step"])
    end = layer.args["end"]
    given = slice(integer(layer.args["start"]), None if end is None else integer(end), step)
    start, stop, _ = given.indices(builder.unifier.size(axis))
    count = len(range(start, stop, step))
    if not count:
        raise SpecError(f"`{layer.name}` takes nothing of its input", where=layer.place)
    if step > 1:
        _keep(builder, layer, axis, f"{layer.type} takes every {step}th of it")
        return _with(data, at, Number(count))
    before, middle, _ = cut(builder, layer, axis, start, stop)
    ends = {"start": before, "end": total(before, middle) if start else middle}
    builder.arguments[layer.name] = {
        name: (axis,) for name, axis in ends.items() if _counts(layer.args[name])
    }
    return _with(data, at, middle)


def select(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """One feature of an axis, which is no axis then."""
    at, index = axis_index(layer, "dim", data), integer(layer.args["index"])
    size = builder.unifier.size(data.axes[at])
    if not -size <= index < size:
        raise SpecError(
            f"`{layer.name}` selects {index} of {size}",
            where=place_of(layer, "index"),
            hint=f"give an index from {-size} to {size - 1}",
        )
    before, one, _ = cut(builder, layer, data.axes[at], index % size, index % size + 1)
    _keep(builder, layer, one, "Select takes one of it")
    builder.arguments[layer.name] = {"index": (before,)} if index >= 0 else {}
    return replace(data, axes=(*data.axes[:at], *data.axes[at + 1 :]))


def unflatten(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """An axis as a product, outermost first."""
    at, wanted = axis_index(layer, "dim", data), integers(layer.args["unflattened_size"])
    size = builder.unifier.size(data.axes[at])
    sizes = whole_sizes(layer, "unflattened_size", wanted, size)
    parts = factored(builder, layer, data.axes[at], sizes)
    builder.arguments[layer.name] = {"unflattened_size": parts}
    return replace(data, axes=(*data.axes[:at], *parts, *data.axes[at + 1 :]))


def reshape(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Axes flattened and viewed otherwise, as few of them together as that needs."""
    wanted = integers(layer.args["shape"])
    before = [builder.unifier.size(axis) for axis in data.axes]
    after = whole_sizes(layer, "shape", wanted, builder.unifier.size(product(*data.axes)))
    axes: list[Axis] = []
    for olds, news in _groups(before, after):
        flat = product(*(data.axes[i] for i in olds))
        if news:
            axes += factored(builder, layer, flat, [after[j] for j in news], len(axes))
        else:
            _keep(builder, layer, flat, "Reshape leaves out an axis of size 1")
    builder.arguments[layer.name] = {"shape": tuple(axes)}
    return replace(data, axes=tuple(axes))


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Which old axes become which new ones: the smallest groups of equal products, in order."""
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        olds: list[int] = []
        news: list[int] = []
        left = right = 1
        while (not olds and not news) or left != right:
            if left <= right and i < len(before):
                olds.append(i)
                left, i = left * before[i], i + 1
            else:
                news.append(j)
                right, j = right * after[j], j + 1
        found.append((olds, news))
    return found


def transpose(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Two axes in each other's place."""
    one, other = axis_index(layer, "dim0", data), axis_index(layer, "dim1", data)
    axes = list(data.axes)
    axes[one], axes[other] = axes[other], axes[one]
    return replace(data, axes=tuple(axes))


def squeeze(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Without an axis of size 1."""
    at = axis_index(layer, "dim", data)
    if (size := builder.unifier.size(data.axes[at])) != 1:
        raise SpecError(
            f"`{layer.name}` squeezes an axis of size {size}",
            where=place_of(layer, "dim"),
            hint="only an axis of size 1 can be left out",
        )
    _keep(builder, layer, data.axes[at], "Squeeze leaves out an axis of size 1")
    return replace(data, axes=(*data.axes[:at], *data.axes[at + 1 :]))


def unsqueeze(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """With a new axis of size 1; ``dim`` is its place among the axes that there are then."""
    longer = replace(data, axes=(*data.axes, Number(1)))
    at = axis_index(layer, "dim", longer)
    return replace(data, axes=(*data.axes[:at], Number(1), *data.axes[at:]))


def expand(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Axes of size 1 repeated to another size."""
    sizes = integers(layer.args["sizes"])
    before = [builder.unifier.size(axis) for axis in data.axes]
    if len(sizes) != len(before) or any(
        n not in (-1, old) and old != 1 for n, old in zip(sizes, before, strict=True)
    ):
        raise SpecError(
            f"`{layer.name}` cannot expand {before} to {list(sizes)}",
            where=place_of(layer, "sizes"),
            hint="it repeats axes of size 1; write -1 for those that stay",
        )
    axes = []
    for axis, old, new in zip(data.axes, before, sizes, strict=True):
        if new not in (-1, old):
            _keep(builder, layer, axis, "Expand repeats it")
        axes.append(axis if new in (-1, old) else Number(new))
    return replace(data, axes=tuple(axes))


def reorder(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Flip and Roll move features along their axes."""
    for at in axis_indices(layer, "dims", data):
        _keep(builder, layer, data.axes[at], f"{layer.type} moves features along it")
    return data


def pad(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Constants laid before and behind (negative: a cut); other modes along axes that stay."""
    flat = integers(layer.args["pad"])
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[::-1]
    if len(pairs) > len(data.axes):
        raise SpecError(
            f"`{layer.name}` pads {len(pairs)} axes, but its input has {len(data.axes)}"
            " beside the batch",
            where=place_of(layer, "pad"),
        )
    first = len(data.axes) - len(pairs)
    axes = list(data.axes)
    for at, (before, behind) in enumerate(pairs, first):
        axes[at] = _padded(builder, layer, data.axes[at], before, behind)
    zeros = layer.args["mode"] != "constant" or layer.args["value"] == 0
    for axis in data.axes:
        builder.demand(
            axis, EACH | (ZERO if zeros else NOTHING), layer.name, "Pad puts constants beside it"
        )
    return Data(tuple(axes))


def _padded(builder: Builder, layer: Layer, axis: Axis, before: int, behind: int) -> Axis:
    size = builder.unifier.size(axis)
    if size + min(before, 0) + min(behind, 0) < 1:
        raise SpecError(f"`{layer.name}` leaves nothing of its input", where=layer.place)
    if layer.args["mode"] != "constant" and (before or behind):
        _keep(builder, layer, axis, f"Pad with mode {layer.args['mode']} runs along it")
        return Number(size + before + behind)
    kept = axis
    if before < 0 or behind < 0:
        kept = cut(builder, layer, axis, max(-before, 0), size - max(-behind, 0))[1]
    sides = (Number(max(before, 0)), kept, Number(max(behind, 0)))
    return total(*(side for side in sides if side != Number(0)))


def unfold(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Each window of an image as one vector, the channels outermost."""
    if len(data.axes) != 3:
        raise SpecError(
            f"`{layer.name}` (Unfold) needs 3 axes beside the batch, but gets {len(data.axes)}",
            where=layer.place,
        )
    sizes = _fixed_sizes(builder, layer, data.axes[1:])
    try:
        taps, windows = unfolded(layer.args, tuple(sizes))
    except ValueError as error:
        raise SpecError(f"`{layer.name}` {error}", where=layer.place) from None
    return replace(data, axes=(product(data.axes[0], Number(taps)), Number(windows)))


def _with(data: Data, at: int, axis: Axis) -> Data:
    return replace(data, axes=(*data.axes[:at], axis, *data.axes[at + 1 :]))


def _keep(builder: Builder, layer: Layer, axis: Axis, reason: str) -> None:
    if grows(builder, axis):
        builder.demand(axis, NOTHING, layer.name, reason)


def _counts(value: object) -> bool:
    return isinstance(value, int) and value >= 0
