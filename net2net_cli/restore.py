"""Shrink recipes to tensors: positions taken, shares added up, scales undone. Needs torch.

Arithmetic is done in float64 and rounded once, as in ``execute``. The shares of a weight add up to
it exactly (see splits), in whatever order: what a float64 sum rounds away is kept and added last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from math import prod

import torch
from torch import Tensor

from net2net_cli.bases import Stored
from net2net_cli.inverse import Gather, Shrink
from net2net_cli.tiles import rows_at_once


def restore(shrink: Shrink, student: Stored, start: int, stop: int) -> Iterator[Tensor]:
    """Rows of the teacher's tensor, out of the student's: in tiles, each of them contiguous, of its
    dtype, on the CPU. A number is one row."""
    dtype = getattr(torch, shrink.dtype)
    step = rows_at_once(shrink.shape)
    for at in range(start, stop, step):
        end = min(at + step, stop)
        part, first = shrink, shrink.axes[0] if shrink.axes else None
        if first is not None:
            part = replace(shrink, axes=(first.part(at, end), *shrink.axes[1:]))
        yield _restored(part, _rows(student, first, at, end)).to(dtype).contiguous()


def _rows(student: Stored, first: Gather | None, start: int, stop: int) -> Tensor:
    """The student's rows that some of the teacher's are made of, those of one beside each other."""
    wanted: Iterable[int] = range(start, stop)
    if first is not None:
        wanted = [row for found in first.members[start:stop] for row in found]
    runs = list[list[int]]()
    for row in wanted:
        if runs and sum(runs[-1]) == row:
            runs[-1][1] += 1
        else:
            runs.append([row, 1])
    count, columns = sum(length for _, length in runs), student.info.shape[1:]
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
