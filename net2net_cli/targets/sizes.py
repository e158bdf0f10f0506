"""Sizes that a target says of single layers, as sizes of the network's widths.

What a layer says of its size holds for the width, hence for all layers that have it: members of a
residual stream that say nothing follow, and two that say different sizes are an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm, prod

from net2net_cli.axes import Axis, Sum, Width, size_of, widths
from net2net_cli.choosing import refusals
from net2net_cli.errors import Place, SpecError, UnreachableError
from net2net_cli.layout import EACH, GraphLayout
from net2net_cli.targets.factors import Rounded, rounded


@dataclass(frozen=True)
class Said:
    """One argument of one layer: its new size, or the factor by which it grows."""

    layer: str
    argument: str
    amount: int | Fraction
    place: Place

    def __str__(self) -> str:
        shown = str(self.amount) if isinstance(self.amount, int) else f"x{float(self.amount):g}"
        return f"`{self.argument}: {shown}` of `{self.layer}`"


@dataclass
class Sizes:
    """New sizes of widths, what said them, and how factors were rounded, in the order found."""

    of: dict[Width, int] = field(default_factory=dict)
    by: dict[Width, Said] = field(default_factory=dict)
    roundings: list[tuple[Said, Rounded]] = field(default_factory=list)

    def settle(self, width: Width, size: int, said: Said) -> None:
        """Give a width its size. Raises SpecError where another layer has said another."""
        if self.of.setdefault(width, size) != size:
            raise _conflict(self.by[width], said)
        self.by.setdefault(width, said)


def said_sizes(layout: GraphLayout, all_said: Iterable[Said]) -> Sizes:
    """The widths that layers say the size of, at their new sizes.

    Raises SpecError where two layers of one width say different sizes, UnreachableError where a
    width cannot have the size, or shrinks.
    """
    found = Sizes()

    def count(said: Said) -> int:
        return len(set(widths(axis_of(layout, said))))

    for said in sorted(all_said, key=count):  # what says one width leaves less to the others
        _check_growing(layout, said)
        (_scale if isinstance(said.amount, Fraction) else _reach)(layout, said, found)
    return found


def axis_of(layout: GraphLayout, said: Said) -> Axis:
    """The axis that an argument counts. Raises SpecError where it counts none."""
    counted = layout.arguments.get(said.layer, {})
    if said.argument in counted:
        return counted[said.argument][0]
    raise SpecError(
        f"{said} is no size that could be a factor",
        where=said.place,
        hint=f"sizes of `{said.layer}` are {', '.join(counted)}"
        if counted
        else f"`{said.layer}` has no sizes",
    )


def best(
    layout: GraphLayout, axis: Axis, candidates: Sequence[Width], factor: Fraction
) -> Width | None:
    """The width of a product that takes a factor best: one that takes new units of its own, then
    one that comes near to the factor, then the innermost. None where none of them can grow."""

    def rank(entry: tuple[int, Width]) -> tuple[bool, bool, int]:
        place, width = entry
        near = scaled(layout, axis, width, factor)
        off = abs(near.size - near.wanted) > near.wanted / 20
        return not layout.bears(width) & (EACH - {"even"}), off, -place

    able = [(at, w) for at, w in enumerate(candidates) if layout.bears(w)]
    return min(able, key=rank)[1] if able else None


def scaled(layout: GraphLayout, axis: Axis, width: Width, factor: Fraction) -> Rounded:
    """A width of an axis, grown by a factor."""
    size = layout.sizes[width]
    unit = 1 if isinstance(axis, Sum) else layout.size(axis) // size
    step = lcm(*_tied_steps(layout, width))
    return rounded(size, factor, unit=unit, step=step, whole=layout.bears(width) == {"even"})


def _tied_steps(layout: GraphLayout, width: Width) -> Iterator[int]:
    """What a width grows by, so that what is tied to it can follow: whole heads."""
    for one, other in layout.ties:
        if one == width and other != one:
            for able in [w for w in widths(other) if layout.bears(w)][:1]:
                none, single = (size_of(other, {**layout.sizes, able: n}) for n in (0, 1))
                yield single - none


def _check_growing(layout: GraphLayout, said: Said) -> None:
    before = layout.size(axis_of(layout, said))
    shrinks = said.amount < (1 if isinstance(said.amount, Fraction) else before)
    if shrinks:
        to = int(said.amount * before) if isinstance(said.amount, Fraction) else said.amount
        raise UnreachableError(
            f"{said} shrinks it from {before} to {to}",
            where=said.place,
            hint="a student is never smaller than its teacher",
        )


def _scale(layout: GraphLayout, said: Said, found: Sizes) -> None:
    axis, factor = axis_of(layout, said), said.amount
    assert isinstance(factor, Fraction)
    own = list(dict.fromkeys(widths(axis)))
    if not any(layout.bears(width) for width in own) and factor > 1:
        raise _fixed(layout, said, own)
    if isinstance(axis, Sum):
        for width in (w for w in own if layout.bears(w) and w not in found.of):
            _take(said, width, scaled(layout, axis, width, factor), found)
        return
    if len(own) == 1:
        _take(said, own[0], scaled(layout, axis, own[0], factor), found)
        return
    settled = [w for w in own if w in found.of]
    grown = prod((Fraction(found.of[w], layout.sizes[w]) for w in settled), start=Fraction(1))
    if grown > factor:
        raise _conflict(found.by[settled[0]], said)
    chosen = best(layout, axis, [w for w in own if w not in found.of], factor / grown)
    if chosen is not None and grown < factor:
        _take(said, chosen, scaled(layout, axis, chosen, factor / grown), found)


def _take(said: Said, width: Width, size: Rounded, found: Sizes) -> None:
    found.settle(width, size.size, said)
    found.roundings.append((said, size))


def _reach(layout: GraphLayout, said: Said, found: Sizes) -> None:
    axis, to = axis_of(layout, said), said.amount
    assert isinstance(to, int)
    own = list(dict.fromkeys(widths(axis)))
    sizes = {**layout.sizes, **found.of}
    if size_of(axis, sizes) == to:
        for width in own:
            found.settle(width, sizes[width], said)
        return
    able = [w for w in own if w not in found.of and layout.bears(w)]
    if not able:
        settled = next((found.by[w] for w in own if w in found.of), None)
        raise _conflict(settled, said) if settled else _fixed(layout, said, own)
    if isinstance(axis, Sum) and len(able) > 1:
        parts = ", ".join(f"`{name(layout, w)}`" for w in able)
        raise SpecError(
            f"{said} lays several widths end to end, and does not say which grows",
            where=said.place,
            hint=f"say the sizes of {parts}",
        )
    for width in reversed(able):
        none, one = (size_of(axis, {**sizes, width: n}) for n in (0, 1))
        size, over = divmod(to - none, one - none)
        if not over and size >= layout.sizes[width]:
            found.settle(width, size, said)
            return
    raise UnreachableError(
        f"{said} is no multiple of what its groups or the layers around it demand",
        where=said.place,
        hint="write a factor, as x1.5, which is rounded to one",
    )


def name(layout: GraphLayout, width: Width) -> str:
    """What to call a width: the first layer with a tensor that has it."""
    members = layout.members(width)
    return members[0] if members else width.name


def _fixed(layout: GraphLayout, said: Said, own: Sequence[Width]) -> UnreachableError:
    why = refusals(layout, own[0], frozenset({"fresh"})) if own else "its size is fixed"
    return UnreachableError(f"`{said.layer}` cannot grow: {why}", where=said.place)


def _conflict(first: Said, second: Said) -> SpecError:
    return SpecError(
        f"{first} and {second} are one width, which has one size",
        where=f"{first.place} and {second.place}",
        hint="give both the same, or say it of one of them: the others follow",
    )


def argument_changes(
    layout: GraphLayout, sizes: Mapping[Width, int]
) -> dict[str, dict[str, int | tuple[int, ...]]]:
    """The arguments that count a width whose size changes, by layer, at their new sizes. What is
    tied to a width follows it: attention has more heads where its stream is wider."""
    changes: dict[str, dict[str, int | tuple[int, ...]]] = {}
    present = layout.tied({**layout.sizes, **sizes})
    for layer, counted in layout.arguments.items():
        given = layout.spec.layer(layer).args
        for argument, axes in counted.items():
            before = given.get(argument)
            if before is None:
                continue
            old = before if isinstance(before, tuple) else (before,)
            after = tuple(  # -1 stays: it is what the others leave
                -1 if n == -1 else size_of(axis, present) for axis, n in zip(axes, old, strict=True)
            )
            value = after if isinstance(before, tuple) else after[0]
            if value != before:
                changes.setdefault(layer, {})[argument] = value
    return changes
