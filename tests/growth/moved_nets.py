"""Networks around the layers that move, cut, sum and multiply axes; see nets.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.growth.nets import ALL, COPIES, EACH, ZERO, Net, Told, chain

IMAGE = ((3, 7, 7),)
ROWS = ((4, 5),)


def image(
    name: str, text: str, function: Callable[[Tensor], Tensor], bears: frozenset[str] = ALL,
    head: str = "{type: Conv2d, out_channels: 2, kernel_size: 1}",
    last: Callable[[int], nn.Module] = lambda n: nn.Conv2d(n, 2, 1), wide: int = 1,
) -> Net:  # fmt: skip
    """``x`` on ``[n, 5, 5]``, between a convolution and a reader."""
    many = "$n" if wide == 1 else f"$n{wide}"
    return Net(
        name,
        f"""first: {{type: Conv2d, out_channels: {many}, kernel_size: 3}}
           x: {{type: {name.partition(":")[0]}, {text}}}
           last: {head}""",
        lambda n: chain(first=nn.Conv2d(3, wide * n, 3), x=Told(function), last=last(n)),
        IMAGE, bears,
    )  # fmt: skip


LINEAR = "{type: Linear, out_features: 2}"
CONV1D = "{type: Conv1d, out_channels: 2, kernel_size: 1}"


def moves() -> Iterator[Net]:
    """Whole features moved about, and positions beside them."""
    yield image("Chunk", "chunks: 2, index: 1", lambda x: x.chunk(2, 1)[1], wide=2)
    yield image("Slice:positions", "dim: 2, start: 1, end: -1, step: 2", lambda x: x[:, :, 1:-1:2])
    yield image("Select:positions", "dim: 3, index: 2", lambda x: x[..., 2], head=CONV1D,
                last=lambda n: nn.Conv1d(n, 2, 1))  # fmt: skip
    for shape in ("[$n, 25]", "[-1, 25]"):
        yield image(f"Reshape:{shape}", f"shape: {shape}", lambda x: x.flatten(2), head=CONV1D,
                    last=lambda n: nn.Conv1d(n, 2, 1))  # fmt: skip
    yield image("Reshape:channels with positions", "shape: [-1, 5]", lambda x: x.flatten(1, 2),
                head=CONV1D, last=lambda n: nn.Conv1d(5 * n, 2, 1))  # fmt: skip
    yield image("Reshape:channels cut", "shape: [$n, 2, 5, 5]",
                lambda x: x.unflatten(1, (-1, 2)), wide=2,
                head="{type: Conv3d, out_channels: 2, kernel_size: 1}",
                last=lambda n: nn.Conv3d(n, 2, 1))  # fmt: skip
    yield image("Transpose", "dim0: 1, dim1: -1", lambda x: x.transpose(1, 3), head=LINEAR,
                last=lambda n: nn.Linear(n, 2))  # fmt: skip
    yield image("Unsqueeze", "dim: 2", lambda x: x.unsqueeze(2),
                head="{type: Conv3d, out_channels: 2, kernel_size: 1}",
                last=lambda n: nn.Conv3d(n, 2, 1))  # fmt: skip
    yield image("Flip", "dims: [2, -1]", lambda x: x.flip(2, 3))
    yield image("Roll", "shifts: [2, -1], dims: [2, 3]", lambda x: x.roll((2, -1), (2, 3)))
    yield image("Pad", "pad: [1, -2, 0, 2], value: 0.5",
                lambda x: functional.pad(x, (1, -2, 0, 2), value=0.5), EACH)  # fmt: skip
    yield image("Pad:reflected", "pad: [1, 2, 0, 0], mode: reflect",
                lambda x: functional.pad(x, (1, 2, 0, 0), "reflect"), ZERO)  # fmt: skip
    yield image("Pad:channels", "pad: [0, 0, 0, 0, 2, 1]",
                lambda x: functional.pad(x, (0, 0, 0, 0, 2, 1)), ZERO,
                last=lambda n: nn.Conv2d(n + 3, 2, 1))  # fmt: skip
    yield image("Unfold", "kernel_size: 2", nn.Unfold(2), head=CONV1D,
                last=lambda n: nn.Conv1d(4 * n, 2, 1))  # fmt: skip


def sums() -> Iterator[Net]:
    """Whatever takes one number from a whole axis."""
    pooled = {"head": LINEAR, "last": lambda n: nn.Linear(n, 2)}
    narrow = {"last": lambda _: nn.Conv2d(1, 2, 1)}
    positions, channels = "dim: [2, 3]", "dim: 1, keepdim: true"
    for name, over, bears in (
        ("Mean", ALL, COPIES | {"mean"}),
        ("Sum", ALL, frozenset({"zero"})),
        ("Amax", ZERO, COPIES | {"mean"}),
        ("Amin", ZERO, COPIES | {"mean"}),
    ):
        function = getattr(torch, name.lower())
        yield image(name, positions, lambda x, f=function: f(x, (2, 3)), over, **pooled)
        yield image(f"{name}:channels", channels,
                    lambda x, f=function: f(x, (1,), keepdim=True), bears, **narrow)  # fmt: skip
    for name in ("Var", "Std"):
        function = getattr(torch, name.lower())
        yield image(name, positions, lambda x, f=function: f(x, (2, 3)), ZERO, **pooled)
        yield image(f"{name}:channels", f"{channels}, correction: 0",
                    lambda x, f=function: f(x, (1,), correction=0, keepdim=True),
                    COPIES, **narrow)  # fmt: skip
    yield image("Normalize", "dim: 1", lambda x: functional.normalize(x, dim=1),
                frozenset({"zero"}))  # fmt: skip
    yield image("Normalize:positions", "p: 1.5, dim: 2", lambda x: functional.normalize(x, 1.5, 2),
                ZERO)  # fmt: skip


class Halves(nn.Module):
    """Parts of one convolution's channels, cut at a fixed place, go different ways."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3 * n, 3)
        self.a, self.b = nn.Conv2d(n, 2, 1), nn.Conv2d(2 * n, 2, 1)
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x).split([self.n, 2 * self.n], 1)
        return self.a(a.tanh()) + self.b(b)


