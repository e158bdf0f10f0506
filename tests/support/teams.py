"""Several processes' parts of one run, as threads of this one, and how each ends."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

from net2net_cli.io.team import Team


class Shared:
    """What the threads of a team have in common."""

    def __init__(self, size: int) -> None:
        self.outcomes: list[Any] = [None] * size
        self.barrier = Barrier(size)


class Threaded(Team):
    """One thread of a team."""

    def __init__(self, rank: int, size: int, shared: Shared) -> None:
        self.rank, self.size, self.shared = rank, size, shared

    def together(self, work: Callable[[], Any]) -> list[Any]:
        try:
            outcome: Any = work()
        except BaseException as error:  # noqa: BLE001
            outcome = error
        self.shared.outcomes[self.rank] = outcome
        self.shared.barrier.wait(30)
        found = list(self.shared.outcomes)
        self.shared.barrier.wait(30)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return found

    def lead(self, work: Callable[[], Any]) -> Any:
        return self.together(work if self.rank == 0 else lambda: None)[0]


def run(size: int, part: Callable[[Team], Any]) -> list[Any]:
    """What each part gave, or raised, by rank."""
    shared, ended = Shared(size), [None] * size

    def body(rank: int) -> None:
        try:
            ended[rank] = part(Threaded(rank, size, shared))
        except BaseException as error:  # noqa: BLE001
            ended[rank] = error  # type: ignore[call-overload]

    threads = [Thread(target=body, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended
