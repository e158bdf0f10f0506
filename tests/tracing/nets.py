"""Small networks written for the tests of tracing, as users write theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LeNet(nn.Module):
    """A shape written as a number that depends on widths, functional activations."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 5)
        self.conv2 = nn.Conv2d(width, 16, 5)
        self.fc1 = nn.Linear(16 * 4 * 4, 120)
        self.fc2 = nn.Linear(120, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), (2, 2))
        x = x.view(-1, 16 * 4 * 4)
        return self.fc2(F.relu(self.fc1(x)))


class PreActivation(nn.Module):
    """In place on the input of a residual sum: what is added is what ReLU left there."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return x + self.conv(self.relu(x))


class TwoHeads(nn.Module):
    """Several outputs, one module called twice, one output used again."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.Tanh())
        self.again = nn.Linear(8, 8)
        self.points = nn.Linear(8, 6)
        self.score = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.again(torch.relu(self.again(self.body(x))))
        points = self.points(x)
        return {"points": points, "score": torch.sigmoid(self.score(points))}


class Chooses(nn.Module):
    """Its way depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        if x.sum() > 0:
            x = -x
        return x


class Sorts(nn.Module):
    """An operation that no layer type does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(self.fc(x)).values


class InPlaceView(nn.Module):
    """Writes into a view of a value that is read later."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        x.t().relu_()
        return x


def raises(width: int = 3) -> nn.Module:
    """A factory that fails."""
    raise ValueError(f"width {width} is odd\nand a second line that nobody needs")


def no_module() -> int:
    """A factory that makes no network."""
    return 3
