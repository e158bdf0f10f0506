"""Recipes the other way round: for a tensor of the teacher, how it lies in the student.

Whatever a recipe copies is still there. Of a writer's copies the first is taken; a reader's, which
share one weight among them, are added up; scales and offsets are undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

from net2net_cli.axismap import AxisMap, Code
from net2net_cli.recipe import Recipe

_HOLDS = {
    "float64": {"float64", "float32", "float16", "bfloat16"},
    "float32": {"float32", "float16", "bfloat16"},
}
"""What each dtype holds without rounding; others hold themselves."""


@dataclass(frozen=True)
class Gather:
    """One axis: for each old position the new ones whose sum it is, in ascending order (one, where
    nothing is shared). ``scale`` is what each was multiplied by; empty: by 1."""

    members: tuple[tuple[int, ...], ...]
    scale: tuple[float, ...] = ()

    @property
    def adds(self) -> bool:
        """Whether any weight is a sum."""
        return any(len(m) > 1 for m in self.members)


@dataclass(frozen=True)
class Shrink:
    """One tensor of the teacher, out of the student's tensor ``source``.

    ``dtype`` is torch's name; ``axes`` has None for an axis that stays as it is. ``scale`` is
    divided by once ``offset`` is subtracted. ``was`` is the dtype of the student's tensor.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: str
    was: str
    axes: tuple[Gather | None, ...]
    scale: float = 1.0
    offset: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether the tensor is the student's bytes as they are."""
        return self.unscaled and not any(self.axes) and self.dtype == self.was

    @property
    def unscaled(self) -> bool:
        """Whether entries are taken and added up, and nothing else."""
        return self.scale == 1 and self.offset == 0 and not any(a and a.scale for a in self.axes)

    @property
    def rounded(self) -> bool:
        """Whether making the student rounded it, so that its last bits may be lost. A power of two
        rounds nothing."""
        factors = [self.scale, *(by for axis in self.axes if axis for by in axis.scale)]
        powers = all(frexp(abs(factor))[0] == 0.5 for factor in factors)
        narrowed = self.was != self.dtype and self.dtype not in _HOLDS.get(self.was, ())
        return narrowed or self.offset != 0 or not powers


def invert(recipe: Recipe, name: str, dtype: str, was: str) -> Shrink:
    """What undoes a recipe that copies the teacher's tensor ``name``; ``dtype`` is the teacher's,
    ``was`` the student's."""
    return Shrink(
        name,
        dtype,
        tuple(axis.before for axis in recipe.axes),
        recipe.name,
        was,
        tuple(_gather(axis) for axis in recipe.axes),
        recipe.scale,
        recipe.offset,
    )


def _gather(axis: AxisMap) -> Gather | None:
    """Of the groups that copy an old position the first, and all of it: a group has one member
    where the axis writes, and shares the weight among all of its members where it reads."""
    if axis.trivial and not axis.shares:
        return None
    chosen: dict[int, int] = {}
    members: dict[int, list[int]] = {old: [] for old in range(axis.before)}
    for j, (old, code, group) in enumerate(zip(axis.index, axis.code, axis.group, strict=True)):
        if code == Code.COPY and chosen.setdefault(old, group) == group:
            members[old].append(j)
    assert all(members.values()), "a position of the source is lost"
    scale = tuple(axis.scale[found[0]] for found in members.values()) if axis.scale else ()
    return Gather(tuple(tuple(found) for found in members.values()), scale)
