"""A device that works as a GPU does, made of threads: each of its queues does its work when it gets
to it, beside the others and beside whoever gave it. What is not waited for is not there."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from threading import get_ident

import torch
from torch import Tensor

from net2net_cli.lanes import Kept, Lanes, Mark, Queue

LATE = 0.0005
"""Seconds that some work waits before it begins; the rest waits for less."""


@dataclass(frozen=True)
class Done:
    """The end of some work; waiting for it raises what it raised."""

    future: Future[None]

    def wait(self) -> None:
        self.future.result()


class Late:
    """The device. ``kept`` are the tensors that were sent to stay, of all lanes."""

    def __init__(self, kept: list[Tensor] | None = None) -> None:
        self.kept = [] if kept is None else kept
        self.queues = {
            name: ThreadPoolExecutor(1, thread_name_prefix=name)
            for name in ("there", "compute", "back")
        }
        self.random = Random(0)
        self.threads = set[int]()

    def host(self, nbytes: int) -> Tensor:
        return torch.full((nbytes,), 0xFF, dtype=torch.uint8)  # NaN, of all floats

    memory = host

    def copy(self, into: Tensor, value: Tensor) -> None:
        into.copy_(value)

    def send(self, value: Tensor) -> Tensor:
        assert get_ident() in self.threads, "a tensor is sent outside of queued work"
        return value.clone()

    def keep(self, value: Tensor) -> Tensor:
        self.kept.append(value)
        return value.clone()

    def queue(self, name: Queue, work: Callable[[], None], after: Mark | None) -> Done:
        pause = self.random.random() * LATE

        def late() -> None:
            self.threads.add(get_ident())
            if after is not None:
                after.wait()
            time.sleep(pause)
            work()

        return Done(self.queues[name].submit(late))


def late_lanes(kept: list[Tensor] | None = None) -> Lanes:
    """Lanes to such a device for every thread."""
    return Lanes(lambda: Late(kept), Kept())
