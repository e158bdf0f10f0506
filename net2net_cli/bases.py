"""What the tensors of a student are made from, some rows at a time. Needs torch.

A tensor of the source is read as far as it is needed, by system calls into memory that is used over
and over; identities and constants are never whole anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from threading import local
from typing import Protocol

import torch
from torch import Tensor

from net2net_cli.io import TensorInfo
from net2net_cli.io.tensors import raw_bytes
from net2net_cli.recipe import Identity


class Base(Protocol):
    """A tensor as rows: what lies along its first axis. ``width`` is the entries of a row."""

    @property
    def dtype(self) -> torch.dtype:
        """What its entries are."""

    def fill(self, first: int, into: Tensor) -> None:
        """Write the rows from ``first`` on into a contiguous tensor on the CPU [rows, width]."""


@dataclass(frozen=True)
class Stored:
    """A tensor of the source; ``read`` fills a buffer with its bytes from some place on."""

    info: TensorInfo
    read: Callable[[str, int, memoryview], None]

    @property
    def dtype(self) -> torch.dtype:
        """The source's."""
        found: torch.dtype = getattr(torch, self.info.dtype)
        return found

    def fill(self, first: int, into: Tensor) -> None:
        """As Base says."""
        if into.numel():
            data = raw_bytes(into)
            self.read(self.info.name, first * (len(data) // len(into)), data)


@dataclass(frozen=True)
class Held:
    """A small tensor in memory."""

    value: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The tensor's."""
        return self.value.dtype

    def fill(self, first: int, into: Tensor) -> None:
        """As Base says."""
        into.copy_(self.value.reshape(-1, into.shape[1])[first : first + len(into)])


@dataclass(frozen=True)
class Filled:
    """One number everywhere."""

    value: float
    dtype: torch.dtype = torch.float64

    def fill(self, first: int, into: Tensor) -> None:  # noqa: ARG002
        """As Base says."""
        into.fill_(self.value)


@dataclass(frozen=True)
class IdentityKernel:
    """The kernel whose convolution is the identity: [out, in, *kernel] ([in, out, ...] where it is
    transposed). Groups are seen from the shape: the shorter side repeats."""

    base: Identity
    dtype: torch.dtype = torch.float64

    def fill(self, first: int, into: Tensor) -> None:
        """As Base says."""
        into.zero_()
        base, columns, kernel = self.base, self.base.shape[1], self.base.shape[2:]
        tap = 0
        for size, at in zip(kernel, base.taps, strict=True):
            tap = tap * size + at
        of_row = into.shape[1] == columns * prod(kernel)
        step = columns if not of_row else 1  # rows of a tensor whose first axes were merged
        for row in range(len(into)):
            line, inner = divmod(first + row, step)
            start = line * base.repeat if base.transposed else line // base.repeat
            for more in range(base.repeat if base.transposed else 1):
                column = (start + more) % columns
                if of_row:
                    into[row, column * prod(kernel) + tap] = 1
                elif column == inner:
                    into[row, tap] = 1


class _Scratch(local):
    """A thread's own buffers, by name."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, torch.device], Tensor] = {}


_SCRATCH = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: torch.dtype, device: str = "cpu") -> Tensor:
    """Memory of this thread's, used over and over: fresh memory costs more than gathering does.
    Whatever was asked for by the same name before is gone."""
    size = prod(shape) * dtype.itemsize
    key = (name, torch.device(device))
    held = _SCRATCH.held.get(key)
    if held is None or held.numel() < size:
        held = _SCRATCH.held[key] = torch.empty(size, dtype=torch.uint8, device=device)
    return held[:size].view(dtype).view(shape)
