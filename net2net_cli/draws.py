"""Random numbers that depend on a key and a place alone. Needs torch.

The stream of a key is blake3's extendable output over it (O'Connor et al. 2020, section 2.6), which
can be read from any place on: so that tiles of a tensor hold the same numbers in whatever order,
number and process they are made, and on every platform. blake3 gives them at 6 to 12 GB/s, several
times as quickly as torch's own generators do.
"""

from __future__ import annotations

from functools import cache

import torch
from blake3 import blake3
from torch import Tensor

from net2net_cli.io import TensorInfo
from net2net_cli.io.tensors import from_bytes


class Stream:
    """Random bits, in words of 16."""

    def __init__(self, key: str) -> None:
        self.key = key.encode()

    def bits(self, start: int, count: int) -> Tensor:
        """So many words from that place on; int16 [count], on the CPU, not to be written to."""
        data = blake3(self.key).digest(length=2 * count, seek=2 * start)
        return from_bytes(memoryview(data), TensorInfo("", "int16", (count,)))

    def uniform(self, start: int, count: int) -> Tensor:
        """Uniform in (-1, 1), at 65536 places; float32 [count]."""
        return self.bits(start, count).float().add_(0.5).mul_(2.0**-15)

    def normal(self, start: int, count: int) -> Tensor:
        """Of mean 0 and variance 1: the 65536 quantiles of a normal distribution, 4.2 the last of
        them; float32 [count]."""
        at = self.bits(start, count).to(torch.int32).add_(2**15)
        return _quantiles().index_select(0, at)


@cache
def _quantiles() -> Tensor:
    middles = (torch.arange(2**16, dtype=torch.float64) + 0.5) * 2.0**-16
    found: Tensor = torch.special.ndtri(middles)
    return found.div_(found.square().mean().sqrt()).float()
