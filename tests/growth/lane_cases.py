"""What is grown once on the CPU and once by way of a device: whose bytes must be the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from net2net_cli.api import Choices
from net2net_cli.expansion import SPLITS
from tests.growth.attention_nets import ATTENTION_NETS
from tests.growth.held_nets import HELD_NETS
from tests.growth.joined_nets import (
    INCEPTION,
    JOINED_NETS,
    PRE_NORM,
    RESIDUAL,
    RESIDUAL_DEEPER,
    SHARED,
)
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.moved_nets import MOVED_NETS
from tests.growth.nets import Net
from tests.growth.recurrent_nets import RECURRENT_NETS
from tests.growth.vector_nets import VECTOR_NETS

NETS: tuple[Net, ...] = (RESIDUAL, PRE_NORM)
if "NET2NET_ALL" in os.environ:
    NETS = (
        *JOINED_NETS, *LAYER_NETS, *ATTENTION_NETS, *MOVED_NETS, *RECURRENT_NETS, *VECTOR_NETS,
        *HELD_NETS,
    )  # fmt: skip

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Case:
    """A net, what it grows to, and how."""

    net: Net
    spec: str
    choices: Choices
    dtype: torch.dtype

    def __str__(self) -> str:
        c = self.choices
        kind = f"{c.expansion}-{c.split}-{c.noise}-{c.dtype}"
        return f"{self.net.name}-{kind}-{str(self.dtype).removeprefix('torch.')}"


def cases() -> list[Case]:
    """Each net by each expansion that it bears, copies by each split; dtypes take turns."""
    return [
        Case(net, spec, choices, DTYPES[number % len(DTYPES)])
        for number, (net, spec, choices) in enumerate(_growths(NETS))
    ]


def every_case() -> list[Case]:
    """Those of a few nets, each in every dtype."""
    nets = (RESIDUAL, INCEPTION, SHARED, PRE_NORM)
    return [Case(*growth, dtype) for dtype in DTYPES for growth in _growths(nets)]


def _growths(nets: tuple[Net, ...]) -> Iterator[tuple[Net, str, Choices]]:
    for net in nets:
        for expansion in sorted(net.bears - {"duplicate", "even"}):
            yield net, net.spec(7), Choices(expansion)
        if "duplicate" in net.bears or net is PRE_NORM:
            for split in SPLITS:
                yield net, net.spec(8), Choices("duplicate", split)
    for number, cast in enumerate(("bfloat16", "float16", "float32", None)):
        yield PRE_NORM, PRE_NORM.spec(7), Choices("mean", dtype=cast)
        noise = 0.01 if number % 2 else 0.0
        yield RESIDUAL, RESIDUAL.spec(9), Choices("duplicate", noise=noise, dtype=cast)
    yield RESIDUAL, RESIDUAL_DEEPER, Choices("duplicate", "random")
