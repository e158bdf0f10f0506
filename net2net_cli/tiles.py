"""The arithmetic of a recipe, some rows of its tensor at a time. Needs torch.

A tile is gathered in the weights' own dtype where nothing is computed, so that copies stay what
they are bit for bit. What is scaled is computed in float32 for half types, else in float64, and
rounded once. A split that is no power of two is rounded to the weight's own grid, and the last copy
takes what is left, so that the copies of a weight add up to it exactly in every floating format.

Tiles depend on the recipe alone, and so do the bytes that come out, however many threads or
processes share the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import isfinite, prod

import torch
from torch import Tensor

from net2net_cli.axismap import AxisMap, Code
from net2net_cli.recipe import Copy, Recipe
from net2net_cli.splits import scales, share

TILE = 2**21
"""Entries of a tensor that are made at once: 4 MB of a half type, 16 MB while they are float64."""

SAMPLED = 2**10
"""How large a tensor is, so many of its rows and columns tell."""

LONG = 16
"""Positions in a row, on average, from which copying runs is quicker than gathering."""


def rows_at_once(shape: Sequence[int]) -> int:
    """How many rows of a tensor of that shape make a tile; one at least."""
    return max(1, TILE // max(1, prod(shape[1:])))


_CONSTANT = {"ones": 1.0, "zeros": 0.0, "count": 0.0}


class Positions:
    """One axis map as tensors; blocks that are alike have one together."""

    def __init__(self, axis: AxisMap) -> None:
        self.axis = axis
        self._powers: dict[str, Tensor] = {}

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

    def powers(self, split: str) -> Tensor:
        """What shares that are powers of two multiply by; float64 [after], or [0] for others."""
        if split not in self._powers:
            self._powers[split] = torch.tensor(scales(self.axis, split), dtype=torch.float64)
        return self._powers[split]

    @cached_property
    def repeats(self) -> Tensor:
        """The positions of copies after the first; int64."""
        return torch.tensor(self.axis.repeats, dtype=torch.bool).nonzero()[:, 0]


class Tiles:
    """A recipe's tensor, made rows by rows from its base (None for one that is all fresh)."""

    def __init__(
        self, recipe: Recipe, base: Tensor | None, positions: list[Positions], device: str
    ) -> None:
        self.recipe, self.base, self.positions, self.device = recipe, base, positions, device
        self.dtype: torch.dtype = getattr(torch, recipe.dtype)
        self.halved = False
        self.computed = self._computed()

    def __iter__(self) -> Iterator[Tensor]:
        """The tiles in order: contiguous, on the CPU, of the recipe's dtype."""
        shape = self.recipe.shape
        rows = shape[0] if shape else 1
        step = rows_at_once(shape)
        if self.recipe.axes and self.recipe.axes[0].shares:
            step = max(rows, 1)  # the copies of a weight lie in different rows
        for start in range(0, rows, step):
            yield self.tile(start, min(start + step, rows))

    def tile(self, start: int, stop: int) -> Tensor:
        """The rows from ``start`` to ``stop``."""
        if self.base is None:
            shape = (stop - start, *self.recipe.shape[1:]) if self.recipe.shape else ()
            return self._drawn(shape, start, "fresh").to(self.dtype)
        if not self.recipe.axes:
            return self._scaled(self._wide(self.base), start, stop).to(self.dtype).cpu()
        fresh = set(self.recipe.axes[0].code[start:stop]) == {Code.FRESH}
        if fresh and self.dtype.is_floating_point:
            return self._drawn_rows(start, stop)
        value = self._rows(start, stop)
        for dim, found in enumerate(self.positions[1:], 1):
            if not found.still:
                value = _gathered(value, dim, found)
        if self.computed is not None:
            value = self._arithmetic(value, start, stop)
        if self.dtype.is_floating_point:
            value = self._filled(value.to(self.dtype), start, stop)
        return value.contiguous().cpu()

    def _computed(self) -> torch.dtype | None:
        """What arithmetic is done in; None where entries are only gathered."""
        recipe, base = self.recipe, self.base
        if base is None or not self.dtype.is_floating_point:
            return None
        axes = recipe.axes
        means = any(axis.means for axis in axes)
        shared = means or any(axis.shares for axis in axes) or bool(recipe.noise)
        scaled = recipe.scale != 1 or recipe.offset or any(axis.scale for axis in axes)
        if not (shared or scaled):
            return None
        half = self.dtype in (torch.bfloat16, torch.float16) and base.dtype == self.dtype
        alone = any(axis.shares for axis in axes) and not (means or scaled or recipe.noise)
        self.halved = alone and base.dtype == self.dtype and self._halves_exactly()
        if self.halved:
            return self.dtype
        return torch.float32 if half and (alone or not shared) else torch.float64

    def _halves_exactly(self) -> bool:
        """Whether shares are powers of two, and leave every weight a normal number, or zero."""
        assert self.base is not None
        smallest = 1.0
        for found in self.positions:
            if found.axis.shares:
                powers = found.powers(self.recipe.split)
                if not len(powers):
                    return False
                smallest *= float(powers.min())
        info = torch.finfo(self.dtype)
        for rows in torch.split(self.base, rows_at_once(self.base.shape)):
            size = rows.abs()
            least, most = size.aminmax() if size.numel() else (torch.ones(()), torch.ones(()))
            if float(least) == 0:
                least = size.masked_fill_(size == 0, info.max).amin()
            if not (info.smallest_normal <= float(least) * smallest and float(most) <= info.max):
                return False
        return True

    def _wide(self, value: Tensor) -> Tensor:
        value = value.to(self.device)
        return value if self.computed is None else value.to(self.computed)

    def _rows(self, start: int, stop: int) -> Tensor:
        assert self.base is not None
        axis = self.recipe.axes[0]
        index = axis.index[start:stop]
        if axis.before == 0:
            return self._wide(self.base.new_zeros((len(index), *self.base.shape[1:])))
        first = index[0] if index else 0
        if index == tuple(range(first, first + len(index))):
            value = self._wide(self.base[first : first + len(index)])
        else:
            value = self._wide(self.base.index_select(0, self.positions[0].index[start:stop]))
        meant = [(j - start, axis.means[j]) for j in range(start, stop) if j in axis.means]
        if meant:
            value = value.clone()
            for row, of in meant:
                value[row] = self._means[of]
        return value

    @cached_property
    def _means(self) -> dict[tuple[int, ...], Tensor]:
        """The mean of some rows of the base; float64."""
        assert self.base is not None
        found = {}
        for rows in sorted(set(self.recipe.axes[0].means.values())):
            total = torch.zeros(self.base.shape[1:], dtype=torch.float64)
            step = rows_at_once(self.base.shape)
            for start in range(0, len(rows), step):
                at = torch.tensor(rows[start : start + step])
                total += self.base.index_select(0, at).double().sum(0)
            found[rows] = (total / len(rows)).to(self.device)
        return found

    @cached_property
    def _loud(self) -> float:
        """The base's root mean square."""
        assert self.base is not None
        rows = torch.split(self.base, rows_at_once(self.base.shape))
        total = sum(float(part.double().square().sum()) for part in rows)
        return float((total / max(1, self.base.numel())) ** 0.5)

    def _arithmetic(self, value: Tensor, start: int, stop: int) -> Tensor:
        value = self._scaled(value, start, stop)
        if self.recipe.noise:
            value = self._noisy(value, start, stop)
        for dim, axis in enumerate(self.recipe.axes):
            if axis.shares and self.halved:
                by = self.positions[dim].powers(self.recipe.split)
                shape = [-1 if d == dim else 1 for d in range(value.ndim)]
                value = value.mul_(by.to(value).reshape(shape))  # gathered, so no one else's
            elif axis.shares:
                generator = self._generator(f"split/{dim}", start)
                value = share(value, dim, axis, self.recipe.split, generator, self.dtype)
        for dim, axis in enumerate(self.recipe.axes[1:], 1):
            value = _with_means(value, dim, axis)
        return value

    def _scaled(self, value: Tensor, start: int, stop: int) -> Tensor:
        recipe = self.recipe
        if recipe.scale != 1:
            value = value * recipe.scale
        for dim, found in enumerate(self.positions):
            if found.axis.scale:
                scale = found.scale[start:stop] if dim == 0 else found.scale
                shape = [-1 if d == dim else 1 for d in range(value.ndim)]
                value = value * scale.to(value).reshape(shape)
        return value + recipe.offset if recipe.offset else value

    def _noisy(self, value: Tensor, start: int, stop: int) -> Tensor:
        """Add noise to every copy after the first (Net2Net, section 2.2), in units of the old
        tensor's root mean square."""
        generator = self._generator("noise", start)
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.device)
        marked = torch.zeros(value.shape, dtype=torch.bool, device=value.device)
        for dim, found in enumerate(self.positions):
            at = found.repeats
            if dim == 0:
                at = at[(at >= start) & (at < stop)] - start
            marked.index_fill_(dim, at.to(value.device), value=True)
        return torch.where(marked, value + noise * (self.recipe.noise * self._loud), value)

    def _drawn_rows(self, start: int, stop: int) -> Tensor:
        """Rows that are fresh whatever their columns are, as ``_fill`` gives them."""
        shape = (stop - start, *self.recipe.shape[1:])
        drawn = self._drawn(shape, start, f"fresh/0/{int(Code.FRESH)}")
        return drawn.to(self.dtype).contiguous()

    def _filled(self, value: Tensor, start: int, stop: int) -> Tensor:
        """Fill what copies nothing, in the order of the codes: the largest code decides."""
        places = []
        for dim, found in enumerate(self.positions):
            for code, at in found.at.items():
                if dim == 0:
                    at = at[(at >= start) & (at < stop)] - start  # noqa: PLW2901
                if len(at):
                    places.append((code, dim, at))
        if not places:
            return value
        assert self.base is not None
        if value.untyped_storage().data_ptr() == self.base.untyped_storage().data_ptr():
            value = value.clone()  # never the source's own
        for code, dim, at in sorted(places, key=lambda place: place[:2]):
            self._fill(value, dim, at, code, start)
        return value

    def _fill(self, value: Tensor, dim: int, at: Tensor, code: int, start: int) -> None:
        special = self.recipe.filling.fill in ("ones", "zeros", "init")
        where = at.to(value.device)
        if code == Code.MEAN and not special:
            return
        first, count = int(at[0]), len(at)
        beside = int(at[-1]) - first + 1 == count  # a slice is quicker than an index
        if code == Code.BLANK or (code == Code.ZERO and not special):
            if beside:
                value.narrow(dim, first, count).zero_()
            else:
                value.index_fill_(dim, where, 0.0)
            return
        shape = tuple(count if d == dim else n for d, n in enumerate(value.shape))
        drawn = self._drawn(shape, start, f"fresh/{dim}/{code}")
        if beside:
            value.narrow(dim, first, count).copy_(drawn)
        else:
            value.index_copy_(dim, where, drawn.to(value))

    @cached_property
    def _size(self) -> float | None:
        """How large drawn entries are (root mean square): as the source's are, times the gain.
        None where it says nothing (no source, nothing in it, all zeros, NaN): then they are what
        torch initialises them to. From a sample, and rounded, so that neither the time that it
        takes nor the order in which it is summed shows."""
        base = self.base
        if base is None or not isinstance(self.recipe.base, Copy) or not base.numel():
            return None
        rows = base.reshape(len(base), -1) if base.ndim else base.reshape(1, 1)
        rows = rows[:: -(-rows.shape[0] // SAMPLED), :: -(-rows.shape[1] // SAMPLED)]
        found = float(rows.double().square().mean().sqrt())
        if not isfinite(found) or (found == 0 and base.ndim > 1):
            return None
        return float(f"{found:.4g}") * self.recipe.filling.gain

    def _drawn(self, shape: tuple[int, ...], start: int, purpose: str) -> Tensor:
        """Fresh entries; always drawn on the CPU, in float32."""
        filling = self.recipe.filling
        if filling.fill in _CONSTANT:
            return torch.full(shape, _CONSTANT[filling.fill])
        if filling.fill == "init":
            return torch.full(shape, filling.init, dtype=torch.float64)
        generator, size = self._generator(purpose, start), self._size
        if filling.fill == "uniform":
            bound = filling.bound if size is None else 3**0.5 * size
            return (torch.rand(shape, generator=generator) * 2 - 1) * bound
        if size is None:
            size = filling.bound if filling.fill == "scaled" else 1.0
        return torch.randn(shape, generator=generator) * size

    def _generator(self, purpose: str, start: int) -> torch.Generator:
        digest = hashlib.sha256(f"{self.recipe.key}/{start}/{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _gathered(value: Tensor, dim: int, found: Positions) -> Tensor:
    """The positions of an axis along ``dim``, in memory of its own."""
    axis = found.axis
    shape = [axis.after if d == dim else n for d, n in enumerate(value.shape)]
    if len(axis.runs) * LONG <= axis.after:
        made = value.new_zeros(shape) if any(axis.code) else value.new_empty(shape)
        for new, old, length in axis.runs:
            made.narrow(dim, new, length).copy_(value.narrow(dim, old, length))
        return made
    # Four times as quick as `index_select`, which takes the entries of half types one by one.
    bits = value.view(torch.int16) if value.element_size() == 2 else value
    at = found.index.to(value.device).reshape([-1 if d == dim else 1 for d in range(value.ndim)])
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
