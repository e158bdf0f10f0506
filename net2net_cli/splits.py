"""How the copies of a unit share each reader's weight: any numbers that sum to one preserve.

even      w/c each (the paper)
dyadic    w/2, w/4, ..., w/4: exact in every binary format
random    positive shares drawn anew for every entry
signed    shares of either sign drawn anew for every entry
whole     all of each entry goes to one copy, drawn anew for every entry
Which learns how: MATH, splits.

A weight is cut in two, and what comes of it again, until there is one number for each copy. The
larger part is the weight times a factor between 1/2 and 2, rounded to the weight's own format; the
smaller part is what is left, and exact in that format, since x - y is whenever y/2 <= x <= 2 y
(Sterbenz 1974, theorem 4.3.1; subnormal numbers included). So the parts sum to the weight exactly,
in every format and for any number of copies. What is not finite, or would get too large, is not
cut: it goes to one copy whole.

The factors are drawn in 8 bits, which are bits of a bfloat16: an exponent and a fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from net2net_cli.axismap import AxisMap
from net2net_cli.draws import Stream
from net2net_cli.lanes import HERE, Place

LONG = 16
"""Weights in a row, on average, from which they are shared out in place rather than gathered."""

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

_FACTORS = {"signed": 0xFF, "random": 0x7F}
"""The bits of a bfloat16 that are drawn: from 1/2 to 2, or from 1/2 to 1."""

_HALF = 0x3F00


@dataclass(frozen=True)
class Cut:
    """What the copies from ``first`` to ``stop`` share is cut, in front of copy ``middle``."""

    first: int
    middle: int
    stop: int

    @property
    def mean(self) -> float:
        """The share of the copies in front, on average."""
        return (self.middle - self.first) / (self.stop - self.first)


@cache
def cuts(count: int, split: str) -> Sequence[Cut]:
    """All of them, each behind the one that makes what it cuts."""
    found, left = list[Cut](), [(0, count)]
    while left:
        first, stop = left.pop()
        if stop - first > 1:
            half = 1 if split == "dyadic" else (stop - first + 1) // 2
            found.append(Cut(first, first + half, stop))
            left += [(first + half, stop), (first, first + half)]
    return found


@dataclass(frozen=True)
class Run:
    """Weights side by side that have equally many copies: ``places`` of the first weight's copies,
    ``length`` weights, and where the first one's draws start among those of all."""

    places: tuple[int, ...]
    length: int
    draws: int

    @property
    def count(self) -> int:
        """The copies of each."""
        return len(self.places)


def runs_of(axis: AxisMap) -> list[Run]:
    """The weights of an axis that have several copies, in order."""
    found, draws = list[Run](), 0
    for places in axis.members:
        if len(places) == 1:
            continue
        last = found[-1] if found else None
        if last and places == tuple(p + last.length for p in last.places):
            found[-1] = Run(last.places, last.length + 1, last.draws)
        else:
            found.append(Run(places, 1, draws))
        draws += len(places) - 1
    return found


