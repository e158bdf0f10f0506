"""Tiles computed on a GPU, each while others are on their way there and back. Needs torch.

A tile's source rows are read straight into page-locked memory, which the GPU fetches by itself;
what becomes of them is copied into such memory, too, and hashed and written from there. Copying to
the GPU, computing and copying back are queues of their own, so that the bus carries tiles both ways
while the GPU computes on another and the processor reads and writes two more. Whatever is used for
every tile (indices, scales) is sent once.

The bytes are those that the processor alone gives. Random numbers are drawn there in any case. Of
arithmetic, the GPU is given what IEEE 754 rounds in one way alone: copies, casts, one product or
sum at a time. Sums over many entries (means, root mean squares), whose order is the device's own,
are taken by the processor. What is NaN stays NaN, but may become another one where it is multiplied
or cast: the standard leaves its bits open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from threading import Lock, local
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

Queue = Literal["there", "compute", "back"]
"""What a device does side by side: copying to it, computing, copying from it."""

CORE, DEVICE = 2**19, 2**23
"""Entries that one step after the other is carried out on: as many as stay in a core's own cache,
with what the steps need beside them; on a GPU whole tiles, since starting a step takes longer."""


class Place(Protocol):
    """Where a tile is computed, as far as arithmetic is concerned; ``block`` is CORE or DEVICE."""

    block: int

    def send(self, value: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of the CPU there, to be used once. It may be cast to ``dtype`` on the way, where
        whoever uses it would do that."""

    def keep(self, value: Tensor) -> Tensor:
        """The same, of a tensor that is used over and over, and never written to."""


