"""Shrink recipes to tensors: positions taken, shares added up, scales undone. Needs torch.

Arithmetic is done in float64 and rounded once, as in ``execute``. The shares of a weight add up to
it exactly (see splits), in whatever order: what a float64 sum rounds away is kept and added last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

import torch
from torch import Tensor

from net2net_cli.bases import Stored
from net2net_cli.inverse import Gather, Shrink
from net2net_cli.tiles import LONGEST, rows_at_once


@dataclass(frozen=True)
class First:
    """A tensor's first axes as one, outermost first: how each lies in the student, the teacher's
    sizes and the student's. More than one where rows would be too long else."""

    axes: tuple[Gather | None, ...]
    old: tuple[int, ...]
    new: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows the teacher has."""
        return prod(self.old)

    def part(self, start: int, stop: int) -> Gather | None:
        """The rows from ``start`` to ``stop``; None where rows are where they were."""
        if not any(self.axes):
            return None
        if len(self.axes) == 1 and (axis := self.axes[0]):
            return Gather(axis.members[start:stop], axis.scale[start:stop])
        places = [self._digits(row) for row in range(start, stop)]
        scaled = [(at, axis) for at, axis in enumerate(self.axes) if axis and axis.scale]
        scale = tuple(axis.scale[place[at]] for place in places for at, axis in scaled)
        return Gather(tuple(self._members(place) for place in places), scale)

    def _digits(self, row: int) -> list[int]:
        found = []
        for size in reversed(self.old):
            row, digit = divmod(row, size)
            found.append(digit)
        return found[::-1]

    def _members(self, place: Sequence[int]) -> tuple[int, ...]:
        found = [0]
        for axis, size, digit in zip(self.axes, self.new, place, strict=True):
            own = (digit,) if axis is None else axis.members[digit]
            found = [row * size + more for row in found for more in own]
        return tuple(found)


def first_of(shrink: Shrink, student: tuple[int, ...]) -> First:
    """As many axes as make rows that are short enough, in the ``student``, too; but one alone that
    adds up and one that is scaled, as each rounds by itself."""
    axes, count = shrink.axes, min(1, len(shrink.axes))
    while len(axes) > count + 1 and count and prod(student[count:]) > LONGEST:
        found = [axis for axis in axes[: count + 1] if axis]
        if sum(a.adds for a in found) > 1 or sum(bool(a.scale) for a in found) > 1:
            break
        count += 1
    return First(axes[:count], shrink.shape[:count], student[:count])


def restore(
    shrink: Shrink, first: First, student: Stored, start: int, stop: int
) -> Iterator[Tensor]:
    """Rows of the teacher's tensor, out of the student's: in tiles, each of them contiguous, of its
    dtype, on the CPU. A number is one row."""
    dtype, count = getattr(torch, shrink.dtype), len(first.axes)
    step = rows_at_once((0, *shrink.shape[count:]))
    for at in range(start, stop, step):
        end = min(at + step, stop)
        part = first.part(at, end)
        own = replace(shrink, axes=(part, *shrink.axes[count:]) if count else ())
        rows = _rows(student, part, at, end, student.info.shape[count:])
        yield _restored(own, rows).to(dtype).contiguous()


def _rows(
    student: Stored, part: Gather | None, start: int, stop: int, columns: Sequence[int]
) -> Tensor:
    """The student's rows that some of the teacher's are made of, those of one beside each other."""
    wanted: Iterable[int] = range(start, stop)
    if part is not None:
        wanted = [row for found in part.members for row in found]
    runs = list[list[int]]()
    for row in wanted:
        if runs and sum(runs[-1]) == row:
            runs[-1][1] += 1
        else:
            runs.append([row, 1])
    count = sum(length for _, length in runs)
    found, at = torch.empty(count, prod(columns), dtype=student.dtype), 0
    for row, length in runs:
        student.fill(row, found[at : at + length])
        at += length
    return found.view(count, *columns)


def _restored(shrink: Shrink, value: Tensor) -> Tensor:
    """Of the student's rows; those that make one of the teacher's lie side by side."""
    for dim, axis in enumerate(shrink.axes):
        if axis is not None and dim:
            at = torch.tensor([j for found in axis.members for j in found], dtype=torch.long)
            value = value.index_select(dim, at)
    adding = [(dim, axis) for dim, axis in enumerate(shrink.axes) if axis and axis.adds]
    if shrink.unscaled and not adding:
        return value
    value = value.double()
    for dim, axis in reversed(adding):  # the last to be shared out is the first to be added up
        value = _added(value, dim, axis)
    return value if shrink.unscaled else _unscaled(value, shrink)


def _added(value: Tensor, dim: int, axis: Gather) -> Tensor:
    """The sum of each group along ``dim``, where the groups' members lie side by side."""
    counts = [len(found) for found in axis.members]
    starts = [0, *accumulate(counts)][:-1]
    total = value.index_select(dim, torch.tensor(starts))
    lost = torch.zeros_like(total)
    for turn in range(1, max(counts)):
        at = [old for old, count in enumerate(counts) if count > turn]
        to, taken = torch.tensor(at), torch.tensor([starts[old] + turn for old in at])
        old, new = total.index_select(dim, to), value.index_select(dim, taken)
        both = old + new
        total.index_copy_(dim, to, both)
        lost.index_add_(dim, to, _rounded_away(old, new, both))
    # A zero's sign would not outlive a sum with 0, nor infinities one with what they leave.
    return torch.where(lost.isfinite() & (lost != 0), total + lost, total)


def _rounded_away(a: Tensor, b: Tensor, both: Tensor) -> Tensor:
    """A + b - both, exactly (Knuth's two-sum)."""
    virtual = both - a
    return (a - (both - virtual)) + (b - virtual)


def _unscaled(value: Tensor, shrink: Shrink) -> Tensor:
    if shrink.offset:
        value = value - shrink.offset
    for dim, axis in enumerate(shrink.axes):
        if axis and axis.scale:
            shape = [-1 if d == dim else 1 for d in range(value.ndim)]
            value = value / value.new_tensor(axis.scale).reshape(shape)
    return value / shrink.scale
