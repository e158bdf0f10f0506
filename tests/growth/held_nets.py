"""Networks around tensors that no input feeds: tokens, positions, tables, norms; see nets.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.growth.nets import ALL, COPIES, ZERO, Net, chain

ROWS = ((4, 5),)


class Tokens(nn.Module):
    """A learned token before the others, positions added to all, a mask written in the spec."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.fc = nn.Linear(5, n)
        self.token = nn.Parameter(torch.empty(1, 1, n))
        self.positions = nn.Parameter(torch.empty(1, 5, n))
        self.last = nn.Linear(n, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.fc(x)], 1) + self.positions
        return self.last(x) * torch.tensor([1.0, 0.5], dtype=torch.float64)


TOKENS = Net(
    "Parameter",
    """fc: {type: Linear, out_features: $n}
       token: {type: Parameter, shape: [1, 1, $n], batched: true}
       both: {type: Concat, inputs: [token, fc]}
       positions: {type: Parameter, shape: [1, 5, $n], batched: true}
       placed: {type: Add, inputs: [both, positions]}
       last: {type: Linear, out_features: 2}
       mask: {type: Constant, value: [[1.0, 0.5]]}
       masked: {type: Multiply, inputs: [last, mask]}""",
    Tokens, ROWS, ALL,
)  # fmt: skip


class Table(nn.Module):
    """Swin's bias: entries of a table by an index that the checkpoint holds; a gain of the last
    axis behind it."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.fc = nn.Linear(5, n)
        self.table = nn.Parameter(torch.empty(3, n))
        self.register_buffer("index", torch.tensor([[0, 2], [2, 1]]))
        self.gain = nn.Parameter(torch.empty(n))
        self.last = nn.Linear(n, 2)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.table[self.index.view(-1)].view(1, 4, -1)
        return self.last((self.fc(x) + bias) * self.gain)


TABLE = Net(
    "IndexSelect",
    """fc: {type: Linear, out_features: $n}
       table: {type: Parameter, shape: [3, $n], init: 1.0}
       index: {type: Buffer, shape: [2, 2], dtype: int64}
       taken: {type: IndexSelect, dim: 1, inputs: [table, index]}
       flat: {type: Flatten, end_dim: 2}
       biased: {type: Add, inputs: [fc, flat]}
       gain: {type: LayerScale, dim: -1}
       last: {type: Linear, out_features: 2}""",
    Table, ROWS, ZERO,
)  # fmt: skip


def _bags() -> list[Net]:
    return [
        Net(
            f"EmbeddingBag:{mode}",
            f"""bag: {{type: EmbeddingBag, num_embeddings: 11, embedding_dim: $n, mode: {mode}}}
               last: {{type: Linear, out_features: 2}}""",
            lambda n, mode=mode: chain(bag=nn.EmbeddingBag(11, n, mode=mode), last=nn.Linear(n, 2)),
            ((5,),), bears, ids=11,
        )
        for mode, bears in (("mean", ALL), ("sum", ALL), ("max", ZERO))
    ]  # fmt: skip


class Stream(nn.Module):
    """A pre-norm block under RMSNorm."""

    def __init__(self, n: int, eps: float | None) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, n)
        self.ln1, self.ln2 = nn.RMSNorm(n, eps), nn.RMSNorm(n, eps)
        self.up, self.down = nn.Linear(n, 6), nn.Linear(6, n)
        self.head = nn.Linear(n, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.down(functional.silu(self.up(self.ln1(x))))
        return self.head(self.ln2(x))


def _streams() -> list[Net]:
    return [
        Net(
            f"RMSNorm:{'torch eps' if eps is None else 'eps'}",
            f"""embed: {{type: Embedding, num_embeddings: 11, embedding_dim: $n}}
               ln1: {{type: RMSNorm, eps: {eps or "null"}}}
               up: {{type: Linear, out_features: 6}}
               silu: {{type: SiLU}}
               down: {{type: Linear, out_features: $n}}
               add: {{type: Add, inputs: [embed, down]}}
               ln2: {{type: RMSNorm, eps: {eps or "null"}}}
               head: {{type: Linear, out_features: 3}}""",
            lambda n, eps=eps: Stream(n, eps),
            ((5,),), COPIES | more, ids=11,
        )
        for eps, more in ((None, frozenset()), (0.1, frozenset({"zero"})))
    ]  # fmt: skip


class Images(nn.Module):
    """ConvNeXt's norm over channels."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, n, 3), nn.LayerNorm(n, 0.1)
        self.last = nn.Conv2d(n, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.last(x)


IMAGES = Net(
    "LayerNorm2d",
    """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
       norm: {type: LayerNorm2d, eps: 0.1}
       last: {type: Conv2d, out_channels: 2, kernel_size: 1}""",
    Images, ((3, 5, 5),), COPIES | {"mean"},
)  # fmt: skip

HELD_NETS = (TOKENS, TABLE, *_bags(), *_streams(), IMAGES)
