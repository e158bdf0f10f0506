"""Processes that write one checkpoint together: what torchrun starts, by torch.distributed (gloo).

A run goes in stages, which all processes enter in the same order: each does its part, and learns
what became of the others' before the next. While it works, a thread of its own tells the others
once a second that it lives: so that a part may take hours, a failure ends the others' parts within
a second, and a process that died is noticed as soon. A process alone is a team, too.

The processes trust each other: what they tell goes through pickle.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from heapq import heappop, heappush
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

from net2net_cli.errors import Net2NetError
from net2net_cli.io.digest import Leaf, leaf_bytes, leaves_of
from net2net_cli.io.tensors import TensorInfo

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

TICK = 1.0
"""Seconds between two signs of life."""

PATIENCE = timedelta(minutes=10)
"""How long a process may give none; one whose connection breaks is lost at once."""

GRACE = timedelta(seconds=3)
"""How long the others wait for the first process to say that one died."""

_TOLD = "told"
_GIVEN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class LostError(Net2NetError):
    """A process of the team died, or cannot be reached any more."""


class StoppedError(Exception):
    """Ends this process' part, since another one's failed."""


def in_team() -> bool:
    """Whether this process was started as one of several."""
    return all(os.environ.get(name) for name in _GIVEN) and _number("WORLD_SIZE") > 1


def first() -> bool:
    """Whether this is the process that speaks for all; true of one alone."""
    return not in_team() or _number("RANK") == 0


def processes_here() -> int:
    """How many of them share this machine."""
    return max(1, _number("LOCAL_WORLD_SIZE")) if in_team() else 1


def restart_follows() -> bool:
    """Whether torchrun starts the processes again after it has ended them."""
    return _number("TORCHELASTIC_RESTART_COUNT") < _number("TORCHELASTIC_MAX_RESTARTS")


def _number(name: str) -> int:
    given = os.environ.get(name, "")
    return int(given) if given.isdigit() else 0


class Team:
    """A process alone: all parts are its own."""

    rank = 0
    size = 1

    def together(self, work: Callable[[], T]) -> list[T]:
        """Do this process' part; gives what each process' part gave, by rank.

        Where a part raises, every process does: the error of the lowest rank that has one.
        LostError where a process died.
        """
        return [work()]

    def lead(self, work: Callable[[], T]) -> T:
        """The first process' part alone, and what it gave for all. It may be done although another
        process died meanwhile: the next stage raises then."""
        return work()

    def heed(self) -> None:
        """Raise StoppedError or LostError where it is of no use to go on with this part."""

    def share(self, tensors: Sequence[TensorInfo]) -> frozenset[Leaf]:
        """The parts of tensors that this process makes."""
        return shares(tensors, self.size)[self.rank]


def shares(tensors: Sequence[TensorInfo], count: int) -> list[frozenset[Leaf]]:
    """Leaves for each of ``count`` processes, about as many bytes for each; the same everywhere:
    the largest first, to whoever has least."""
    sizes: dict[Leaf, int] = {}
    for tensor in tensors:
        size = leaf_bytes(tensor)
        for name, number in leaves_of(tensor):
            sizes[name, number] = min(size, tensor.nbytes - number * size)
    found: list[list[Leaf]] = [[] for _ in range(count)]
    loads = [(0, rank) for rank in range(count)]
    for leaf in sorted(sizes, key=lambda leaf: (-sizes[leaf], leaf)):
        load, rank = heappop(loads)
        found[rank].append(leaf)
        heappush(loads, (load + sizes[leaf], rank))
    return [frozenset(own) for own in found]


class _Status(IntEnum):
    WORKING = 0
    DONE = 1
    FAILED = 2


@dataclass(frozen=True)
class _Failed:
    """An error as it travels: made again without its ``__init__``, as pickle does it."""

    kind: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]

    def error(self) -> BaseException:
        made = self.kind.__new__(self.kind, *self.args)
        made.__dict__.update(self.state)
        return made


@dataclass
class _Stage:
    """One part, and what its two threads know of it."""

    status: _Status = _Status.WORKING
    outcome: bytes = b""
    found: list[Any] = field(default_factory=list)
    finished: Event = field(default_factory=Event)
    over: Event = field(default_factory=Event)


class Joined(Team):
    """A process among several. ``failed`` says that a stage has raised, and all know of it."""

    def __init__(self, rank: int, size: int, store: Store) -> None:
        self.rank, self.size, self.store = rank, size, store
        self.failed = False
        self.stop, self.lost = Event(), False

    def together(self, work: Callable[[], T]) -> list[T]:
        """As Team's. A signal leaves at once: whoever waits then learns that this one is lost."""
        self._require_all()
        self.stop.clear()
        stage = _Stage()
        Thread(target=self._watch, args=(stage,), daemon=True).start()
        own: Exception | None = None
        result: object = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001
            own = error
        stage.outcome = _told(result if own is None else own)
        stage.status = _Status.DONE if own is None else _Status.FAILED
        stage.finished.set()
        stage.over.wait()
        return self._results(stage.found, own)

    def lead(self, work: Callable[[], T]) -> T:
        """As Team's."""
        done: list[T] = []

        def part() -> T | None:
            if self.rank == 0:
                done.append(work())
            return done[0] if done else None

        try:
            return cast("T", self.together(part)[0])
        except LostError:
            if not done:
                raise
            return done[0]

    def heed(self) -> None:
        """As Team's."""
        self._require_all()
        if self.stop.is_set():
            raise StoppedError

    def speaks(self) -> bool:
        """Whether it falls to this process, and to no other, to tell that one died."""
        try:
            if self.rank:
                with suppress(RuntimeError):  # the first one lives, it seems, and does it
                    self.store.wait([_TOLD], GRACE)
                    return False
            return int(self.store.add(_TOLD, 1)) == 1
        except RuntimeError:  # the store died, too
            return self.rank == 0 or _number("LOCAL_RANK") == 0

    def _results(self, found: list[Any], own: Exception | None) -> list[Any]:
        for rank, outcome in enumerate(found):
            if _is_error(outcome):
                self.failed = True
                raise own if own is not None and rank == self.rank else outcome.error()
        if own is not None and not isinstance(own, StoppedError | LostError):
            raise own  # the others cannot be told
        self._require_all()
        return found

    def _require_all(self) -> None:
        if self.lost:
            raise LostError(
                "a process of the run died",
                hint="start it again: what was written already is picked up",
            )

    def _watch(self, stage: _Stage) -> None:
        try:
            while True:
                stage.finished.wait(TICK)
                states = self._statuses(stage.status)
                if _Status.FAILED in states:
                    self.stop.set()
                if _Status.WORKING not in states:
                    break
            stage.found = [pickle.loads(told) for told in self._outcomes(stage.outcome)]  # noqa: S301
        except Exception:  # noqa: BLE001 -- gloo raises what it likes
            self.lost = True
        finally:
            stage.over.set()

    def _statuses(self, status: _Status) -> list[int]:
        import torch
        from torch import distributed

        found = [torch.zeros(1, dtype=torch.int8) for _ in range(self.size)]
        distributed.all_gather(found, torch.tensor([int(status)], dtype=torch.int8))
        return [int(one) for one in found]

    def _outcomes(self, outcome: bytes) -> list[bytes]:
        from torch import distributed

        found: list[bytes | None] = [None] * self.size
        distributed.all_gather_object(found, outcome)
        return cast("list[bytes]", found)


