"""The expansions of widths, composed to the map of one whole axis of one tensor.

Kronecker products for factors, block diagonals for parts laid end to end, identities for numbers.
An axis map says for each new position which old one it copies, or what it holds instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property

from net2net_cli.axes import Axis, Number, Product, Sum, Width, size_of
from net2net_cli.expansion import NEW, Expansion
from net2net_cli.notation import Role


class Code(IntEnum):
    """What a position holds. An entry of a tensor is what the largest code of its axes says."""

    COPY = 0
    ANYTHING = 1
    """A reader's column whose feature is always zero: freshly initialised."""
    BLANK = 2
    """A reader's column for a new feature: zero."""
    MEAN = 3
    """A writer's row that is the mean of the old rows."""
    ZERO = 4
    """A writer's row that gives zeros."""
    FRESH = 5
    """A writer's row for a fresh unit: freshly initialised."""


@dataclass(frozen=True)
class AxisMap:
    """One axis: ``index[j]`` is the old position that new position j copies (0 where it copies
    none) and ``code[j]`` what it holds.

    Positions with equal ``group`` share one old weight among them (readers only); ``repeats``
    marks writers' copies after the first; ``means`` holds the old positions of MEAN ones.
    ``scale`` multiplies what each position copies; empty: by 1.
    """

    before: int
    index: tuple[int, ...]
    code: tuple[int, ...]
    group: tuple[int, ...]
    repeats: tuple[bool, ...]
    means: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    scale: tuple[float, ...] = ()

    @property
    def after(self) -> int:
        """The new size."""
        return len(self.index)

    @cached_property
    def trivial(self) -> bool:
        """Whether nothing changes along this axis."""
        return self.index == tuple(range(self.before)) and not self.scale

    @cached_property
    def shares(self) -> bool:
        """Whether any old weight is shared among copies."""
        copies = [g for g, c in zip(self.group, self.code, strict=True) if c == Code.COPY]
        return len(set(copies)) != len(copies)

    @cached_property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """For each old weight that is copied, the positions that share it, in ascending order."""
        found: dict[int, list[int]] = {}
        for j, (group, code) in enumerate(zip(self.group, self.code, strict=True)):
            if code == Code.COPY:
                found.setdefault(group, []).append(j)
        return tuple(tuple(m) for m in found.values())

    @cached_property
    def runs(self) -> tuple[tuple[int, int, int], ...]:
        """Where positions that copy lie side by side as they did: new and old place, length."""
        found: list[tuple[int, int, int]] = []
        for j, (old, code) in enumerate(zip(self.index, self.code, strict=True)):
            if code != Code.COPY:
                continue
            if found and found[-1][0] + found[-1][2] == j and found[-1][1] + found[-1][2] == old:
                found[-1] = (*found[-1][:2], found[-1][2] + 1)
            else:
                found.append((j, old, 1))
        return tuple(found)

    def part(self, start: int, stop: int) -> AxisMap:
        """The map of the new positions from ``start`` to ``stop``, of an axis without means."""
        at = slice(start, stop)
        return AxisMap(
            self.before, self.index[at], self.code[at], self.group[at], self.repeats[at],
            scale=self.scale[at],
        )  # fmt: skip


@dataclass(frozen=True)
class Mapper:
    """Makes axis maps: the expansion of each width, and every width's old size. ``scales`` gives
    what writers of a width are multiplied by, where that is not 1."""

    expansions: Mapping[Width, Expansion]
    sizes: Mapping[Width, int]
    settled: bool = False
    scales: Mapping[Width, float] = field(default_factory=dict)

    def axis(self, axis: Axis, role: Role) -> AxisMap:
        """The map of an axis in that role."""
        match axis:
            case Number(size):
                return _identity(size)
            case Width():
                expansion = self.expansions.get(axis)
                if expansion is None:
                    return _identity(self.sizes[axis])
                found = _of_width(expansion, role, settled=self.settled)
                by = self.scales.get(axis, 1.0) if role == "write" else 1.0
                return found if by == 1 else replace(found, scale=(by,) * found.after)
            case Product(factors):
                return product_map([self.axis(f, role) for f in factors])
            case Sum(terms):
                return _sum([self.axis(t, role) for t in terms])

    def old_size(self, axis: Axis) -> int:
        """The axis' size in the source."""
        return size_of(axis, self.sizes)


