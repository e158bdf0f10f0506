"""Axes seen otherwise: which one an argument means, an axis as factors, as blocks, or cut in two.

Where an axis holds numbers alone the parts are numbers; elsewhere they are new widths, unified with
the axis, so that what follows learns what it is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from net2net_cli.axes import Axis, Number, product, total, widths
from net2net_cli.errors import SpecError
from net2net_cli.laying.builder import Builder
from net2net_cli.layout import Data, integer, place_of
from net2net_cli.network import Layer, Value


def integers(value: Value) -> tuple[int, ...]:
    """An argument that the spec has checked to be a list of whole numbers."""
    assert isinstance(value, tuple)
    return tuple(integer(item) for item in value)


def axis_index(layer: Layer, argument: str, data: Data) -> int:
    """The axis that an argument of torch's means, which counts the batch as axis 0."""
    return _index(layer, argument, integer(layer.args[argument]), len(data.axes))


def axis_indices(layer: Layer, argument: str, data: Data) -> tuple[int, ...]:
    """As ``axis_index``, for a list of axes."""
    dims = integers(layer.args[argument])
    found = tuple(_index(layer, argument, dim, len(data.axes)) for dim in dims)
    if len(set(found)) < len(found):
        raise SpecError(f"`{layer.name}` names an axis twice", where=place_of(layer, argument))
    return found


def _index(layer: Layer, argument: str, dim: int, count: int) -> int:
    at = dim + count if dim < 0 else dim - 1
    if not 0 <= at < count:
        raise SpecError(
            f"`{layer.name}` acts on axis {dim}, but its input has {count} axes beside the batch",
            where=place_of(layer, argument),
        )
    return at


def grows(builder: Builder, axis: Axis) -> bool:
    """Whether an axis holds any width."""
    return any(widths(builder.unifier.resolve(axis)))


def whole_sizes(layer: Layer, argument: str, wanted: Sequence[int], size: int) -> tuple[int, ...]:
    """Sizes whose product is ``size``, -1 among them filled in. Raises SpecError."""
    known = prod(n for n in wanted if n > 0)
    left, over = divmod(size, known) if known else (0, 1)
    if over or (left != 1 and -1 not in wanted):
        shown = ", ".join(map(str, wanted))
        raise SpecError(
            f"`{layer.name}` cannot view {size} as [{shown}]",
            where=place_of(layer, argument),
            hint=f"-1 stands for what the others leave of {size}",
        )
    return tuple(left if n < 0 else n for n in wanted)


def factored(
    builder: Builder, layer: Layer, axis: Axis, sizes: Sequence[int], first: int = 0
) -> tuple[Axis, ...]:
    """View an axis as the product of axes of those sizes, outermost first; ``first`` numbers the
    first of them in the names of new widths."""
    if len(sizes) == 1:
        return (axis,)
    if not grows(builder, axis):
        return tuple(Number(size) for size in sizes)
    parts = tuple(
        builder.unifier.width(f"{layer.name}.{first + i}", size) if size > 1 else Number(1)
        for i, size in enumerate(sizes)
    )
    builder.unifier.unify(axis, product(*parts), layer.name)
    return parts


def block(builder: Builder, layer: Layer, axis: Axis, count: int) -> Axis:
    """View an axis as ``count`` equal blocks laid end to end, and give the width of each."""
    whole = builder.unifier.size(axis)
    if whole % count:
        raise SpecError(
            f"`{layer.name}` needs a multiple of {count} channels, but gets {whole}",
            where=layer.place,
        )
    if not grows(builder, axis):
        return Number(whole // count)
    c = builder.unifier.width(layer.name, whole // count)
    builder.unifier.unify(axis, product(Number(count), c), layer.name)
    return c


def cut(builder: Builder, layer: Layer, axis: Axis, start: int, stop: int) -> tuple[Axis, ...]:
    """Cut an axis at two places: what lies before, between and behind them."""
    size = builder.unifier.size(axis)
    lengths = (start, stop - start, size - stop)
    if not grows(builder, axis):
        return tuple(Number(length) for length in lengths)
    if lengths[1] == size:
        return Number(0), axis, Number(0)
    names = ("before", "", "behind")
    parts = tuple(
        builder.unifier.width(f"{layer.name}.{name}".rstrip("."), length) if length else Number(0)
        for name, length in zip(names, lengths, strict=True)
    )
    kept = [part for part in parts if part != Number(0)]
    builder.unifier.unify(axis, total(*kept), layer.name)
    return parts
