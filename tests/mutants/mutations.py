"""One thing made wrong in one recipe: what a mistake in the surgery would look like.

Each function takes a recipe and a generator of choices and gives the recipe with its mistake, or
None where that mistake cannot be made there. ``KINDS`` names them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from net2net_cli.axismap import AxisMap, Code
from net2net_cli.recipe import Constant, Copy, Identity, Moments, Recipe

Mutation = Callable[[Recipe, Random], Recipe | None]
PARTS = ("weight", "bias", "running_mean", "running_var")


def wrong_index(recipe: Recipe, draw: Random) -> Recipe | None:
    """One position copies another old one."""
    return _along(recipe, draw, _with_wrong_index)


def _with_wrong_index(axis: AxisMap, draw: Random) -> AxisMap | None:
    places = _copied(axis)
    if axis.before < 2 or not places or axis.means:  # a mean is taken of what stands there
        return None
    at = draw.choice(places)
    other = draw.choice([n for n in range(axis.before) if n != axis.index[at]])
    return replace(axis, index=_put(axis.index, at, other))


def exchanged(recipe: Recipe, draw: Random) -> Recipe | None:
    """Two positions hold each other's."""
    return _along(recipe, draw, _with_two_exchanged)


def _with_two_exchanged(axis: AxisMap, draw: Random) -> AxisMap | None:
    places = _copied(axis)
    pairs = [(a, b) for a in places for b in places if axis.index[a] < axis.index[b]]
    if not pairs:
        return None
    a, b = draw.choice(pairs)
    index = _put(_put(axis.index, a, axis.index[b]), b, axis.index[a])
    return replace(axis, index=index)


def lost_share(recipe: Recipe, draw: Random) -> Recipe | None:
    """A copy keeps its reader's whole weight."""
    return _along(recipe, draw, _with_lost_share)


def _with_lost_share(axis: AxisMap, draw: Random) -> AxisMap | None:
    shared = [m for m in axis.members if len(m) > 1]
    if not shared:
        return None
    group = _put(axis.group, draw.choice(draw.choice(shared)), 1 + max(axis.group))
    return replace(axis, group=group)


def lost_scale(recipe: Recipe, _draw: Random) -> Recipe | None:
    """What scales (a norm's gain, what writes a stream, queries) is forgotten."""
    axes = tuple(replace(axis, scale=()) for axis in recipe.axes)
    found = replace(recipe, scale=1.0, offset=0.0, axes=axes)
    return None if found == recipe else found


def rough_scale(recipe: Recipe, _draw: Random) -> Recipe | None:
    """A tensor that is off by a thousandth."""
    return replace(recipe, scale=recipe.scale * 1.001) if _is_copy(recipe) else None


def swapped_axes(recipe: Recipe, _draw: Random) -> Recipe | None:
    """Two axes take each other's map."""
    if not _is_copy(recipe) or len(recipe.axes) < 2:
        return None
    first, second, *others = recipe.axes
    if first == second or (first.before, first.after) != (second.before, second.after):
        return None
    return replace(recipe, axes=(second, first, *others))


def not_blank(recipe: Recipe, draw: Random) -> Recipe | None:
    """A column that must not read a new unit yet is drawn like any other."""
    return _along(recipe, draw, lambda axis, d: _with_code(axis, d, Code.BLANK, Code.FRESH))


def not_zero(recipe: Recipe, draw: Random) -> Recipe | None:
    """A row that must give zeros is drawn like any other."""
    return _along(recipe, draw, lambda axis, d: _with_code(axis, d, Code.ZERO, Code.FRESH))


def not_mean(recipe: Recipe, draw: Random) -> Recipe | None:
    """A row that must give the mean of the old ones gives zeros."""
    return _along(recipe, draw, lambda axis, d: _with_code(axis, d, Code.MEAN, Code.ZERO))


def _with_code(axis: AxisMap, draw: Random, old: Code, new: Code) -> AxisMap | None:
    places = [j for j, code in enumerate(axis.code) if code == old]
    if not places:
        return None
    at = draw.choice(places)
    means = {j: rows for j, rows in axis.means.items() if j != at}
    return replace(axis, code=_put(axis.code, at, int(new)), means=means)


def left_behind(recipe: Recipe, _draw: Random) -> Recipe | None:
    """Everything new is made of the first unit, whatever the others copy."""
    if not _is_copy(recipe) or any(axis.means for axis in recipe.axes):
        return None
    axes = tuple(
        replace(a, index=(*a.index[: a.before], *(0,) * (a.after - a.before)))
        if a.after > a.before
        else a
        for a in recipe.axes
    )
    return None if axes == recipe.axes else replace(recipe, axes=axes)


def wrong_tap(recipe: Recipe, _draw: Random) -> Recipe | None:
    """The identity kernel's one entry stands beside its place."""
    if not isinstance(recipe.base, Identity) or not recipe.base.taps:
        return None
    sizes = recipe.base.shape[2:]
    taps = tuple((t + 1) % s for t, s in zip(recipe.base.taps, sizes, strict=True))
    if taps == recipe.base.taps:
        return None
    return replace(recipe, base=replace(recipe.base, taps=taps))


def wrong_constant(recipe: Recipe, _draw: Random) -> Recipe | None:
    """A bias that is not zero, a slope that is not one."""
    if not isinstance(recipe.base, Constant) or not recipe.dtype.startswith(("float", "bfloat")):
        return None
    return replace(recipe, base=replace(recipe.base, value=recipe.base.value + 0.1))


def wrong_moments(recipe: Recipe, draw: Random) -> Recipe | None:
    """An inserted BatchNorm's vector holds another of the four."""
    if not isinstance(recipe.base, Moments):
        return None
    part = draw.choice([p for p in PARTS if p != recipe.base.part])
    return replace(recipe, base=replace(recipe.base, part=part))


def stale_eps(recipe: Recipe, _draw: Random) -> Recipe | None:
    """An inserted BatchNorm undoes another eps than its own."""
    if not isinstance(recipe.base, Moments):
        return None
    return replace(recipe, base=replace(recipe.base, eps=recipe.base.eps * 10))


KINDS: Mapping[str, Mutation] = {
    "wrong index": wrong_index,
    "two exchanged": exchanged,
    "lost share": lost_share,
    "lost scale": lost_scale,
    "scale off by 1e-3": rough_scale,
    "swapped axes": swapped_axes,
    "reads a fresh unit": not_blank,
    "not zero": not_zero,
    "not the mean": not_mean,
    "left behind": left_behind,
    "wrong tap": wrong_tap,
    "wrong constant": wrong_constant,
    "wrong moments": wrong_moments,
    "stale eps": stale_eps,
}


def _along(
    recipe: Recipe, draw: Random, change: Callable[[AxisMap, Random], AxisMap | None]
) -> Recipe | None:
    """The change on one of the axes where it can be made."""
    if not _is_copy(recipe):
        return None
    order = list(range(len(recipe.axes)))
    draw.shuffle(order)
    for at in order:
        changed = change(recipe.axes[at], draw)
        if changed is not None:
            return replace(recipe, axes=(*recipe.axes[:at], changed, *recipe.axes[at + 1 :]))
    return None


def _is_copy(recipe: Recipe) -> bool:
    return isinstance(recipe.base, Copy) and recipe.dtype.startswith(("float", "bfloat"))


def _copied(axis: AxisMap) -> list[int]:
    return [j for j, code in enumerate(axis.code) if code == Code.COPY]


def _put(items: tuple[int, ...], at: int, item: int) -> tuple[int, ...]:
    return (*items[:at], item, *items[at + 1 :])