def _identity(size: int) -> AxisMap:
    positions = tuple(range(size))
    return AxisMap(size, positions, (int(Code.COPY),) * size, positions, (False,) * size)


def _of_width(expansion: Expansion, role: Role, *, settled: bool) -> AxisMap:
    code = _new_code(expansion.kind, role, settled=settled)
    count, before = expansion.after, expansion.before
    index = tuple(max(n, 0) for n in expansion.index)
    codes = tuple(int(Code.COPY) if n != NEW else int(code) for n in expansion.index)
    new = [n == NEW for n in expansion.index]
    if role == "write":
        group = tuple(range(count))
    else:
        group = tuple(count + j if new[j] else index[j] for j in range(count))
    repeats = tuple(role == "write" and j >= before and not new[j] for j in range(count))
    everything = tuple(range(before))
    means = {j: everything for j in range(count) if codes[j] == Code.MEAN}
    return AxisMap(before, index, codes, group, repeats, means)


def _new_code(kind: str, role: Role, *, settled: bool) -> Code:
    if role == "write":
        return {"mean": Code.MEAN, "zero": Code.ZERO}.get(kind, Code.FRESH)
    if kind == "zero" or (kind == "mean" and settled):
        return Code.ANYTHING
    return Code.BLANK


def product_map(maps: list[AxisMap]) -> AxisMap:
    """The map of factors, outermost first."""
    found = maps[0]
    for inner in maps[1:]:
        found = _pair(found, inner)
    return found


def _pair(outer: AxisMap, inner: AxisMap) -> AxisMap:
    if outer.trivial and inner.trivial and not (outer.shares or inner.shares):
        return _identity(outer.before * inner.before)
    span = 1 + max(inner.group, default=0)
    pairs = [(a, b) for a in range(outer.after) for b in range(inner.after)]
    code = tuple(max(outer.code[a], inner.code[b]) for a, b in pairs)
    means = {}
    for j, (a, b) in enumerate(pairs):
        if code[j] == Code.MEAN:
            rows = outer.means.get(a, (outer.index[a],))
            columns = inner.means.get(b, (inner.index[b],))
            means[j] = tuple(r * inner.before + c for r in rows for c in columns)
    return AxisMap(
        outer.before * inner.before,
        tuple(outer.index[a] * inner.before + inner.index[b] for a, b in pairs),
        code,
        tuple(outer.group[a] * span + inner.group[b] for a, b in pairs),
        tuple(outer.repeats[a] or inner.repeats[b] for a, b in pairs),
        means,
        tuple(_at(outer, a) * _at(inner, b) for a, b in pairs)
        if outer.scale or inner.scale
        else (),
    )


def _at(axis: AxisMap, position: int) -> float:
    return axis.scale[position] if axis.scale else 1.0


def _sum(maps: list[AxisMap]) -> AxisMap:
    index: list[int] = []
    code: list[int] = []
    group: list[int] = []
    repeats: list[bool] = []
    means: dict[int, tuple[int, ...]] = {}
    before = groups = 0
    for part in maps:
        means.update(
            {len(index) + j: tuple(before + i for i in rows) for j, rows in part.means.items()}
        )
        index += [before + i for i in part.index]
        code += part.code
        group += [groups + g for g in part.group]
        repeats += part.repeats
        before += part.before
        groups = 1 + max(group, default=0)
    old = tuple(min(i, max(before - 1, 0)) for i in index)
    scale = tuple(_at(part, j) for part in maps for j in range(part.after))
    scaled = any(part.scale for part in maps)
    return AxisMap(
        before, old, tuple(code), tuple(group), tuple(repeats), means, scale if scaled else ()
    )