class Here:
    """The CPU."""

    block = CORE

    def send(self, value: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # noqa: ARG002
        """Nothing is to be done."""
        return value

    def keep(self, value: Tensor) -> Tensor:
        """As well."""
        return value


HERE = Here()


class Mark(Protocol):
    """The end of some queued work."""

    def wait(self) -> None:
        """Return once it is reached."""


class Device(Protocol):
    """What tiles are sent to. Work that is queued is done in order, but beside other queues'."""

    def host(self, nbytes: int) -> Tensor:
        """Memory of the CPU's that can be copied from and to without its help; uint8."""

    def memory(self, nbytes: int) -> Tensor:
        """Memory of the device's own; uint8. Nothing that was queued may still use what this is in
        place of."""

    def copy(self, into: Tensor, value: Tensor) -> None:
        """Copy from ``host`` memory to its own, or back, within work that is queued."""

    def send(self, value: Tensor) -> Tensor:
        """The copy of a tensor of the CPU, within work that is queued."""

    def keep(self, value: Tensor) -> Tensor:
        """Copy it for work of all queues and threads; returns once it is there."""

    def queue(self, name: Queue, work: Callable[[], None], after: Mark | None) -> Mark:
        """Have it done, and not before ``after``."""


class Cuda:
    """A CUDA GPU, by torch's name, and one thread's streams on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.streams: dict[Queue, Any] = {
            queue: torch.cuda.Stream(name)  # type: ignore[no-untyped-call]
            for queue in ("there", "compute", "back")
        }

    def host(self, nbytes: int) -> Tensor:
        """As Device says."""
        with torch.cuda.device(self.name):  # what locks pages must not begin to use another
            return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)

    def memory(self, nbytes: int) -> Tensor:
        """As Device says."""
        torch.cuda.synchronize(self.name)  # torch knows of one stream that uses it, not of three
        return torch.empty(nbytes, dtype=torch.uint8, device=self.name)

    def copy(self, into: Tensor, value: Tensor) -> None:
        """As Device says."""
        into.copy_(value, non_blocking=True)

    def send(self, value: Tensor) -> Tensor:
        """As Device says; torch keeps page-locked memory until what is copied from it is there."""
        return value.pin_memory().to(self.name, non_blocking=True)

    def keep(self, value: Tensor) -> Tensor:
        """As Device says."""
        return value.to(self.name)

    def queue(self, name: Queue, work: Callable[[], None], after: Mark | None) -> Mark:
        """As Device says."""
        stream = self.streams[name]
        with torch.cuda.device(self.name), torch.cuda.stream(stream):
            if isinstance(after, _Recorded):
                stream.wait_event(after.event)
            work()
            # Who waits for it leaves the core to others.
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record(stream)
        return _Recorded(event)


@dataclass(frozen=True)
class _Recorded:
    event: Any

    def wait(self) -> None:
        self.event.synchronize()


class _Buffer:
    """Memory that is used over and over, and replaced where more is needed."""

    def __init__(self, take: Callable[[int], Tensor]) -> None:
        self.take = take
        self.held: Tensor | None = None

    def of(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """As much of it as such a tensor takes."""
        size = prod(shape) * dtype.itemsize
        if self.held is None or self.held.numel() < size:
            self.held = self.take(max(size, 1))
        return self.held[:size].view(dtype).view(*shape)


class Slot:
    """One tile on its way, and the memory that it takes."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.read, self.given = _Buffer(device.host), _Buffer(device.memory)
        self.made, self.back = _Buffer(device.memory), _Buffer(device.host)
        self.mark: Mark | None = None
        self.result: Tensor | None = None

    def carry(self, job: Job, start: int, stop: int, place: Place) -> None:
        """Read the tile, and queue everything else."""
        if self.mark is not None:  # an error may have left something on its way
            self.mark.wait()
        if (drawn := job.drawn(start, stop)) is not None:
            self.mark, self.result = None, drawn
            return
        shape, dtype = job.source(start, stop)
        read, given = self.read.of(shape, dtype), self.given.of(shape, dtype)
        job.fill(read, start, stop)
        made, back = (b.of(job.shape(start, stop), job.dtype) for b in (self.made, self.back))

        def compute() -> None:
            made.copy_(job.compute(given, start, stop, place))

        device = self.device
        self.mark = device.queue("there", lambda: device.copy(given, read), None)
        self.mark = device.queue("compute", compute, self.mark)
        self.mark = device.queue("back", lambda: device.copy(back, made), self.mark)
        self.result = back

    def wait(self) -> Tensor:
        """The tile; valid until the slot carries another."""
        assert self.result is not None
        if self.mark is not None:
            self.mark.wait()
        return self.result


class Job(Protocol):
    """How the rows of one tensor are made."""

    dtype: torch.dtype

    def shape(self, start: int, stop: int) -> tuple[int, ...]:
        """What the rows from ``start`` to ``stop`` are."""

    def drawn(self, start: int, stop: int) -> Tensor | None:
        """Them, where they are made of nothing that is read: on the CPU, in memory of their own."""

    def source(self, start: int, stop: int) -> tuple[tuple[int, ...], torch.dtype]:
        """Shape and dtype of what they are made of."""

    def fill(self, into: Tensor, start: int, stop: int) -> None:
        """Read that."""

    def compute(self, value: Tensor, start: int, stop: int, place: Place) -> Tensor:
        """Make them of it, which may be written to."""


class Lane:
    """The way to a device and back, of one thread: two slots in turns."""

    block = DEVICE

    def __init__(self, device: Device, kept: Kept) -> None:
        self.device, self.kept = device, kept
        self.slots = (Slot(device), Slot(device))

    def send(self, value: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """As Place says: in as few bytes as it takes, and rounded as the CPU does it."""
        return self.device.send(value if dtype is None else value.to(dtype))

    def keep(self, value: Tensor) -> Tensor:
        """As Place says."""
        return self.kept.of(value, self.device)

    def tiles(self, job: Job, spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        """The rows of each span, on the CPU; each is valid until the next is asked for. A slot is
        filled anew only once what it carried before has come back, and was used."""
        before: Slot | None = None
        for number, (start, stop) in enumerate(spans):
            slot = self.slots[number % 2]
            slot.carry(job, start, stop, self)
            if before is not None:
                yield before.wait()
            before = slot
        if before is not None:
            yield before.wait()


class Kept:
    """What is on a device for good, by the tensor that it is a copy of."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.found: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, value: Tensor, device: Device) -> Tensor:
        """Its copy; several threads may ask."""
        with self.lock:
            if id(value) not in self.found:
                self.found[id(value)] = value, device.keep(value)
            return self.found[id(value)][1]


class Lanes(local):
    """A lane for every thread."""

    def __init__(self, device: Callable[[], Device], kept: Kept) -> None:
        self.lane = Lane(device(), kept)


def lanes_to(device: str) -> Lanes | None:
    """The lanes to a device by torch's name; None of the CPU, where tiles are made in place."""
    return None if device == "cpu" else Lanes(lambda: Cuda(device), Kept())
