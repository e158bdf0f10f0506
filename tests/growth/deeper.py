"""Chains that grow deeper: the teacher, what goes in, and the student built by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from net2net_cli.api import RunOptions
from tests.growth.layer_nets import IMAGES
from tests.growth.nets import chain

Modules = dict[str, nn.Module]
VERIFIED = RunOptions(overwrite=True)
IMAGE, VECTOR = IMAGES[2], (5,)


@dataclass(frozen=True)
class Deeper:
    """A chain, the layer named to ``deepen``, what goes in, and behind which layer it must go.

    ``extends`` is used where the insertion is written as a target spec.
    """

    name: str
    shape: tuple[int, ...]
    layers: str
    modules: Callable[[], Modules]
    new: Callable[[], Modules]
    behind: str
    after: str = ""
    extends: str = ""

    def spec(self) -> str:
        return f"net2net: 1\ninput: {list(self.shape)}\nlayers:\n{self.layers}"

    def student(self) -> nn.Module:
        modules: Modules = {}
        for name, module in self.modules().items():
            modules[name] = module
            if name == self.behind:
                modules.update(self.new())
        return chain(**modules)

    def batch(self) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(1)
        return (torch.randn((6, *self.shape), generator=generator, dtype=torch.float64),)


MLP = """  fc: {type: Linear, out_features: 4}
  act: {type: ReLU}
  last: {type: Linear, out_features: 3}
"""
CONV = """  conv: {type: Conv2d, out_channels: 4, kernel_size: 3}
  bn: {type: BatchNorm2d}
  act: {type: ReLU}
  last: {type: Conv2d, out_channels: 3, kernel_size: 1}
"""


def mlp() -> Modules:
    return {"fc": nn.Linear(5, 4), "act": nn.ReLU(), "last": nn.Linear(4, 3)}


def conv_net(width: int = 4, reads: int = 4) -> Modules:
    return {"conv": nn.Conv2d(3, width, 3), "bn": nn.BatchNorm2d(width), "act": nn.ReLU(),
            "last": nn.Conv2d(reads, 3, 1)}  # fmt: skip
