"""The arithmetic of a recipe, some rows of its tensor at a time. Needs torch.

A tile is gathered in the weights' own dtype where nothing is computed, so that copies stay what
they are bit for bit. What is scaled is computed in float32 for half types, else in float64, and
rounded once; what copies share is cut exactly (``splits``).

What a row holds depends on the recipe alone, and on nothing that is made beside it: random numbers
are those of the row's place (``draws``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import isfinite, prod
from threading import Lock

import torch
from torch import Tensor

from net2net_cli.axismap import AxisMap, Code, product_map
from net2net_cli.bases import Base, scratch
from net2net_cli.draws import Stream
from net2net_cli.lanes import HERE, Lanes, Place
from net2net_cli.recipe import Copy, Recipe
from net2net_cli.splits import LONG, Sharing

TILE = 2**20
"""Entries of a tensor that are made at once: 2 MB of a half type, 8 MB while they are float64."""

SAMPLED = (2**7, 2**10)
"""How large a tensor is, so many of its rows and columns tell."""

LONGEST = 2**21
"""A tensor with longer rows is made as one with more of them: its first axes become one."""


def rows_at_once(shape: Sequence[int]) -> int:
    """How many rows of a tensor of that shape make a tile; one at least."""
    return max(1, TILE // max(1, prod(shape[1:])))


def row_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape that a tensor is made in: its first axes merged until a row is short enough; one
    row for a number."""
    found = tuple(shape) or (1,)
    while len(found) > 2 and prod(found[1:]) > LONGEST:
        found = (found[0] * found[1], *found[2:])
    return found


_CONSTANT = {"ones": 1.0, "zeros": 0.0, "count": 0.0}


class Positions:
    """One axis map as tensors; blocks that are alike have one together."""

    def __init__(self, axis: AxisMap) -> None:
        self.axis = axis
        self._sharing: dict[str, Sharing] = {}

    @cached_property
    def still(self) -> bool:
        """Whether every position copies the one that it is."""
        return self.axis.index == tuple(range(self.axis.before))

    @cached_property
    def index(self) -> Tensor:
        """The old position of each new one; int64 [after]."""
        return torch.tensor(self.axis.index, dtype=torch.long)

    @cached_property
    def at(self) -> Mapping[int, Tensor]:
        """The positions of each code but COPY; int64."""
        codes = torch.tensor(self.axis.code, dtype=torch.long)
        return {
            int(c): (codes == c).nonzero()[:, 0]
            for c in sorted(set(self.axis.code))
            if c != Code.COPY
        }

    @cached_property
    def scale(self) -> Tensor:
        """What each position is multiplied by; float64 [after]."""
        return torch.tensor(self.axis.scale, dtype=torch.float64)

    @cached_property
    def factor(self) -> float | None:
        """What all positions are multiplied by; None where they differ."""
        found = set(self.axis.scale)
        return found.pop() if len(found) == 1 else None if found else 1.0

    @cached_property
    def repeats(self) -> Tensor:
        """The positions of copies after the first; int64."""
        return torch.tensor(self.axis.repeats, dtype=torch.bool).nonzero()[:, 0]

    def sharing(self, split: str) -> Sharing | None:
        """How weights are shared along it; None where none is."""
        if not self.axis.shares:
            return None
        if split not in self._sharing:
            self._sharing[split] = Sharing(self.axis, split)
        return self._sharing[split]


def merged(recipe: Recipe) -> Recipe:
    """The same entries in ``row_shape``."""
    shape = row_shape(recipe.shape)
    count = len(recipe.shape) - len(shape)
    if not recipe.axes or count <= 0:
        return replace(recipe, shape=shape)
    first = product_map(list(recipe.axes[: count + 1]))
    return replace(recipe, shape=shape, axes=(first, *recipe.axes[count + 1 :]))


