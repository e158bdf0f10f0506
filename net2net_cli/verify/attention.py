"""Attention as modules: torch.nn's, fed as a spec feeds it, and Swin's windows.

The windows follow torchvision's ``shifted_window_attention`` (Liu et al. 2021, arXiv 2103.14030),
whose tensors they have; torchvision itself is not needed to verify a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.MultiheadAttention):
    """``[N, T, E]``, or queries, keys and values of such shapes -> ``[N, T, E]``."""

    def __init__(self, *, is_causal: bool, **args: Any) -> None:
        super().__init__(**args, batch_first=True)
        self.is_causal = is_causal

    def forward(self, *values: Tensor) -> Tensor:  # type: ignore[override]
        """One value attends to itself."""
        count = max(len(value) for value in values)
        values = tuple(value.expand(count, *value.shape[1:]) for value in values)
        q, k, v = values * 3 if len(values) == 1 else values
        mask = None
        if self.is_causal:
            mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool, device=q.device).triu(1)
        made: Tensor = super().forward(q, k, v, attn_mask=mask, need_weights=False)[0]
        return made


class WindowAttention(nn.Module):
    """``[N, H, W, C]`` -> the same shape: attention within windows, which are moved by a shift."""

    relative_position_index: Tensor

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        qkv_bias: bool,
        proj_bias: bool,
    ) -> None:
        super().__init__()
        self.heads, self.window, self.shift = num_heads, tuple(window_size), tuple(shift_size)
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias)
        self.proj = nn.Linear(embed_dim, embed_dim, bias=proj_bias)
        height, width = self.window
        table = torch.empty((2 * height - 1) * (2 * width - 1), num_heads)
        self.relative_position_bias_table = nn.Parameter(table)
        index = torch.empty((height * width) ** 2, dtype=torch.int64)
        self.register_buffer("relative_position_index", index)

    def forward(self, value: Tensor) -> Tensor:
        """Windows that would not move, being as large as the image, are not shifted."""
        count, high, wide, channels = value.shape
        (a, b), below, beside = self.window, -high % self.window[0], -wide % self.window[1]
        padded = functional.pad(value, (0, 0, 0, beside, 0, below))
        rows, columns = padded.shape[1] // a, padded.shape[2] // b
        shift = tuple(s if n > 1 else 0 for s, n in zip(self.shift, (rows, columns), strict=True))
        rolled = padded.roll((-shift[0], -shift[1]), (1, 2))
        parts = rolled.reshape(count, rows, a, columns, b, channels).transpose(2, 3)
        made = self._attend(parts.reshape(-1, a * b, channels), self._mask(rows, columns, shift))
        made = made.reshape(count, rows, columns, a, b, channels).transpose(2, 3)
        made = made.reshape(padded.shape).roll(shift, (1, 2))
        return made[:, :high, :wide]

    def _attend(self, parts: Tensor, mask: Tensor) -> Tensor:
        """``[windows, tokens, channels]`` -> the same shape."""
        tokens = parts.shape[1]
        heads = self.qkv(parts).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        table = self.relative_position_bias_table[self.relative_position_index]
        bias = table.reshape(tokens, tokens, -1).permute(2, 0, 1)
        masked = mask.to(bias).repeat(len(parts) // len(mask), 1, 1)[:, None] + bias
        made = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], masked)
        out: Tensor = self.proj(made.transpose(1, 2).flatten(2))
        return out

    def _mask(self, rows: int, columns: int, shift: tuple[int, ...]) -> Tensor:
        """Tokens that a shift has brought together from opposite sides: -100 between them.

        ``[rows * columns, tokens, tokens]``.
        """
        regions = torch.zeros(rows * self.window[0], columns * self.window[1])
        for axis, (side, by) in enumerate(zip(self.window, shift, strict=True)):
            place = torch.arange(regions.shape[axis])
            size = regions.shape[axis]
            part = (place >= size - side).long() + (place >= size - by).long() if by else place * 0
            regions += part.reshape(-1, 1) * 3 if axis == 0 else part
        cut = regions.reshape(rows, self.window[0], columns, self.window[1]).transpose(1, 2)
        ids = cut.reshape(rows * columns, -1)
        return (ids[:, None] != ids[:, :, None]) * -100.0
