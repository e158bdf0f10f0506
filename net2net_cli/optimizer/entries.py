"""How a parameter's entries grow, axis by axis: where each is from, its weight and its gradient.

With W' = E_out W D_in the gradient is D_out^T (grad W) E_in^T (DESIGN, section 2). On an axis that
writes, each of c copies has the whole weight and 1/c of the gradient; on one that reads, a share of
the weight and the whole gradient. Both are told by one axis map: positions of one group share a
weight, and groups that copy the same old position are its copies. A scale s multiplies the weight
and divides the gradient.

Shares that are drawn anew for every entry have no such matrix D. Their mean, 1/c, takes its place,
which leaves the gradients of readers exact, and makes those of writers right on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from net2net_cli.axismap import AxisMap, Code
from net2net_cli.recipe import Copy, Recipe


@dataclass(frozen=True)
class AxisGrowth:
    """One axis: ``index[j]`` is the old position of the new position j (0 where it is ``new``).

    ``weight`` is what its entries are multiplied by (a), ``gradient`` the same of their gradients.
    """

    before: int
    index: tuple[int, ...]
    new: tuple[bool, ...]
    weight: tuple[float, ...]
    gradient: tuple[float, ...]


@dataclass(frozen=True)
class TensorGrowth:
    """A parameter of the student that continues one of the teacher, ``source``.

    ``axes`` has None for an axis that stays as it is; ``weight`` and ``gradient`` multiply all.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    axes: tuple[AxisGrowth | None, ...]
    weight: float = 1.0
    gradient: float = 1.0


def growths(
    recipes: Mapping[str, Recipe], parameters: tuple[str, ...]
) -> Mapping[str, TensorGrowth]:
    """The growth of each of the student's parameters that continues one of the teacher's; new ones
    are missing. ``recipes`` are by name."""
    carried = {
        name: recipe.base.name
        for name in parameters
        if isinstance((recipe := recipes[name]).base, Copy) and not recipe.new
    }
    copies: dict[str, int] = {}
    for source in carried.values():
        copies[source] = copies.get(source, 0) + 1
    axes = _Axes()
    return {
        name: axes.tensor(recipes[name], source, copies[source]) for name, source in carried.items()
    }


class _Axes:
    """Axis maps to axis growths; blocks that are alike have one together."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, str], AxisGrowth | None] = {}

    def tensor(self, recipe: Recipe, source: str, copies: int) -> TensorGrowth:
        """``copies``: so many tensors are copies of that one (experts), and share what it does."""
        return TensorGrowth(
            recipe.name,
            source,
            recipe.shape,
            tuple(self.axis(axis, recipe.split) for axis in recipe.axes),
            recipe.scale,
            1 / (copies * recipe.scale),
        )

    def axis(self, axis: AxisMap, split: str) -> AxisGrowth | None:
        key = (id(axis), split)
        if key not in self.known:
            self.known[key] = axis_growth(axis, split)
        return self.known[key]


def axis_growth(axis: AxisMap, split: str) -> AxisGrowth | None:
    """The growth of an axis; None where it stays as it is."""
    if axis.trivial and not axis.shares:
        return None
    members: dict[int, dict[int, list[int]]] = {}
    for j, (old, code, group) in enumerate(zip(axis.index, axis.code, axis.group, strict=True)):
        if code == Code.COPY:
            members.setdefault(old, {}).setdefault(group, []).append(j)
    weight, gradient = [1.0] * axis.after, [1.0] * axis.after
    for groups in members.values():
        for part, positions in zip(shares(len(groups), split), groups.values(), strict=True):
            for share, j in zip(shares(len(positions), split), positions, strict=True):
                by = axis.scale[j] if axis.scale else 1.0
                weight[j], gradient[j] = share * by, part / by
    new = tuple(code != Code.COPY for code in axis.code)
    return AxisGrowth(axis.before, axis.index, new, tuple(weight), tuple(gradient))


def shares(count: int, split: str) -> list[float]:
    """What each of ``count`` copies has of the whole, on average where that is drawn."""
    if split == "dyadic":
        return [2.0 ** -(k + 1) for k in range(count - 1)] + [2.0 ** -(count - 1)]
    return [1 / count] * count
