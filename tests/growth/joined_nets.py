"""Networks whose layers join several values, share parameters or take several inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.growth.nets import ALL, COPIES, EACH, ZERO, Net

IMAGE = ((3, 5, 5),)


class Residual(nn.Module):
    """Two blocks on one stream; the second is added to a pooled value that is broadcast."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, n, 3, padding=1)
        self.a = nn.Sequential(nn.Conv2d(n, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(),
                               nn.Conv2d(5, n, 1), nn.BatchNorm2d(n))  # fmt: skip
        self.b = nn.Conv2d(n, n, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Conv2d(n, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.a(x))
        x = self.pool(x) + self.b(x)
        return self.head(x)


RESIDUAL = Net(
    "Add:a stream",
    """stem: {type: Conv2d, out_channels: $n, kernel_size: 3, padding: 1}
       a.0: {type: Conv2d, out_channels: 5, kernel_size: 3, padding: 1}
       a.1: {type: BatchNorm2d}
       a.2: {type: ReLU}
       a.3: {type: Conv2d, out_channels: $n, kernel_size: 1}
       a.4: {type: BatchNorm2d}
       add1: {type: Add, inputs: [stem, a.4]}
       relu: {type: ReLU}
       pool: {type: AdaptiveAvgPool2d, output_size: 1}
       b: {type: Conv2d, out_channels: $n, kernel_size: 3, padding: 1, inputs: relu}
       add2: {type: Add, inputs: [pool, b]}
       head: {type: Conv2d, out_channels: 2, kernel_size: 1}""",
    Residual, IMAGE, ZERO,
)  # fmt: skip
RESIDUAL_DEEPER = """net2net: 1
extends: source
layers:
  stem: {out_channels: 7}
  a.3: {out_channels: 7}
  b: {out_channels: 7}
  new: {type: Conv2d, out_channels: 9, kernel_size: 3, padding: 1, after: a.2}
  new_bn: {type: BatchNorm2d}
  new_relu: {type: ReLU}
"""
"""Wider and deeper: splits, fresh layers, and a BatchNorm whose statistics are estimated."""


class Inception(nn.Module):
    """Parts of different widths laid end to end, one of them twice."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, n, 1), nn.Conv2d(3, 5, 1)
        self.bn = nn.BatchNorm2d(2 * n + 5)
        self.conv = nn.Conv2d(2 * n + 5, 4, 3)
        self.fc = nn.Linear(2 * n + 5 + 4 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.tanh(self.a(x)), self.b(x)
        y = self.bn(torch.cat([a, b, a], 1))
        return self.fc(torch.cat([y.amax((2, 3)), self.conv(y).flatten(1)], 1))


INCEPTION = Net(
    "Concat:channels",
    """a: {type: Conv2d, out_channels: $n, kernel_size: 1}
       tanh: {type: Tanh}
       b: {type: Conv2d, out_channels: 5, kernel_size: 1, inputs: input}
       mixed: {type: Concat, inputs: [tanh, b, tanh]}
       bn: {type: BatchNorm2d}
       conv: {type: Conv2d, out_channels: 4, kernel_size: 3}
       rows: {type: Flatten}
       pool: {type: AdaptiveMaxPool2d, output_size: 1, inputs: bn}
       peaks: {type: Flatten}
       all: {type: Concat, inputs: [peaks, rows]}
       fc: {type: Linear, out_features: 3}""",
    Inception, IMAGE, ZERO,
)  # fmt: skip


class Beside(nn.Module):
    """Values laid end to end along their positions, whose channels are one width."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(3, n, 3), nn.Conv1d(3, n, 4)
        self.head = nn.Conv1d(n, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.a(x), self.b(x)], -1))


BESIDE = Net(
    "Concat:positions",
    """a: {type: Conv1d, out_channels: $n, kernel_size: 3}
       b: {type: Conv1d, out_channels: $n, kernel_size: 4, inputs: input}
       cat: {type: Concat, dim: -1, inputs: [a, b]}
       head: {type: Conv1d, out_channels: 2, kernel_size: 2}""",
    Beside, ((3, 9),), ALL,
)  # fmt: skip


