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


class WithHead(nn.Module):
    """An auxiliary head that runs in training alone, and weights that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = torch.relu(self.conv(x)).mean((2, 3))
        if self.training:
            return self.fc(x), self.head(x)
        return self.fc(x)


class Unet(nn.Module):
    """Skips from each size to the same one on the way back."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.down1 = self.block(1, width)
        self.down2 = self.block(width, 2 * width)
        self.bottom = self.block(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.merge2 = self.block(4 * width, 2 * width)
        self.merge1 = self.block(3 * width, width)
        self.out = nn.Conv2d(width, 3, 1)

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        low = self.bottom(F.max_pool2d(second, 2))
        x = self.merge2(torch.cat([self.up2(low), second], 1))
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = self.merge1(torch.cat([x, first], dim=1))
        return self.out(x)


class Tagger(nn.Module):
    """Words to tags by a bidirectional LSTM."""

    def __init__(self, words: int = 50, width: int = 12) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, 10, num_layers=2, bidirectional=True, batch_first=True)
        self.tags = nn.Linear(20, 5)

    def forward(self, ids: Tensor) -> Tensor:
        out, _ = self.lstm(self.embed(ids))
        return F.log_softmax(self.tags(out), dim=-1)


class Generator(nn.Module):
    """DCGAN's, from noise to an image."""

    def __init__(self, noise: int = 10, width: int = 8) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(noise, width * 4, 4, 1, 0, bias=False),
            nn.BatchNorm2d(width * 4),
            nn.ReLU(True),
            nn.ConvTranspose2d(width * 4, width * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(width * 2, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, noise: Tensor) -> Tensor:
        return self.main(noise)


class MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 10), nn.GELU(), nn.Linear(10, tokens))
        self.norm2 = nn.LayerNorm(width)
        self.channels = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x).transpose(1, 2)
        x = x + self.tokens(y).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """MLP-Mixer: patches, mixed among one another and each in itself."""

    def __init__(self, width: int = 12, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.Sequential(*(MixerBlock(16, width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.fc(self.norm(self.blocks(x)).mean(dim=1))


class FaceNet(nn.Module):
    """Inception-ResNet blocks with a scale, and an embedding of length 1."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv = self.basic(3, width, 3, stride=2)
        self.blocks = nn.ModuleList(FaceBlock(width) for _ in range(2))
        self.last = nn.Linear(width, 16, bias=False)
        self.norm = nn.BatchNorm1d(16)
        self.logits = nn.Linear(16, 7)

    @staticmethod
    def basic(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=0.001),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(x)
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(x, 1)
        x = self.norm(self.last(x.view(x.shape[0], -1)))
        return F.normalize(x, p=2, dim=1), self.logits(x)


class FaceBlock(nn.Module):
    def __init__(self, width: int, scale: float = 0.17) -> None:
        super().__init__()
        self.scale = scale
        self.branch0 = FaceNet.basic(width, 4, 1)
        self.branch1 = nn.Sequential(FaceNet.basic(width, 4, 1), FaceNet.basic(4, 4, 3))
        self.conv = nn.Conv2d(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((self.branch0(x), self.branch1(x)), 1)
        return F.relu(self.conv(both) * self.scale + x, inplace=True)


class Keypoints(nn.Module):
    """Heat maps, offsets and a score from one trunk."""

    def __init__(self, width: int = 8, points: int = 4) -> None:
        super().__init__()
        self.points = points
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        )  # fmt: skip
        self.heat = nn.Conv2d(2 * width, points, 1)
        self.offset = nn.Conv2d(2 * width, 2 * points, 1)
        self.score = nn.Linear(2 * width, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.trunk(image)
        offset = self.offset(x)
        offset = offset.view(offset.size(0), self.points, 2, *offset.shape[2:])
        return {
            "heat": torch.sigmoid(self.heat(x)),
            "offset": offset,
            "score": self.score(x.mean((2, 3))).squeeze(1),
        }


class Doubling(torch.autograd.Function):
    """A function with its own gradient: tracing sees what its forward computes."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return 2 * grad


class WithFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return Doubling.apply(self.fc(x))


class WithTable(nn.Module):
    """A buffer as long as a width: features cannot be added to it."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.fc1 = nn.Linear(4, width)
        self.register_buffer("scale", torch.linspace(1, 2, width))
        self.register_buffer("hidden", torch.linspace(0, 1, width), persistent=False)
        self.fc2 = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x) * self.scale + self.hidden)


class Unread(nn.Module):
    """Holds weights that nothing reads, in training neither."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.old = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class Switches(nn.Module):
    """Computes something else in training."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.act = Scaled()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x) if self.training else torch.relu(x)


class Windows(nn.Module):
    """Windows of an image in place of the batch, as Swin has them."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.fc = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        b, h, w, c = x.shape
        x = x.view(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5)
        x = self.fc(x.reshape(-1, 16, c))
        x = torch.softmax(x @ x.transpose(-2, -1), dim=-1) @ x
        x = x.view(b, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(b, c, h, w)


class TimeFirst(nn.Module):
    """Sums over pairs of neighbours in a batch that is not the first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x.transpose(0, 1))
        return x.reshape(5, -1)


class Recurrent(nn.Module):
    """A GRU, time first, whose sequence and last state are both read."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out, last = self.gru(x.transpose(0, 1))
        return self.fc(out.transpose(0, 1)), last[-1]


class Functions(nn.Module):
    """Operations that many networks have one of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.mix = nn.Parameter(torch.eye(4))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.glu(self.conv(x), dim=1)
        x = torch.einsum("nchw,oc->nohw", x, self.mix)
        low = F.adaptive_max_pool2d(x, (2, 2))
        x = x - 0.5 * F.interpolate(low, size=x.shape[2:], mode="nearest")
        x = x.movedim(1, -1).flatten(1, 2)
        x = torch.stack([x, F.celu(x) / 2], dim=1).sum(1)
        return self.fc(x.max(dim=1)[0])


class Counts(nn.Module):
    """A shape that depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)[:, : int(x.sum().item())]
