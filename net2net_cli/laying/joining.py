"""Layers that join several values: by elements, laid end to end, or as products of matrices.

Values that are joined element by element have one axis where sizes agree; an axis of size 1 is
broadcast, as torch does. An axis that is summed over keeps its sums only where what is new is zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from net2net_cli.axes import Axis, total
from net2net_cli.errors import SpecError
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.viewing import axis_index
from net2net_cli.layout import ALL, EACH, NOTHING, ZERO, Data, place_of
from net2net_cli.network import Layer


def _elementwise(
    builder: Builder, layer: Layer, inputs: Sequence[Data], bears: frozenset[str]
) -> Data:
    """Unify the axes of all inputs; an axis of size 1 is broadcast, as torch does."""
    first = inputs[0]
    for name, data in zip(layer.inputs[1:], inputs[1:], strict=True):
        _same_rank(layer, name, first, data)
        axes = [
            broadcast(builder, layer, name, a, b)
            for a, b in zip(first.axes, data.axes, strict=True)
        ]
        first = Data(tuple(axes), first.settled and data.settled, first.normed or data.normed)
    for index, axis in enumerate(first.axes):
        sizes = {builder.unifier.size(data.axes[index]) for data in inputs}
        shifts = len(sizes) > 1 and layer.type != "Multiply"  # zeros do not stay zeros
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


def broadcast(builder: Builder, layer: Layer, name: str, a: Axis, b: Axis) -> Axis:
    """Unify two axes, or take the wide one where the other has size 1; ``name`` is b's value."""
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


def add(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """Sums and differences: linear, so that means stay means and zeros zeros."""
    return _elementwise(builder, layer, inputs, ALL)


def multiply(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """Products, and larger or smaller ones of two: zeros stay zeros."""
    return _elementwise(builder, layer, inputs, EACH | ZERO)


def concat(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """Laid end to end along one axis, whose widths stand side by side."""
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


def divide(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """Zeros over zeros would be no number."""
    return _elementwise(builder, layer, inputs, EACH)


def matmul(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """``[..., i, k] @ [..., k, j]``: a sum over k, in each of the axes before."""
    left, right = inputs
    _same_rank(layer, layer.inputs[1], left, right)
    if len(left.axes) < 2:
        raise SpecError(f"`{layer.name}` multiplies matrices, not vectors", where=layer.place)
    lead = tuple(
        broadcast(builder, layer, layer.inputs[1], a, b)
        for a, b in zip(left.axes[:-2], right.axes[:-2], strict=True)
    )
    i, k, j = left.axes[-2], left.axes[-1], right.axes[-1]
    _contract(builder, layer, k, right.axes[-2])
    for axis in (*lead, i, j):
        builder.demand(axis, EACH | ZERO, layer.name, "MatMul acts on each of its rows alone")
    return Data((*lead, i, j))


def einsum(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """Axes of one letter are one; those that the result lacks are summed over."""
    *terms, result = re.split(r",|->", str(layer.args["equation"]))
    if [len(term) - 1 for term in terms] != [len(data.axes) for data in inputs]:
        shown = ", ".join(str(len(data.axes) + 1) for data in inputs)
        raise SpecError(
            f"the equation of `{layer.name}` does not fit inputs with {shown} axes",
            where=place_of(layer, "equation"),
            hint="each input has a letter for each axis, the batch first",
        )
    found: dict[str, Axis] = {}
    for term, data in zip(terms, inputs, strict=True):
        for letter, axis in zip(term[1:], data.axes, strict=True):
            if letter in found:
                same_size(builder, layer, letter, found[letter], axis)
            found.setdefault(letter, axis)
    for letter, axis in found.items():
        if letter in result:
            builder.demand(axis, EACH | ZERO, layer.name, "Einsum carries it to its result")
        else:
            builder.demand(axis, ZERO, layer.name, f"Einsum sums over `{letter}`: {_SUMS}")
    return Data(tuple(found[letter] for letter in result[1:]))


_SUMS = "only new features that are zero keep its sums"


def _contract(builder: Builder, layer: Layer, a: Axis, b: Axis) -> None:
    same_size(builder, layer, "", a, b)
    builder.demand(a, ZERO, layer.name, f"{layer.type} sums over it: {_SUMS}")


def same_size(builder: Builder, layer: Layer, letter: str, a: Axis, b: Axis) -> None:
    """Unify two axes that are summed over together; ``letter`` is what an equation calls them."""
    sizes = builder.unifier.size(a), builder.unifier.size(b)
    if sizes[0] != sizes[1]:
        what = f" as `{letter}`" if letter else ""
        raise SpecError(
            f"`{layer.name}` multiplies sizes that differ{what}: {sizes[0]} and {sizes[1]}",
            where=layer.place,
        )
    builder.unifier.unify(a, b, layer.name)