def _is_error(outcome: object) -> bool:
    return isinstance(outcome, _Failed) and not issubclass(outcome.kind, StoppedError | LostError)


def _told(outcome: object) -> bytes:
    """An outcome as it travels. A defect takes its traceback along."""
    told = outcome
    if isinstance(outcome, Exception):
        state = dict(outcome.__dict__)
        if not isinstance(outcome, Net2NetError | OSError):
            text = "".join(traceback.format_exception(outcome))
            state["__notes__"] = [*state.get("__notes__", ()), f"told by another process:\n{text}"]
        told = _Failed(type(outcome), outcome.args, state)
    try:
        return pickle.dumps(told)
    except Exception as error:  # noqa: BLE001 -- an error may hold anything
        return pickle.dumps(_Failed(RuntimeError, (f"{error}: {outcome}",), {}))


def join() -> Joined:
    """Meet the other processes, as the environment tells (RANK, WORLD_SIZE, MASTER_ADDR).

    LostError where they are not there.
    """
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        given, rank, size = next(rendezvous("env://", timeout=PATIENCE))
        # The agent's store outlives its workers: those before a restart have left addresses there.
        attempt = _number("TORCHELASTIC_RESTART_COUNT")
        store = PrefixStore(f"net2net/{attempt}", given)
        distributed.init_process_group(
            "gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise LostError(
            "the processes of the run do not find each other",
            where=str(error).splitlines()[0] if str(error) else None,
            hint="RANK and WORLD_SIZE are set; without them, one process does it all",
        ) from error
    return Joined(rank, size, store)
