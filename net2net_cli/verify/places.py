"""Where the values of a weight come from: a tensor of the file, or others put together.

A place knows how to make a tensor in the file's own dtype, and reads no more of the file than is
asked for: one expert of those that a library stacks, some columns of a matrix, the rows of a table
that are looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from net2net_cli.io.tensors import raw_bytes

_aten = torch.ops.aten

_STACK, _CAT = _aten.stack.default, _aten.cat.default
SAME = (_aten.alias.default, _aten.detach.default, _aten.clone.default)
"""Functions that leave values where they are."""


Read = Callable[[int, memoryview], None]
"""Fills a buffer with a tensor's bytes from some place on."""

WASTE = 2**14
"""Bytes that are read along, and not wanted, rather than passed over by another call."""

BAND = 2**20
"""Bytes that are read at once where some of them are not wanted."""


@dataclass(frozen=True)
class Stored:
    """A tensor of the file, or what lies together in one, from byte ``start`` on."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Read
    start: int = 0

    def value(self) -> Tensor:
        """It, on the CPU, in memory of its own."""
        made = torch.empty(self.shape, dtype=self.dtype)
        self.read(self.start, raw_bytes(made))
        return made

    def rows(self, first: int, end: int) -> Stored:
        """Those rows of it."""
        inner = prod(self.shape[1:]) * self.dtype.itemsize
        shape = (end - first, *self.shape[1:])
        return Stored(shape, self.dtype, self.read, self.start + first * inner)


@dataclass(frozen=True)
class Columns:
    """Entries ``first`` to ``end`` of a later axis of a tensor of the file."""

    shape: tuple[int, ...]
    stored: Stored
    dim: int
    first: int
    end: int

    def value(self) -> Tensor:
        """They, on the CPU."""
        whole, dim, dtype = self.stored.shape, self.dim, self.stored.dtype
        lead, inner = prod(whole[:dim]), prod(whole[dim + 1 :])
        width, wanted = whole[dim] * inner, (self.end - self.first) * inner
        made = torch.empty((lead, wanted), dtype=dtype)
        flat = Stored((lead, width), dtype, self.stored.read, self.stored.start)
        if (width - wanted) * dtype.itemsize > WASTE:
            for row in range(lead):
                at = (row * width + self.first * inner) * dtype.itemsize
                self.stored.read(self.stored.start + at, raw_bytes(made[row]))
        else:
            step = max(1, BAND // max(1, width * dtype.itemsize))
            for row in range(0, lead, step):
                band = flat.rows(row, min(row + step, lead)).value()
                made[row : row + step] = band[:, self.first * inner : self.end * inner]
        return made.view(self.shape)


@dataclass(frozen=True)
class Moved:
    """What a function of torch that only puts values elsewhere makes of other places."""

    shape: tuple[int, ...]
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def value(self) -> Tensor:
        """It, on the CPU."""
        args, kwargs = tree_map_only(
            (Stored, Columns, Moved), lambda place: place.value(), (self.args, dict(self.kwargs))
        )
        made: Tensor = self.function(*args, **kwargs)
        return made


Place = Stored | Columns | Moved


def selected(place: Place, dim: int, index: int) -> Place:
    """``place.select(dim, index)``; both count from 0."""
    one = narrowed(place, dim, index, index + 1)
    shape = (*place.shape[:dim], *place.shape[dim + 1 :])
    return Moved(shape, _aten.select.int, (one, dim, 0))


def narrowed(place: Place, dim: int, start: int, stop: int) -> Place:
    """Entries ``start`` to ``stop`` of axis ``dim``, of those parts alone that hold some."""
    if (start, stop) == (0, place.shape[dim]):
        return place
    shape = (*place.shape[:dim], stop - start, *place.shape[dim + 1 :])
    if isinstance(place, Stored):
        if dim == 0:
            return place.rows(start, stop)
        return Columns(shape, place, dim, start, stop)
    if isinstance(place, Columns) and dim in (0, place.dim):
        return _of_columns(place, dim, start, stop)
    if isinstance(place, Moved) and start < stop:
        if place.function in SAME:
            return narrowed(place.args[0], dim, start, stop)
        if (turned := _turned(place)) is not None:
            one = narrowed(place.args[0], turned[dim], start, stop)
            return Moved(shape, place.function, (one, *place.args[1:]), place.kwargs)
        if place.function in (_STACK, _CAT):
            parts, along = place.args[0], _along(place)
            kept = _parts(place.function, parts, along, dim, start, stop)
            return Moved(shape, place.function, (kept, along))
    return Moved(shape, _aten.slice.Tensor, (place, dim, start, stop))


def looked_up(place: Place, rows: Tensor) -> Tensor:
    """The rows that whole numbers name, ``[*rows, ...]``, as often as they do; on the CPU.

    IndexError for one that is not there.
    """
    count = place.shape[0]
    if rows.numel() and not (int(rows.min()) >= 0 and int(rows.max()) < count):
        raise IndexError(f"a row of {count} is looked up that is not there")
    while isinstance(place, Moved) and place.function in SAME:
        place = place.args[0]
    if not isinstance(place, Stored):
        return place.value()[rows]
    different, which = torch.unique(rows, return_inverse=True)
    made = torch.empty((len(different), *place.shape[1:]), dtype=place.dtype)
    for into, row in zip(made, different.tolist(), strict=True):
        one = place.rows(row, row + 1)
        one.read(one.start, raw_bytes(into))
    return made[which]


def _of_columns(place: Columns, dim: int, start: int, stop: int) -> Place:
    """Some of some columns, or of their rows."""
    shape = (*place.shape[:dim], stop - start, *place.shape[dim + 1 :])
    if dim:
        return Columns(shape, place.stored, dim, place.first + start, place.first + stop)
    return Columns(shape, place.stored.rows(start, stop), place.dim, place.first, place.end)


def _turned(place: Moved) -> Sequence[int] | None:
    """The axes of what is turned, in the order in which it turns them; None of other functions."""
    count = len(place.shape)
    if place.function is _aten.t.default:
        return range(count)[::-1]
    if place.function is _aten.permute.default:
        return [int(dim) % count for dim in place.args[1]]
    if place.function is _aten.transpose.int:
        order, (one, other) = list(range(count)), (int(dim) % count for dim in place.args[1:3])
        order[one], order[other] = other, one
        return order
    return None


def _parts(
    function: Any, parts: Sequence[Place], along: int, dim: int, start: int, stop: int
) -> list[Place]:
    """Of what is put together along ``along``: what falls between ``start`` and ``stop``."""
    if dim != along:
        within = dim - (dim > along) if function is _STACK else dim
        return [narrowed(part, within, start, stop) for part in parts]
    if function is _STACK:
        return list(parts[start:stop])
    ends = accumulate((part.shape[dim] for part in parts), initial=0)
    return [
        narrowed(part, dim, max(start, first) - first, min(stop, last) - first)
        for part, (first, last) in zip(parts, pairwise(ends), strict=True)
        if max(start, first) < min(stop, last)
    ]


def _along(place: Moved) -> int:
    dim = place.args[1] if len(place.args) > 1 else place.kwargs.get("dim", 0)
    return int(dim) % len(place.shape)