HALVES = Net(
    "Slice:channels",
    """first: {type: Conv2d, out_channels: $n3, kernel_size: 3}
       left: {type: Slice, dim: 1, end: $n}
       tanh: {type: Tanh}
       a: {type: Conv2d, out_channels: 2, kernel_size: 1}
       right: {type: Slice, dim: 1, start: $n, inputs: first}
       b: {type: Conv2d, out_channels: 2, kernel_size: 1}
       sum: {type: Add, inputs: [a, b]}""",
    Halves, IMAGE, ZERO,
)  # fmt: skip


class Gated(nn.Module):
    """The last channel gates all; a pooled value is spread over the image again."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, n, 3), nn.Conv2d(n, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        spread = x.mean((2, 3), keepdim=True).squeeze(3).unsqueeze(3).expand(-1, -1, 5, 5)
        return self.last(x * x[:, -1:] * x.select(1, -1).unsqueeze(1) - spread)


GATED = Net(
    "Select:a channel",
    """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
       one: {type: Slice, dim: 1, start: -1}
       last_of: {type: Select, dim: 1, index: -1, inputs: first}
       same: {type: Unsqueeze, dim: 1}
       mean: {type: Mean, dim: [2, 3], keepdim: true, inputs: first}
       squeezed: {type: Squeeze, dim: 3}
       back: {type: Unsqueeze, dim: 3}
       spread: {type: Expand, sizes: [-1, 5, 5]}
       gate: {type: Multiply, inputs: [first, one, same]}
       less: {type: Subtract, inputs: [gate, spread]}
       last: {type: Conv2d, out_channels: 2, kernel_size: 1}""",
    Gated, IMAGE, frozenset({"fresh", "duplicate", "zero"}),
)  # fmt: skip


class Pairs(nn.Module):
    """Two values joined element by element, in every way that minds their order or does not."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, n), nn.Linear(5, n)
        self.last = nn.Linear(n, 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        return self.last(torch.maximum(a, b) / b - torch.minimum(a, b))


PAIRS = Net(
    "Divide",
    """a: {type: Linear, out_features: $n}
       b: {type: Linear, out_features: $n, inputs: input}
       most: {type: Maximum, inputs: [a, b]}
       least: {type: Minimum, inputs: [a, b]}
       ratio: {type: Divide, inputs: [most, b]}
       less: {type: Subtract, inputs: [ratio, least]}
       last: {type: Linear, out_features: 2}""",
    Pairs, ROWS, EACH,
)  # fmt: skip


class Attention(nn.Module):
    """Self-attention in plain parts."""

    def __init__(self, heads: int, inner: int, *, width: int = 6) -> None:
        super().__init__()
        self.stem, self.qkv = nn.Linear(5, width), nn.Linear(width, 3 * heads * inner)
        self.out, self.last = nn.Linear(heads * inner, width), nn.Linear(width, 2)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2) * 0.5).softmax(-1)
        return self.last(x + self.out((scores @ v).transpose(1, 2).flatten(2)))


def _attention(sizes: str, scores: str) -> str:
    return f"""stem: {{type: Linear, out_features: 6}}
       qkv: {{type: Linear, out_features: {"$n3" if "2" not in sizes else "$n6"}}}
       cut: {{type: Unflatten, dim: -1, unflattened_size: {sizes}}}
       moved: {{type: Permute, dims: [2, 3, 1, 4]}}
       q: {{type: Select, dim: 1, index: 0}}
       k: {{type: Select, dim: 1, index: 1, inputs: moved}}
       v: {{type: Select, dim: 1, index: 2, inputs: moved}}
       {scores}
       scale: {{type: Scale, value: 0.5}}
       soft: {{type: Softmax, dim: -1}}
       mixed: {{type: MatMul, inputs: [soft, v]}}
       merged: {{type: Transpose, dim0: 1, dim1: 2}}
       flat: {{type: Flatten, start_dim: 2}}
       out: {{type: Linear, out_features: 6}}
       add: {{type: Add, inputs: [stem, out]}}
       last: {{type: Linear, out_features: 2}}"""


MATMUL = """kt: {type: Transpose, dim0: -1, dim1: -2, inputs: k}
       scores: {type: MatMul, inputs: [q, kt]}"""
EINSUM = "scores: {type: Einsum, equation: 'nhqd,nhkd->nhqk', inputs: [q, k]}"


def attentions() -> Iterator[Net]:
    """More heads, and wider ones."""
    for kind, scores in (("MatMul", MATMUL), ("Einsum", EINSUM)):
        for sizes, module, bears in (
            ("[3, $n, 3]", lambda n: Attention(n, 3), EACH),
            ("[3, 2, -1]", lambda n: Attention(2, n), frozenset({"zero"})),
        ):
            many = "more heads" if "$n" in sizes else "wider heads"
            layers = _attention(sizes, scores).replace("$n3", "$n9" if "$n" in sizes else "$n3")
            yield Net(f"{kind}:{many}", layers, module, ROWS, bears)


MOVED_NETS = (*moves(), *sums(), HALVES, GATED, PAIRS, *attentions())
