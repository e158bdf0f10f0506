"""Networks that are trained a few steps, their specs, and what the theory says of their states."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.command import Net2Net

Make = Callable[..., torch.optim.Optimizer]


def mlp(a: int = 10, b: int = 13) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(7, a), t1=nn.Tanh(), fc2=nn.Linear(a, b), t2=nn.GELU(),
            out=nn.Linear(b, 3),
        )
    ).double()  # fmt: skip


def conv(a: int = 4, b: int = 5) -> nn.Sequential:
    """BatchNorms, a grouped convolution, and channels flattened before the last layer."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, a, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(a), t1=nn.Tanh(),
            dw=nn.Conv2d(a, a, 3, padding=1, groups=a), t2=nn.SiLU(),
            conv2=nn.Conv2d(a, b, 2, bias=False), bn2=nn.BatchNorm2d(b), t3=nn.PReLU(b),
            flat=nn.Flatten(), fc=nn.Linear(b * 9, 3),
        )
    ).double()  # fmt: skip


MLP_SPEC = """net2net: 1
input: [7]
layers:
  fc1: {type: Linear, out_features: 10}
  t1: {type: Tanh}
  fc2: {type: Linear, out_features: 13}
  t2: {type: GELU}
  out: {type: Linear, out_features: 3}
"""

CONV_SPEC = """net2net: 1
input: [2, 4, 4]
layers:
  conv1: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
  bn1: {type: BatchNorm2d}
  t1: {type: Tanh}
  dw: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, groups: 4}
  t2: {type: SiLU}
  conv2: {type: Conv2d, out_channels: 5, kernel_size: 2, bias: false}
  bn2: {type: BatchNorm2d}
  t3: {type: PReLU, num_parameters: 5}
  flat: {type: Flatten}
  fc: {type: Linear, out_features: 3}
"""


@dataclass
class Run:
    """A network in training on one batch."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    batch: Tensor
    wanted: Tensor

    def step(self, times: int = 1) -> float:
        loss = torch.zeros(())
        for _ in range(times):
            self.optimizer.zero_grad()
            loss = ((self.network(self.batch) - self.wanted) ** 2).mean()
            loss.backward()
            self.optimizer.step()
        return float(loss.detach())

    def goes_on(self, network: nn.Module, make: Make, weights: Path, state: Path) -> Run:
        """A student on the same batch, as a user's script would load it."""
        network.load_state_dict(torch.load(weights))
        optimizer = make(network.parameters())
        optimizer.load_state_dict(torch.load(state))
        return Run(network, optimizer, self.batch, self.wanted)


def trained(network: nn.Module, make: Make, steps: int = 5) -> Run:
    """With random weights, gains, statistics, and as many steps of training."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator).to(tensor)
                tensor.copy_(tensor + 0.2 * noise.abs() if tensor.ndim == 1 else tensor + noise / 9)
    shape = (16, 7) if isinstance(network[0], nn.Linear) else (16, 2, 4, 4)  # type: ignore[index]
    batch = torch.randn(shape, generator=generator, dtype=torch.float64)
    wanted = torch.randn(16, 3, generator=generator, dtype=torch.float64)
    run = Run(network, make(network.parameters()), batch, wanted)
    run.step(steps)
    return run


def save(run: Run, folder: Path, name: str = "teacher") -> None:
    torch.save(run.network.state_dict(), folder / f"{name}.pt")
    torch.save(run.optimizer.state_dict(), folder / f"{name}.opt.pt")


def grow(net2net: Net2Net, name: str, *options: Any) -> None:
    """Grow `name`.pt and its state to `name`-grown."""
    net2net(
        "grow", f"{name}.pt", "--source-spec", "spec.yaml", "--optimizer", f"{name}.opt.pt",
        "--optimizer-out", f"{name}-grown.opt.pt", "--optimizer-map", "gradient",
        *options, "-o", f"{name}-grown.pt",
    )  # fmt: skip


def apart(a: dict[str, Any], b: dict[str, Any]) -> float:
    """The largest difference of two optimizers' states, relative to the largest entry of each."""
    assert a["state"].keys() == b["state"].keys()
    worst = 0.0
    for number, values in a["state"].items():
        assert values.keys() == b["state"][number].keys()
        for key, value in values.items():
            if isinstance(value, Tensor) and value.ndim == 0:  # kept in float32
                torch.testing.assert_close(value, b["state"][number][key], check_dtype=False)
            elif isinstance(value, Tensor):
                other = b["state"][number][key]
                assert value.shape == other.shape, (number, key)
                size = float(value.abs().max()) or 1.0
                worst = max(worst, float((value - other).abs().max()) / size)
    return worst
