"""``width: x1.4``: every width of a network that can grow, by one factor.

An axis that is a product (groups of channels) grows by one of its widths; inputs and outputs stay.
A width that cannot grow, or not by about the factor, stays as well, and is told with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import prod

from net2net_cli.axes import Axis, Number, Product, Sum, Width, size_of, widths
from net2net_cli.choosing import refusals
from net2net_cli.errors import Place, UnreachableError
from net2net_cli.expansion import KINDS
from net2net_cli.layout import GraphLayout, tensor_widths
from net2net_cli.targets.factors import Rounded
from net2net_cli.targets.sizes import best, name, scaled

COUNTS = ("groups", "num_groups")
"""Arguments that count a part of an axis whose whole another one counts."""

_LARGEST = Fraction(5, 4)
"""A width does not grow by more than this share beyond the factor: it stays."""


@dataclass(frozen=True)
class Scaling:
    """New sizes, and the widths that stay with the reason, in the network's order."""

    sizes: Mapping[Width, Rounded]
    stays: Mapping[Width, str]


def scale_all(
    layout: GraphLayout, factor: Fraction, settled: Mapping[Width, int], place: Place
) -> Scaling:
    """Every width that can grow by about a factor, but for those whose sizes are ``settled``.

    Raises UnreachableError (exit 3) where nothing can.
    """
    if factor < 1:
        raise UnreachableError(
            f"`width: x{float(factor):g}` shrinks the network",
            where=place,
            hint="a student is never smaller than its teacher",
        )
    sizes: dict[Width, Rounded] = {}
    stays: dict[Width, str] = {}
    met = set(settled)
    ends = set(_end_widths(layout))
    for term in _terms(layout):
        new = [w for w in dict.fromkeys(term) if w not in met]
        grows = any(w in sizes or settled.get(w, 0) > layout.sizes[w] for w in term)
        met.update(new)
        if grows or not new:
            continue
        whole = Product(term)
        width = best(layout, whole, new, factor)
        if width is None:
            reasons = {w: refusals(layout, w, frozenset(KINDS)) for w in new if w not in ends}
            stays.update(reasons)
            continue
        found = _scaled(layout, term, width, factor)
        if found.size > found.before or factor == 1:
            sizes[width] = found
        else:
            stays[width] = _too_coarse(layout, width, found)
    _keep_joint(layout, sizes, stays, settled)
    _keep_tied(layout, sizes, stays, settled)
    if not sizes and not settled and factor != 1:
        raise _nothing(layout, factor, stays, place)
    return Scaling(sizes, stays)


def _terms(layout: GraphLayout) -> Iterator[tuple[Width, ...]]:
    """The widths of every axis, those of a product together: axes of values first, which widths
    inside of layers do not have."""
    for data in layout.values.values():
        for axis in data.axes:
            yield from _products(axis)
    for counted in layout.arguments.values():
        for argument, axes in counted.items():
            if argument not in COUNTS:
                for axis in axes:
                    yield from _products(axis)
    for tensor in layout.tensors.values():
        yield from ((width,) for width in tensor_widths(tensor))


def _products(axis: Axis) -> list[tuple[Width, ...]]:
    """The terms of an axis multiplied out, each as its widths."""
    match axis:
        case Number():
            return [()]
        case Width():
            return [(axis,)]
        case Product(factors):
            return [sum(terms, ()) for terms in product(*map(_products, factors))]
        case Sum(terms):
            return [term for part in terms for term in _products(part)]


def _end_widths(layout: GraphLayout) -> Iterator[Width]:
    """The widths of the network's inputs and outputs."""
    for given in (*(i.name for i in layout.spec.inputs), *layout.spec.outputs):
        for axis in layout.values[given].axes:
            yield from widths(axis)


def _scaled(
    layout: GraphLayout, term: tuple[Width, ...], width: Width, factor: Fraction
) -> Rounded:
    found = scaled(layout, Product(term), width, factor)
    if found.size <= found.wanted * _LARGEST:
        return found
    unit = prod(layout.sizes[w] for w in term if w != width)
    below = found.size - found.multiple // unit
    return replace(found, size=max(below, found.before))


def _too_coarse(layout: GraphLayout, width: Width, found: Rounded) -> str:
    if layout.bears(width) == {"even"}:
        why = refusals(layout, width, frozenset(KINDS) - {"even"})
        return f"only whole multiples of {found.before} are exact: {why}"
    return f"{found.before} by the factor rounds to {found.before}"


def _keep_joint(
    layout: GraphLayout,
    sizes: dict[Width, Rounded],
    stays: dict[Width, str],
    settled: Mapping[Width, int],
) -> None:
    """Let widths stay over which one norm takes statistics, where not all grow by one factor."""
    for demand in layout.demands:
        own = set(widths(demand.axis))
        if not demand.joint or len(own) < 2:
            continue
        now = {w: sizes[w].size if w in sizes else settled.get(w, layout.sizes[w]) for w in own}
        if len({Fraction(n, layout.sizes[w]) for w, n in now.items()}) > 1:
            for width in own & sizes.keys():
                del sizes[width]
                stays[width] = f"`{demand.layer}` {demand.reason}"


def _keep_tied(
    layout: GraphLayout,
    sizes: dict[Width, Rounded],
    stays: dict[Width, str],
    settled: Mapping[Width, int],
) -> None:
    """Let what is tied to a width follow it, as heads do a stream, and stay where it stays; and let
    a width stay that grows by no whole number of heads."""
    for one, other in layout.ties:
        for width in widths(other):
            if width not in widths(one):
                sizes.pop(width, None)
    for one, other in layout.ties:
        now = {**layout.sizes, **settled, **{w: found.size for w, found in sizes.items()}}
        tied = layout.tied(now)
        if size_of(one, tied) != size_of(other, tied):
            for width in {*widths(one)} & sizes.keys():
                del sizes[width]
                stays[width] = (
                    f"the heads of `{name(layout, next(widths(other)))}` cannot follow it"
                )


def _nothing(
    layout: GraphLayout, factor: Fraction, stays: Mapping[Width, str], place: Place
) -> UnreachableError:
    reasons = dict.fromkeys(f"`{name(layout, w)}`: {why}" for w, why in stays.items())
    shown = "; ".join(list(reasons)[:3]) or "inputs and outputs stay"
    return UnreachableError(
        f"no width of the network can grow by x{float(factor):g}: {shown}",
        where=place,
    )
