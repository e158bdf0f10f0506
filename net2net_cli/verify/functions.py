"""The layer types that are functions of torch, and not modules of torch.nn: a line each.

``args`` are the spec's, by their names; lists of an example's axes leave the batch out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    # values joined
    "Add": lambda *values: reduce(torch.add, values),
    "Subtract": torch.sub,
    "Multiply": lambda *values: reduce(torch.mul, values),
    "Divide": torch.div,
    "Maximum": torch.maximum,
    "Minimum": torch.minimum,
    "Concat": lambda *values, dim: torch.cat(_as_many(values), dim),
    "MatMul": torch.matmul,
    "Einsum": lambda *values, equation: torch.einsum(equation, *_as_many(values)),
    "ScaledDotProductAttention": lambda *values, **args: _attention(values, args),
    # axes moved
    "Permute": lambda x, dims: x.permute(0, *dims),
    "Transpose": torch.transpose,
    "Reshape": lambda x, shape: x.reshape(x.shape[0], *shape),
    "Squeeze": torch.squeeze,
    "Unsqueeze": torch.unsqueeze,
    "Expand": lambda x, sizes: x.expand(-1, *sizes),
    "Flip": torch.flip,
    "Roll": torch.roll,
    "Pad": functional.pad,
    # parts taken
    "Chunk": lambda x, chunks, index, dim: x.chunk(chunks, dim)[index],
    "Slice": lambda x, dim, start, end, step: _sliced(x, dim, slice(start, end, step)),
    "Select": torch.select,
    "IndexSelect": lambda x, index, dim: _indexed(x, index[0], dim),
    # axes summed over
    "Mean": torch.mean,
    "Sum": torch.sum,
    "Amax": torch.amax,
    "Amin": torch.amin,
    "Var": torch.var,
    "Std": torch.std,
    "Normalize": functional.normalize,
    "Maxout": lambda x, pieces, dim: x.unflatten(dim, (-1, pieces)).amax(dim + 1),
    # each number alone
    "Scale": lambda x, value: x * value,
    "Shift": lambda x, value: x + value,
    "Power": torch.pow,
    "Clamp": torch.clamp,
    "Abs": torch.abs,
    "Exp": torch.exp,
    "Expm1": torch.expm1,
    "Log": torch.log,
    "Log1p": torch.log1p,
    "Sqrt": torch.sqrt,
    "Rsqrt": torch.rsqrt,
    "Square": torch.square,
    "Reciprocal": torch.reciprocal,
    "Negative": torch.neg,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Atan": torch.atan,
    "Erf": torch.erf,
    "Sign": torch.sign,
    "StochasticDepth": lambda x, p, mode: x,  # noqa: ARG005   the identity in evaluation
}


class Function(nn.Module):
    """A function of torch as a module; ``args`` are all but the values."""

    def __init__(self, kind: str, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.function, self.args = FUNCTIONS[kind], dict(args)

    def forward(self, *values: Tensor) -> Tensor:
        """What the function makes of the values."""
        return self.function(*values, **self.args)


def _sliced(x: Tensor, dim: int, part: slice) -> Tensor:
    at = [slice(None)] * x.dim()
    at[dim] = part
    return x[tuple(at)]


def _attention(values: tuple[Tensor, ...], args: dict[str, Any]) -> Tensor:
    """Without dropout, which is of training."""
    asleep: dict[str, Any] = {**args, "dropout_p": 0.0}
    q, k, v = values[:3]
    mask = values[3] if len(values) > 3 else None
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, **asleep)


def _indexed(x: Tensor, index: Tensor, dim: int) -> Tensor:
    found = x.index_select(dim, index.flatten())
    at = dim % x.dim()
    return found.reshape(*x.shape[:at], *index.shape, *x.shape[at + 1 :])


def _as_many(values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Values of one example (a parameter's) as often as there are examples."""
    count = max(len(value) for value in values)
    return tuple(value.expand(count, *value.shape[1:]) for value in values)