class Sharing:
    """One axis whose weights are shared among copies."""

    def __init__(self, axis: AxisMap, split: str) -> None:
        self.axis, self.split = axis, split
        self.runs = runs_of(axis)
        self.draws = sum((run.count - 1) * run.length for run in self.runs)
        self.drawn = split in ("random", "signed", "whole")
        self.short = len(self.runs) * LONG > sum(run.length for run in self.runs)
        most = max((run.count for run in self.runs), default=1)
        self.growth = 2.0 ** (most - 1).bit_length() if split == "signed" else 1.0

    def wild(self, weights: Tensor) -> bool:
        """Whether some weight is not finite, or a part of it might not be."""
        if not weights.numel():
            return False
        least, most = weights.aminmax()
        bound = torch.finfo(weights.dtype).max / self.growth
        return not (-bound <= float(least) and float(most) <= bound)

    def along(
        self, value: Tensor, dim: int, stream: Stream, row: int, *, wild: bool, at: Place = HERE
    ) -> None:
        """Share out what lies along ``dim`` (1 or more) of some rows, in place. ``row`` is the
        first one's number; ``wild`` is as that method says of the weights, or true; ``at`` is
        where they are."""
        lead, inner = 1, 1
        for d, size in enumerate(value.shape):
            lead, inner = (lead * size if d < dim else lead), (inner * size if d > dim else inner)
        flat = value.view(lead, self.axis.after, inner)
        first = row * (lead // max(1, len(value)))
        step = max(1, at.block // max(1, self.axis.after * inner))
        for start in range(0, lead, step):
            block = flat[start : start + step]
            drawn = None
            if self.drawn:
                size = self.draws * inner
                drawn = stream.bits((first + start) * size, len(block) * size)
                drawn = at.send(drawn.view(len(block), self.draws, inner))
            self._share(block, drawn, at, wild=wild)

    def _share(self, block: Tensor, drawn: Tensor | None, at: Place, *, wild: bool) -> None:
        """[rows, positions, inner], and its draws [rows, draws, inner]."""
        for places, taken, length in self._classes:
            parts = [_taken(block, place, at) for place in places]
            mine = None if drawn is None else _taken(drawn, taken, at)
            for number, cut in enumerate(cuts(len(places), self.split)):
                bits = None if mine is None else mine[:, number * length : (number + 1) * length]
                left, right = parts[cut.first], parts[cut.middle]
                _cut(left, left, right, bits, cut, self.split, wild=wild)
            for place, part in zip(places, parts, strict=True):
                if isinstance(place, Tensor):
                    block.index_copy_(1, at.keep(place), part)

    @cached_property
    def _classes(self) -> Sequence[tuple[Sequence[slice | Tensor], slice | Tensor, int]]:
        """Weights that are shared out at once: the places of their first copies, their second ones
        and so on, their draws' (all of the first cut's, then the second's), how many they are."""
        if self.short:
            counts = sorted({run.count for run in self.runs})
            return [_scattered([run for run in self.runs if run.count == c]) for c in counts]
        return [
            (
                [slice(place, place + run.length) for place in run.places],
                slice(run.draws, run.draws + run.length * (run.count - 1)),
                run.length,
            )
            for run in self.runs
        ]

    def rows(
        self, value: Tensor, stream: Stream, start: int, *, wild: bool, at: Place = HERE
    ) -> None:
        """Share out what lies along the first axis, of which ``value`` holds the positions from
        ``start`` on, each with the whole weight; in place. The rest is as ``along`` says."""
        inner = value[:1].numel()
        flat = value.view(len(value), inner)
        step = max(1, at.block // max(1, inner))
        for run in self.runs:
            for copy, place in enumerate(run.places):
                first = max(place, start)
                stop = min(place + run.length, start + len(value))
                for row in range(first, stop, step):
                    rows = flat[row - start : min(row + step, stop) - start]
                    self._share_rows(rows, run, copy, row - place, stream, at, wild=wild)

    def _share_rows(
        self, rows: Tensor, run: Run, copy: int, first: int, stream: Stream, at: Place,
        *, wild: bool,
    ) -> None:  # fmt: skip
        """Leave one copy's share of the weights of a run from ``first`` on."""
        other = torch.empty_like(rows)
        inner = rows.shape[1]
        for number, cut in enumerate(cuts(run.count, self.split)):
            if not cut.first <= copy < cut.stop:
                continue
            bits = None
            if self.drawn:
                drawn = run.draws + number * run.length + first
                bits = at.send(stream.bits(drawn * inner, rows.numel()).view(rows.shape))
            left, right = (rows, other) if copy < cut.middle else (other, rows)
            _cut(rows, left, right, bits, cut, self.split, wild=wild)


def _scattered(runs: Sequence[Run]) -> tuple[Sequence[Tensor], Tensor, int]:
    """Weights with equally many copies as one class."""
    steps = [torch.arange(run.length) for run in runs]
    count, both = runs[0].count, list(zip(runs, steps, strict=True))
    places = [torch.cat([run.places[k] + step for run, step in both]) for k in range(count)]
    draws = [run.draws + k * run.length + step for k in range(count - 1) for run, step in both]
    return places, torch.cat(draws), len(places[0])


def _taken(value: Tensor, places: slice | Tensor, at: Place) -> Tensor:
    if isinstance(places, slice):
        return value[:, places]
    return value.index_select(1, at.keep(places))


def _cut(
    weight: Tensor, left: Tensor, right: Tensor, drawn: Tensor | None, cut: Cut, split: str,
    *, wild: bool,
) -> None:  # fmt: skip
    """Cut weights into the share of the copies in front and that of the others; either may be
    written where the weights are. ``drawn`` are their 16 random bits."""
    if split == "whole":
        big = weight.clone()
    elif drawn is None:
        big = weight * (0.5 if split == "dyadic" else cut.mean)
    else:
        big = _factors(drawn, split, weight.dtype).mul_(weight)
    # -(big - w), and not w - big: so that two zeros sum to one of the weight's sign.
    small = torch.sub(big, weight, out=right if drawn is None and not wild else None).neg_()
    if wild:
        finite = big.isfinite()
        big, small = torch.where(finite, big, weight), small.masked_fill_(~finite, 0.0)
    if drawn is None:
        left.copy_(big)
        right.copy_(small)  # which it may be
        return
    kind = _BITS[weight.element_size()]
    chosen = _chosen(drawn, cut, split).to(kind)
    a, b = big.view(kind), small.view(kind)
    swap = (a ^ b).bitwise_and_(chosen)
    torch.bitwise_xor(b, swap, out=left.view(kind))
    torch.bitwise_xor(a, swap, out=right.view(kind))


def _factors(drawn: Tensor, split: str, dtype: torch.dtype) -> Tensor:
    """From 1/2 up, by the lower bits; in memory of their own."""
    return (drawn & _FACTORS[split]).bitwise_or_(_HALF).view(torch.bfloat16).to(dtype)


def _chosen(drawn: Tensor, cut: Cut, split: str) -> Tensor:
    """Where the copies in front get the larger part: all bits set, by the upper bits; else none.

    So often that their share is the mean: of factors that are drawn from [1/2, 1) and, as often,
    from [1, 2), the larger part is 9/8 on average; of those from [1/2, 1) alone 3/4.
    """
    big = {"whole": 1.0, "signed": 9 / 8, "random": 3 / 4}[split]
    often = (cut.mean - (1 - big)) / (2 * big - 1)
    bound = round(often * 256) * 128 - 2**14
    return drawn >> 15 if bound == 0 else (drawn >> 1).sub_(bound).bitwise_right_shift_(15)
