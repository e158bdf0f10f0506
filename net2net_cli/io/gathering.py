"""Tensors that processes of a team give each other in the midst of a stage.

The team's own signs of life go on meanwhile, on connections of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from net2net_cli.io.team import PATIENCE, LostError, Team

if TYPE_CHECKING:
    from torch import Tensor

LOOK = 1e-4
"""Seconds between two looks at whether the others' tensors are there."""


def gathering(team: Team) -> Callable[[Tensor, Sequence[int]], list[Tensor]]:
    """A function that gives this process' flat tensor to all, and theirs, by rank; it is told how
    many entries each gives. To be called by all processes, outside of a stage.

    What it gives raises StoppedError or LostError where another process failed or died.
    """
    from torch import distributed

    group = distributed.new_group(backend="gloo", timeout=PATIENCE)

    def gather(own: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        longest = max(sizes)
        padded = own.new_empty(longest)
        padded[: len(own)] = own
        found = [own.new_empty(longest) for _ in sizes]
        try:
            work = distributed.all_gather(found, padded, group, async_op=True)
            _wait(work, team)
        except RuntimeError as error:  # gloo's, where a connection broke
            raise LostError("a process of the run died") from error
        return [part[:size] for part, size in zip(found, sizes, strict=True)]

    return gather


def _wait(work: Any, team: Team) -> None:
    """Until all is there; an end of the run is not slept through."""
    until = time.monotonic() + 1
    while not work.is_completed():
        if time.monotonic() > until:
            team.heed()
            until = time.monotonic() + 1
        time.sleep(LOOK)
    work.wait()


def place_here() -> int:
    """This process' number among those of its machine, as torchrun counts them; 0 of one alone."""
    given = os.environ.get("LOCAL_RANK", "")
    return int(given) if given.isdigit() else 0
