"""A probe's work divided among processes: each makes some pieces of every large product.

All processes run both networks, on the same inputs. Where a product is so large that one process
makes it piece by piece (columns of a matrix after columns, examples of a convolution after
examples), each makes its own pieces, reads no more of the weights than they need, and gets the
others' from them. Pieces are cut alike however many processes there are, so that what is put
together is, bit for bit, what one process makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Exchange = Callable[[Tensor, Sequence[int]], list[Tensor]]
"""(this process' flat tensor, how many entries each process gives) -> all of them, by rank; on
the CPU."""


@dataclass(frozen=True)
class Division:
    """Which part of the work is this process': ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1
    exchange: Exchange | None = None

    def cuts(self, count: int) -> list[int]:
        """The first of ``count`` pieces that each process makes, and the end of all."""
        return [count * rank // self.size for rank in range(self.size + 1)]


ALONE = Division()

_division: ContextVar[Division] = ContextVar("division", default=ALONE)


@contextmanager
def divided(division: Division) -> Iterator[None]:
    """Divides the work that is done in this thread while the block runs."""
    token = _division.set(division)
    try:
        yield
    finally:
        _division.reset(token)


def agreed(number: int) -> int:
    """The least of the numbers that the processes give, which must all call it."""
    division = _division.get()
    if division.exchange is None:
        return number
    given = division.exchange(torch.tensor([number]), [1] * division.size)
    return min(int(found) for found in given)


def fill(made: Tensor, dim: int, ends: Sequence[int], make: Callable[[int, int], Tensor]) -> Tensor:
    """``made``, with ``make(start, stop)`` between any two neighbours of ``ends`` on axis ``dim``.

    ``ends`` rise from 0 to the axis' size.
    """
    division = _division.get()
    cuts = division.cuts(len(ends) - 1)
    for start, stop in list(pairwise(ends))[slice(*cuts[division.rank : division.rank + 2])]:
        made.narrow(dim, start, stop - start).copy_(make(start, stop))
    if division.exchange is not None:
        parts = [made.narrow(dim, ends[a], ends[b] - ends[a]) for a, b in pairwise(cuts)]
        sizes = [part.numel() for part in parts]
        own = parts[division.rank].flatten().cpu()
        for rank, found in enumerate(division.exchange(own, sizes)):
            if rank != division.rank:
                parts[rank].copy_(found.view(parts[rank].shape))
    return made
