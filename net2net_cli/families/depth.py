"""Where blocks come in: which block of the source each block of the target is.

``even`` spaces the new blocks as LLaMA-Pro does (Wu et al. 2024, arXiv 2401.02415, section 3.2):
the old ones are cut into equal runs, and each run is followed by a copy of its last block.
"""

from __future__ import annotations

from dataclasses import dataclass

from net2net_cli.errors import UnreachableError, UsageError


@dataclass(frozen=True)
class Block:
    """One block of the target: the source's block whose tensors it takes, and whether it is new."""

    source: int
    new: bool


def arrange(before: int, after: int, where: str = "even") -> tuple[Block, ...]:
    """The blocks of the target, in order.

    ``where``: ``even``, ``start``, ``end``, or ``after=3,7`` (blocks counted from 0; more new
    blocks than places go round). A new block copies the one that it stands behind (``start``: the
    first). Raises UnreachableError for fewer blocks than before, UsageError for a bad ``where``.
    """
    if after < before:
        raise UnreachableError(
            f"the blocks shrink from {before} to {after}",
            hint="a student is never smaller than its teacher",
        )
    places = _places(before, after - before, where)
    found: list[Block] = [Block(0, new=True)] * places.count(-1)
    for old in range(before):
        found.append(Block(old, new=False))
        found += [Block(old, new=True)] * places.count(old)
    return tuple(found)


def _places(before: int, count: int, where: str) -> list[int]:
    if where == "start":
        return [-1] * count
    if where == "end":
        return [before - 1] * count
    if where == "even":
        return [max(-(-(j + 1) * before // count) - 1, 0) for j in range(count)]
    kind, _, text = where.partition("=")
    numbers = text.split(",")
    if kind != "after" or not all(n.strip().isdecimal() for n in numbers):
        raise UsageError(f"--where {where} says no place", hint="use even, start, end or after=3,7")
    places = [int(n) for n in numbers]
    if count and max(places) >= before:
        raise UsageError(f"--where {where}: there are blocks 0 to {before - 1}")
    return [places[j % len(places)] for j in range(count)]
