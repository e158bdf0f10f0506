"""Networks around attention: more heads, and a stream that grows with them; see nets.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.growth.nets import ZERO, Net
from tests.support.vision import models

ROWS = ((5, 3),)


class SelfAttention(nn.Module):
    """A residual stream with attention; each head is 2 wide."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(3, 2 * n), nn.Linear(2 * n, 2)
        self.att = nn.MultiheadAttention(2 * n, n, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.att(x, x, x, need_weights=False)[0])


SELF = Net(
    "MultiheadAttention",
    """stem: {type: Linear, out_features: $n2}
       att: {type: MultiheadAttention, num_heads: $n}
       add: {type: Add, inputs: [stem, att]}
       head: {type: Linear, out_features: 2}""",
    SelfAttention, ROWS, ZERO,
)  # fmt: skip


class CrossAttention(nn.Module):
    """Learned queries attend to keys and values of other sizes, which grow too."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.keys, self.values = nn.Linear(3, 3 * n), nn.Linear(3, n)
        self.queries = nn.Parameter(torch.empty(4, 2 * n))
        self.att = nn.MultiheadAttention(2 * n, n, kdim=3 * n, vdim=n, bias=False, batch_first=True)
        self.head = nn.Linear(2 * n, 2)

    def forward(self, x: Tensor) -> Tensor:
        query = self.queries.expand(len(x), -1, -1)
        made = self.att(query, self.keys(x), self.values(x), need_weights=False)[0]
        return self.head(made.tanh())


CROSS = Net(
    "MultiheadAttention:cross",
    """keys: {type: Linear, out_features: $n3}
       values: {type: Linear, out_features: $n, inputs: input}
       queries: {type: Parameter, shape: [4, $n2], init: 1.0}
       att: {type: MultiheadAttention, num_heads: $n, kdim: $n3, vdim: $n, bias: false,
             inputs: [queries, keys, values]}
       tanh: {type: Tanh}
       head: {type: Linear, out_features: 2}""".replace(",\n             inputs", ", inputs"),
    CrossAttention, ROWS, ZERO,
)  # fmt: skip


class Grouped(nn.Module):
    """Two query heads share one of keys and values."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(3, 4 * n), nn.Linear(3, 2 * n), nn.Linear(3, 3 * n)
        self.head, self.n = nn.Linear(6 * n, 2), n

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).unflatten(2, (-1, 2)).transpose(1, 2)
        k = self.k(x).unflatten(2, (-1, 2)).transpose(1, 2).repeat_interleave(2, 1)
        v = self.v(x).unflatten(2, (-1, 3)).transpose(1, 2).repeat_interleave(2, 1)
        made = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(made.transpose(1, 2).flatten(2))


def _heads(name: str, width: str, inner: int) -> str:
    return f"""{name}: {{type: Linear, out_features: {width}, inputs: input}}
       {name}_cut: {{type: Unflatten, dim: 2, unflattened_size: [-1, {inner}]}}
       {name}_heads: {{type: Transpose, dim0: 1, dim1: 2}}
       """


GROUPED = Net(
    "ScaledDotProductAttention:shared keys",
    _heads("q", "$n4", 2) + _heads("k", "$n2", 2) + _heads("v", "$n3", 3)
    + "att: {type: ScaledDotProductAttention, is_causal: true, enable_gqa: true, "
    + """inputs: [q_heads, k_heads, v_heads]}
       back: {type: Transpose, dim0: 1, dim1: 2}
       flat: {type: Flatten, start_dim: 2}
       head: {type: Linear, out_features: 2}""",
    Grouped, ROWS, ZERO,
)  # fmt: skip


class Wide(nn.Module):
    """Queries, keys and values n wide, under a scale that says so itself, and a mask."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(3, n), nn.Linear(3, n), nn.Linear(3, n)
        self.mask = nn.Parameter(torch.empty(5, 5))
        self.head = nn.Linear(n, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        made = functional.scaled_dot_product_attention(q, k, v, self.mask[None], scale=0.4)
        return self.head(made)


WIDE = Net(
    "ScaledDotProductAttention:a scale of its own",
    """q: {type: Linear, out_features: $n}
       k: {type: Linear, out_features: $n, inputs: input}
       v: {type: Linear, out_features: $n, inputs: input}
       mask: {type: Parameter, shape: [5, 5]}
       att: {type: ScaledDotProductAttention, scale: 0.4, inputs: [q, k, v, mask]}
       head: {type: Linear, out_features: 2}""",
    Wide, ROWS, frozenset({"zero"}),
)  # fmt: skip


class Windows(nn.Module):
    """Swin's attention on a stream."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(3, 2 * n), nn.Linear(2 * n, 2)
        self.att = models.swin_transformer.ShiftedWindowAttention(2 * n, [2, 3], [1, 1], n)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.att(x))


WINDOWS = Net(
    "WindowAttention",
    """stem: {type: Linear, out_features: $n2}
       att: {type: WindowAttention, num_heads: $n, window_size: [2, 3], shift_size: [1, 1]}
       add: {type: Add, inputs: [stem, att]}
       head: {type: Linear, out_features: 2}""",
    Windows, ((4, 5, 3),), ZERO,
)  # fmt: skip

ATTENTION_NETS = (SELF, CROSS, GROUPED, WIDE, WINDOWS)
