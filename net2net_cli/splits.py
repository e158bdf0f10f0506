"""How the copies of a unit share each reader's weight: any numbers that sum to one preserve.

even      w/c each (the paper)
dyadic    w/2, w/4, ..., w/4: exact in every binary format
random    positive shares drawn anew for every entry
signed    shares of either sign drawn anew for every entry
whole     all of each entry goes to one copy, drawn anew for every entry
Which learns how: MATH, splits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from net2net_cli.axismap import AxisMap, Code

_PRECISION = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}
"""Bits of the significand, the hidden one included."""


def share(
    value: Tensor,
    dim: int,
    axis: AxisMap,
    split: str,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Tensor:
    """Multiply the copies along ``dim`` by shares that sum to one in every group.

    ``value`` is float64 with the weight repeated; the result's copies sum exactly to the weight
    once they are rounded to ``dtype`` (subnormals apart, where a half may round).
    """
    members = _members(axis)
    for count in sorted({len(m) for m in members if len(m) > 1}):
        at = torch.tensor([m for m in members if len(m) == count], device=value.device)
        picked = torch.unflatten(value.index_select(dim, at.flatten()), dim, at.shape)
        parts = _parts(picked, dim + 1, split, generator, dtype)
        parts = torch.where(picked == 0, picked, parts)  # keeps the sign of zero
        value = value.index_copy(dim, at.flatten(), parts.flatten(dim, dim + 1))
    return value


def _members(axis: AxisMap) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for j, (group, code) in enumerate(zip(axis.group, axis.code, strict=True)):
        if code == Code.COPY:
            found.setdefault(group, []).append(j)
    return list(found.values())


def _parts(
    weight: Tensor, dim: int, split: str, generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    """Shares of ``weight``, which is repeated along ``dim``, for each of its copies there."""
    if split == "whole":
        drawn = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
        return _all_to(weight, dim, drawn.argmax(dim, keepdim=True).to(weight.device))
    shares = _shares(weight.shape, dim, split, generator).to(weight.device)
    smallest = shares.abs().argmin(dim, keepdim=True)
    parts, info = weight * shares, torch.finfo(dtype)
    powers = split == "dyadic" or (split == "even" and weight.shape[dim].bit_count() == 1)
    grid = _finest(dtype) if powers else _grid(weight, shares, dim, dtype)
    rounded = torch.round(parts / grid) * grid
    others = rounded.scatter(dim, smallest, 0.0).sum(dim, keepdim=True)
    mended = rounded.scatter(dim, smallest, weight.narrow(dim, 0, 1) - others)
    if powers:  # exact as they are, but where a half is subnormal
        normal = (parts.abs() >= info.smallest_normal).all(dim, keepdim=True)
        mended = torch.where(normal, parts, mended)
    # Not so for NaN, for infinities, and for a remainder that many copies made too long.
    held = mended.to(dtype).double()
    fits = ((held == mended) & held.isfinite()).all(dim, keepdim=True)
    return torch.where(fits, mended, _all_to(weight, dim, smallest))


def _shares(shape: torch.Size, dim: int, split: str, generator: torch.Generator) -> Tensor:
    """Numbers that sum to one along ``dim``, the smallest of them at most 0.8."""
    count = shape[dim]
    if split in ("even", "dyadic"):
        powers = [2.0 ** -(k + 1) for k in range(count - 1)] + [2.0 ** -(count - 1)]
        shares = powers if split == "dyadic" else [1 / count] * count
        line = torch.tensor(shares, dtype=torch.float64)
        return line.view(-1, *[1] * (len(shape) - dim - 1)).expand(shape)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    if split == "random":
        return drawn / drawn.sum(dim, keepdim=True)
    normal = torch.special.ndtri(drawn.clamp(1e-3, 1 - 1e-3))
    signed = normal - normal.mean(dim, keepdim=True) + 1 / count
    usable = signed.abs().amin(dim, keepdim=True) <= 0.8
    return torch.where(usable, signed, 1 / count)


def _all_to(weight: Tensor, dim: int, chosen: Tensor) -> Tensor:
    return torch.zeros_like(weight).scatter(dim, chosen, weight.gather(dim, chosen))


def _finest(dtype: torch.dtype) -> float:
    """The distance of neighbouring subnormal numbers."""
    info = torch.finfo(dtype)
    return float(info.smallest_normal * info.eps)


def _grid(weight: Tensor, shares: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """For each weight, a grid coarse enough that every share of it on the grid, and what is left
    of it for the smallest share, is exact in ``dtype``."""
    exponent = torch.frexp(weight).exponent
    largest = shares.abs().sum(dim, keepdim=True).clamp_min(1)
    room = torch.frexp(largest * (1 - 1e-12)).exponent
    grid = torch.ldexp(torch.ones_like(weight), (exponent + room - _PRECISION[dtype]).double())
    return grid.clamp_min(_finest(dtype))