class Tiles:
    """Makes any rows of a recipe's tensor, from its base (None for one that is all fresh). The
    recipe is in ``row_shape``; several threads may make rows of one tensor."""

    def __init__(
        self,
        recipe: Recipe,
        base: Base | None,
        positions: list[Positions],
        lanes: Lanes | None = None,
    ) -> None:
        self.recipe, self.base, self.positions, self.lanes = recipe, base, positions, lanes
        self.dtype: torch.dtype = getattr(torch, recipe.dtype)
        self.lock = Lock()
        self.before = positions[0].axis.before if positions else 1
        self.old = tuple(found.axis.before for found in positions[1:])
        self.floats = self.dtype.is_floating_point
        self.sharing = [
            found.sharing(recipe.split) if self.floats and base is not None else None
            for found in positions
        ]

    def rows(self, start: int, stop: int) -> Iterator[Tensor]:
        """The rows from ``start`` to ``stop``, in tiles: contiguous, on the CPU, of the recipe's
        dtype. Each is valid until the next is asked for."""
        step = rows_at_once(self.recipe.shape)
        spans = [(at, min(at + step, stop)) for at in range(start, stop, step)]
        if self.lanes is not None and self._moves:
            yield from self.lanes.lane.tiles(self, spans)
            return
        for span in spans:
            yield self._tile(*span).contiguous()

    @property
    def _moves(self) -> bool:
        """Whether a device is of use: not where nothing is read, nor for means along columns, which
        sum up in the order that the CPU has."""
        return self.base is not None and not any(axis.means for axis in self.recipe.axes[1:])

    def _tile(self, start: int, stop: int) -> Tensor:
        if (drawn := self.drawn(start, stop)) is not None:
            return drawn
        shape, dtype = self.source(start, stop)
        rows = scratch("rows", shape, dtype)
        self.fill(rows, start, stop)
        return self.compute(rows, start, stop, HERE)

    def shape(self, start: int, stop: int) -> tuple[int, ...]:
        """What the rows from ``start`` to ``stop`` are; so do all that follow say it."""
        return (stop - start, *self.recipe.shape[1:])

    def drawn(self, start: int, stop: int) -> Tensor | None:
        """Them, where they are made of nothing that is read."""
        shape = self.shape(start, stop)
        first, codes = start * prod(shape[1:]), self.recipe.axes[:1]
        if self.base is None:
            return self._drawn(shape, first, "fresh").to(self.dtype)
        if self.floats and codes and set(codes[0].code[start:stop]) == {Code.FRESH}:
            # As ``_fill`` gives them: they are fresh whatever their columns are.
            return self._drawn(shape, first, f"fresh/0/{int(Code.FRESH)}").to(self.dtype)
        return None

    def source(self, start: int, stop: int) -> tuple[tuple[int, ...], torch.dtype]:
        """Shape and dtype of the old rows that they are made of."""
        assert self.base is not None
        return (stop - start, *self.old), self.base.dtype

    def fill(self, into: Tensor, start: int, stop: int) -> None:
        """Read the old rows, where they are copied."""
        assert self.base is not None
        if self.positions and self.recipe.axes[0].before == 0:
            into.zero_()
            return
        flat, end = into.view(len(into), prod(self.old)), 0
        for new, old, length in self._runs(start, stop):
            flat[end:new] = 0  # what is filled later holds no chance numbers, which may be NaN
            end = new + length
            self.base.fill(old, flat[new:end])
        flat[end:] = 0

    def compute(self, value: Tensor, start: int, stop: int, place: Place) -> Tensor:
        """Make them of the old rows, which may be written to. ``place`` is where those are."""
        value = self._weights(value, start, stop, place)
        for dim, found in enumerate(self.sharing):
            if found is None:
                continue
            # Whether some weight is not finite a device would have to be waited for.
            stream, wild = self._stream(f"split/{dim}"), place is not HERE or found.wild(value)
            if dim:
                found.along(value, dim, stream, start, wild=wild, at=place)
            else:
                found.rows(value, stream, start, wild=wild, at=place)
        return self._filled(value, start, stop, place) if self.floats else value

    def _weights(self, value: Tensor, start: int, stop: int, place: Place) -> Tensor:
        """Everything but what is shared and what is new, rounded to the dtype."""
        if self._alike:
            return self._wider(self._scaled(value), place)
        value = value.to(self._computed)
        for row, of in self.positions[0].axis.means.items() if self.positions else ():
            if start <= row < stop:
                value[row - start] = place.keep(self._means[of])
        return self._arithmetic(self._wider(value, place), start, stop, place).to(self.dtype)

    @cached_property
    def _alike(self) -> bool:
        """Whether all entries are computed alike, so that it can be done before they are copied."""
        means = any(found.axis.means for found in self.positions)
        return not self.floats or not (
            means or self.recipe.noise or any(found.factor is None for found in self.positions)
        )

    @cached_property
    def _computed(self) -> torch.dtype:
        """What arithmetic is done in."""
        assert self.base is not None
        means = any(found.axis.means for found in self.positions)
        half = self.dtype in (torch.bfloat16, torch.float16) and self.base.dtype == self.dtype
        return torch.float32 if half and not (means or self.recipe.noise) else torch.float64

    def _runs(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Old rows that are read at once: place in the tile, old place, length."""
        if not self.positions:
            yield 0, start, stop - start
            return
        for new, old, length in self.recipe.axes[0].runs:
            first, end = max(new, start), min(new + length, stop)
            if first < end:
                yield first - start, old + first - new, end - first

    def _scaled(self, value: Tensor) -> Tensor:
        """All entries times one factor, plus the offset, in the dtype."""
        recipe, factor = self.recipe, self.recipe.scale
        if not self.floats:
            return value.to(self.dtype)
        for found in self.positions:
            factor *= found.factor or 1.0
        if factor == 1 and recipe.offset == 0:
            return value.to(self.dtype)
        return value.to(self._computed).mul(factor).add_(recipe.offset).to(self.dtype)

    def _wider(self, value: Tensor, place: Place) -> Tensor:
        """The new columns, in memory that may be written to."""
        for dim, found in enumerate(self.positions[1:], 1):
            if not found.still:
                value = _gathered(value, dim, found, place)
        return value

    @property
    def _means(self) -> Mapping[tuple[int, ...], Tensor]:
        """The means of rows of the base; the first thread takes them for all."""
        with self.lock:
            return self._taken_means

    @property
    def _loud(self) -> float:
        """The base's root mean square; the first thread takes it for all."""
        with self.lock:
            return self._taken_loud

    @cached_property
    def _taken_means(self) -> Mapping[tuple[int, ...], Tensor]:
        """Rows -> their mean; float64."""
        found = {}
        for rows in sorted(set(self.recipe.axes[0].means.values())):
            wanted, total = set(rows), torch.zeros(self.old, dtype=torch.float64)
            for start, part in self._parts():
                at = [r for r in range(len(part)) if start + r in wanted]
                total += part[at].double().sum(0)
            found[rows] = total / len(rows)
        return found

    @cached_property
    def _taken_loud(self) -> float:
        total, count = 0.0, 0
        for _, part in self._parts():
            total += float(part.double().square().sum())
            count += part.numel()
        return float((total / max(1, count)) ** 0.5)

    def _parts(self) -> Iterator[tuple[int, Tensor]]:
        """The base, some rows at a time: the first one's number, and the rows."""
        assert self.base is not None
        rows, step = self.before, rows_at_once((0, *self.old))
        for start in range(0, rows, step):
            part = torch.empty((min(step, rows - start), *self.old), dtype=self.base.dtype)
            self.base.fill(start, part.view(len(part), -1))
            yield start, part

    def _arithmetic(self, value: Tensor, start: int, stop: int, place: Place) -> Tensor:
        if self.recipe.scale != 1:
            value = value * self.recipe.scale
        for dim, found in enumerate(self.positions):
            if found.axis.scale:
                scale = place.keep(found.scale)
                scale = scale[start:stop] if dim == 0 else scale
                shape = [-1 if d == dim else 1 for d in range(value.ndim)]
                value = value * scale.to(value.dtype).reshape(shape)
        if self.recipe.offset:
            value = value + self.recipe.offset
        if self.recipe.noise:
            value = self._noisy(value, start, stop, place)
        for dim, axis in enumerate(self.recipe.axes[1:], 1):
            value = _with_means(value, dim, axis)
        return value

    def _noisy(self, value: Tensor, start: int, stop: int, place: Place) -> Tensor:
        """Add noise to every copy after the first (Net2Net, section 2.2), in units of the old
        tensor's root mean square."""
        inner = prod(value.shape[1:])
        noise = self._stream("noise").normal(start * inner, value.numel())
        marked = torch.zeros(value.shape, dtype=torch.bool, device=value.device)
        for dim, found in enumerate(self.positions):
            at = found.repeats if dim else _within(found.repeats, start, stop)
            marked.index_fill_(dim, _there(at, dim, place), value=True)
        noise = place.send(noise.view(value.shape)).to(value.dtype)
        noisy = value + noise * (self.recipe.noise * self._loud)
        return torch.where(marked, noisy, value)

    def _filled(self, value: Tensor, start: int, stop: int, place: Place) -> Tensor:
        """Fill what copies nothing, in the order of the codes: the largest code decides."""
        places = []
        for dim, found in enumerate(self.positions):
            for code, at in found.at.items():
                mine = at if dim else _within(at, start, stop)
                if len(mine):
                    places.append((code, dim, mine))
        for code, dim, at in sorted(places, key=lambda found: found[:2]):
            self._fill(value, dim, at, code, start, place)
        return value

    def _fill(
        self, value: Tensor, dim: int, at: Tensor, code: int, start: int, place: Place
    ) -> None:
        special = self.recipe.filling.fill in ("ones", "zeros", "init")
        if code == Code.MEAN and not special:
            return
        if code == Code.BLANK or (code == Code.ZERO and not special):
            _clear(value, dim, at, place)
            return
        first, count, where = int(at[0]), len(at), _slice(value, dim, at)
        purpose = f"fresh/{dim}/{code}"
        if dim == 0:  # all rows from the first to the last: what one holds hangs on none beside it
            span, inner = int(at[-1]) - first + 1, prod(value.shape[1:])
            drawn = self._drawn((span, *value.shape[1:]), (start + first) * inner, purpose)
            drawn = drawn if where is not None else drawn[at - first]
        else:
            shape = tuple(count if d == dim else n for d, n in enumerate(value.shape))
            drawn = self._drawn(shape, start * prod(shape[1:]), purpose)
        drawn = place.send(drawn, value.dtype)
        if where is not None:
            where.copy_(drawn)
        else:
            value.index_copy_(dim, _there(at, dim, place), drawn.to(value.dtype))

    @cached_property
    def _size(self) -> float | None:
        """How large drawn entries are (root mean square): as the source's are, times the gain.
        None where it says nothing (no source, nothing in it, all zeros, NaN): then they are what
        torch initialises them to. From a sample, and rounded, so that neither the time that it
        takes nor the order in which it is summed shows."""
        gain = self.recipe.filling.gain
        if gain is None or not isinstance(self.recipe.base, Copy):
            return None
        if not self.before * prod(self.old):
            return None
        found = float(self._sample().double().square().mean().sqrt())
        if not isfinite(found) or (found == 0 and len(self.positions) > 1):
            return None
        return float(f"{found:.4g}") * gain

    def _sample(self) -> Tensor:
        """Some entries of the base, evenly spaced."""
        assert self.base is not None
        rows = range(0, self.before, -(-self.before // SAMPLED[0]))
        row = torch.empty((1, prod(self.old)), dtype=self.base.dtype)
        step, found = -(-row.numel() // SAMPLED[1]), []
        for number in rows:
            self.base.fill(number, row)
            found.append(row[:, ::step].clone())
        return torch.cat(found)

    def _drawn(self, shape: tuple[int, ...], first: int, purpose: str) -> Tensor:
        """Fresh entries; always drawn on the CPU, in float32. ``first`` is the place of the first
        one's draw."""
        filling = self.recipe.filling
        if filling.fill in _CONSTANT:
            return torch.full(shape, _CONSTANT[filling.fill])
        if filling.fill == "init":
            return torch.full(shape, filling.init, dtype=torch.float64)
        stream, count, size = self._stream(purpose), prod(shape), self._size
        if filling.fill == "uniform":
            bound = filling.bound if size is None else 3**0.5 * size
            return stream.uniform(first, count).mul_(bound).view(shape)
        if size is None:
            size = filling.bound if filling.fill == "scaled" else 1.0
        return stream.normal(first, count).mul_(size).view(shape)

    def _stream(self, purpose: str) -> Stream:
        return Stream(f"{self.recipe.key}/{purpose}")


def _within(at: Tensor, start: int, stop: int) -> Tensor:
    """Those of rising positions that lie between, counted from ``start``."""
    return at[(at >= start) & (at < stop)] - start


def _there(at: Tensor, dim: int, place: Place) -> Tensor:
    """Positions along ``dim``, where they are wanted: those of rows hang on the tile."""
    return place.keep(at) if dim else place.send(at)


def _slice(value: Tensor, dim: int, at: Tensor) -> Tensor | None:
    """Rising positions along ``dim`` as a view, which is quicker than an index; None where others
    lie between them."""
    first, count = int(at[0]), len(at)
    return value.narrow(dim, first, count) if int(at[-1]) - first + 1 == count else None


def _clear(value: Tensor, dim: int, at: Tensor, place: Place) -> None:
    """Zeros at rising positions."""
    where = _slice(value, dim, at)
    if where is not None:
        where.zero_()
    else:
        value.index_fill_(dim, _there(at, dim, place), 0)


def _gathered(value: Tensor, dim: int, found: Positions, place: Place) -> Tensor:
    """The positions of an axis along ``dim``, in memory of its own."""
    axis = found.axis
    shape = tuple(axis.after if d == dim else n for d, n in enumerate(value.shape))
    if len(axis.runs) * LONG <= axis.after:
        made = scratch(f"wider/{dim}", shape, value.dtype, str(value.device))
        for new, old, length in axis.runs:
            made.narrow(dim, new, length).copy_(value.narrow(dim, old, length))
        if any(axis.code):  # what is filled later holds no chance numbers, which may be NaN
            for at in found.at.values():
                _clear(made, dim, at, place)
        return made
    # Four times as quick as `index_select`, which takes the entries of half types one by one.
    bits = value.view(torch.int16) if value.element_size() == 2 else value
    at = place.keep(found.index).reshape([-1 if d == dim else 1 for d in range(value.ndim)])
    return bits.gather(dim, at.expand(shape)).view(value.dtype)


def _with_means(value: Tensor, dim: int, axis: AxisMap) -> Tensor:
    """Replace MEAN positions by the mean of the positions that copy each of the old ones."""
    if not axis.means:
        return value
    first: dict[int, int] = {}
    for j, (old, code) in enumerate(zip(axis.index, axis.code, strict=True)):
        if code == Code.COPY:
            first.setdefault(old, j)
    value = value.clone()
    for rows in sorted(set(axis.means.values())):
        at = torch.tensor([first[r] for r in rows], device=value.device)
        mean = value.index_select(dim, at).mean(dim, keepdim=True)
        to = torch.tensor([j for j, r in axis.means.items() if r == rows], device=value.device)
        shape = list(mean.shape)
        shape[dim] = len(to)
        value.index_copy_(dim, to, mean.expand(shape))
    return value