class SqueezeExcite(nn.Module):
    """Gates from the pooled value multiply the value itself; the gate's inner width is n too."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, n, 3)
        self.down, self.up = nn.Conv2d(n, 3, 1), nn.Conv2d(3, n, 1)
        self.scale = nn.Parameter(torch.empty(n, 1, 1))
        self.head = nn.Conv2d(n, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))
        return self.head(gate * x * self.scale)


SQUEEZE = Net(
    "Multiply:gates",
    """stem: {type: Conv2d, out_channels: $n, kernel_size: 3}
       pool: {type: AdaptiveAvgPool2d, output_size: 1}
       down: {type: Conv2d, out_channels: 3, kernel_size: 1}
       relu: {type: ReLU}
       up: {type: Conv2d, out_channels: $n, kernel_size: 1}
       gate: {type: Sigmoid}
       gated: {type: Multiply, inputs: [gate, stem]}
       scale: {type: LayerScale}
       head: {type: Conv2d, out_channels: 2, kernel_size: 1}""",
    SqueezeExcite, IMAGE, EACH,
)  # fmt: skip


class Squares(nn.Module):
    """A value times itself, and times one number an example; LayerScale on vectors."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.fc, self.one = nn.Linear(5, n), nn.Linear(5, 1)
        self.scale = nn.Parameter(torch.empty(n))
        self.head = nn.Linear(n, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return self.head(y * y * self.one(x) * self.scale)


SQUARES = Net(
    "LayerScale",
    """fc: {type: Linear, out_features: $n}
       one: {type: Linear, out_features: 1, inputs: input}
       product: {type: Multiply, inputs: [fc, fc, one]}
       scale: {type: LayerScale, init: 0.5}
       head: {type: Linear, out_features: 3}""",
    Squares, ((5,),), ZERO,
)  # fmt: skip


class Recurrent(nn.Module):
    """One Linear used twice, and a pair of heads that share only their bias' owner's weight."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first = nn.Linear(5, n)
        self.step = nn.Linear(n, n)
        self.head = nn.Linear(n, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = torch.relu(self.step(x))
        return self.head(self.step(x))


SHARED = Net(
    "share:a Linear twice",
    """first: {type: Linear, out_features: $n}
       tanh: {type: Tanh}
       step: {type: Linear, out_features: $n}
       relu: {type: ReLU}
       again: {type: Linear, out_features: $n, share: step}
       head: {type: Linear, out_features: 3}""",
    Recurrent, ((5,),), ZERO,
)  # fmt: skip


class PreNorm(nn.Module):
    """A transformer's MLP blocks: a stream under LayerNorm, embedded ids, positions added by a
    second table; also read without a norm."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, n)
        self.ln1, self.ln2 = nn.LayerNorm(n), nn.LayerNorm(n, bias=False)
        self.up, self.down = nn.Linear(n, 6), nn.Linear(6, n)
        self.head, self.skip = nn.Linear(n, 3), nn.Linear(n, 3, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.down(nn.functional.gelu(self.up(self.ln1(x))))
        return self.head(self.ln2(x)) + self.skip(x)


PRE_NORM = Net(
    "LayerNorm:a stream",
    """embed: {type: Embedding, num_embeddings: 11, embedding_dim: $n}
       ln1: {type: LayerNorm}
       up: {type: Linear, out_features: 6}
       gelu: {type: GELU}
       down: {type: Linear, out_features: $n}
       add: {type: Add, inputs: [embed, down]}
       ln2: {type: LayerNorm, bias: false}
       head: {type: Linear, out_features: 3}
       skip: {type: Linear, out_features: 3, bias: false, inputs: add}
       end: {type: Add, inputs: [head, skip]}""",
    PreNorm, ((5,),), COPIES | {"mean"}, ids=11,
)  # fmt: skip


class TwoInputs(nn.Module):
    """Two inputs, joined by a sum and a product."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, n), nn.Linear(4, n)
        self.head = nn.Linear(2 * n, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = self.left(a), self.right(b)
        return self.head(torch.cat([a + b, a * b], 1))


TWO_INPUTS = Net(
    "Add:two inputs",
    """left: {type: Linear, out_features: $n, inputs: a}
       right: {type: Linear, out_features: $n, inputs: b}
       sum: {type: Add, inputs: [left, right]}
       product: {type: Multiply, inputs: [left, right]}
       both: {type: Concat, inputs: [sum, product]}
       head: {type: Linear, out_features: 3}""",
    TwoInputs, ((5,), (4,)), ZERO,
)  # fmt: skip


class Shifted(nn.Module):
    """One number an example is added to every feature: zeros do not stay zeros."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.fc, self.one = nn.Linear(5, n), nn.Linear(5, 1)
        self.head = nn.Linear(n, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.fc(x) + self.one(x))


SHIFTED = Net(
    "Add:one number for all",
    """fc: {type: Linear, out_features: $n}
       one: {type: Linear, out_features: 1, inputs: input}
       sum: {type: Add, inputs: [fc, one]}
       head: {type: Linear, out_features: 3}""",
    Shifted, ((4, 5),), ALL - {"zero"},
)  # fmt: skip

JOINED_NETS = (
    RESIDUAL, INCEPTION, BESIDE, SQUEEZE, SQUARES, SHARED, PRE_NORM, TWO_INPUTS, SHIFTED,
)  # fmt: skip
