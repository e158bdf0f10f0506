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

from net2net_cli.axismap import AxisMap

_PRECISION = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}
"""Bits of the significand, the hidden one included."""


BLOCK = 2**17
"""Entries that are shared out at once: what all the steps need stays in a core's own cache."""


def share(
    value: Tensor,
    dim: int,
    axis: AxisMap,
    split: str,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Tensor:
    """Multiply the copies along ``dim`` by shares that sum to one in every group.

    ``value`` has the weight repeated, in float64, or in float32 where ``dtype`` is a half type and
    the weights are of it; the result's copies sum exactly to the weight once they are rounded to
    ``dtype`` (subnormals apart, where a half may round).
    """
    counts = sorted({len(m) for m in axis.members if len(m) > 1})
    at = [
        [
            torch.tensor(positions, device=value.device)
            for positions in zip(*(m for m in axis.members if len(m) == count), strict=True)
        ]
        for count in counts
    ]
    made = value.clone(memory_format=torch.contiguous_format)
    rows = BLOCK // max(1, value[0].numel()) if dim and len(value) else len(value)
    for block in torch.split(made, max(1, rows)):
        for places in at:
            weights = [block.index_select(dim, place) for place in places]
            for place, part in zip(places, _parts(weights, split, generator, dtype), strict=True):
                block.index_copy_(dim, place, part)
    return made


def scales(axis: AxisMap, split: str) -> list[float]:
    """What each position is multiplied by, where those are powers of two; else nothing. That is
    exact, and needs no ``share``, as long as everything stays a normal number."""
    found = [1.0] * axis.after
    for positions in axis.members:
        if len(positions) > 1:
            powers = _powers(split, len(positions))
            if not powers:
                return []
            for j, power in zip(positions, powers, strict=True):
                found[j] = power
    return found


def _parts(
    weights: list[Tensor], split: str, generator: torch.Generator, dtype: torch.dtype
) -> list[Tensor]:
    """The shares of each copy; ``weights`` are the weight as each of them has it."""
    count, like = len(weights), weights[0]
    if powers := _powers(split, count):
        return _halved(weights, powers, dtype)
    if split == "whole":
        drawn = torch.rand(like.shape, generator=generator).mul_(count).floor_().to(like.device)
        parts = [torch.where(drawn == k, w, 0.0) for k, w in enumerate(weights)]
    else:
        shares = _shares(like, count, split, generator)
        parts = _on_grid(weights, shares, _grid(like, shares, dtype), dtype)
    if (like == 0).any():  # keeps the sign of zero
        return [torch.where(w == 0, w, part) for w, part in zip(weights, parts, strict=True)]
    return parts


def _powers(split: str, count: int) -> list[float]:
    """Shares that are powers of two; none for splits that have others."""
    if split == "dyadic":
        return [2.0 ** -(k + 1) for k in range(count - 1)] + [2.0 ** -(count - 1)]
    return [1 / count] * count if split == "even" and count.bit_count() == 1 else []


def _halved(weights: list[Tensor], powers: list[float], dtype: torch.dtype) -> list[Tensor]:
    """Exact as they are, but where one is subnormal: there they are rounded, and mended."""
    info = torch.finfo(dtype)
    parts = [weight * power for weight, power in zip(weights, powers, strict=True)]
    if _all_normal(parts[-1], dtype):
        return parts
    size = parts[-1].abs()
    odd = ~((size >= info.smallest_normal) & (size <= info.max)) & (weights[0] != 0)
    few = [weight[odd] for weight in weights]
    shares = [torch.full_like(few[0], power) for power in powers]
    for part, mended in zip(parts, _on_grid(few, shares, _finest(dtype), dtype), strict=True):
        part[odd] = mended
    return parts


def _all_normal(value: Tensor, dtype: torch.dtype) -> bool:
    """Whether all entries are normal numbers of the dtype: no zeros, nothing that is not finite."""
    if not value.numel():
        return True
    info = torch.finfo(dtype)
    least, most = value.abs().aminmax()
    return info.smallest_normal <= float(least) and float(most) <= info.max


def _on_grid(
    weights: list[Tensor], shares: list[Tensor], grid: Tensor | float, dtype: torch.dtype
) -> list[Tensor]:
    """Shares rounded to the grid; the smallest is what the others leave of the weight."""
    parts = [
        (weight * part).div_(grid).round_().mul_(grid)
        for weight, part in zip(weights, shares, strict=True)
    ]
    left = weights[0] - sum(parts[1:], parts[0])
    chosen = _smallest(shares)
    for part, taken in zip(parts, chosen, strict=True):
        part.addcmul_(left, taken.to(left))
    # Not so for NaN, for infinities, and for a remainder that many copies made too long.
    held = [part.to(dtype).to(part) for part in parts]
    if all(torch.equal(h, part) and _finite(h) for h, part in zip(held, parts, strict=True)):
        return parts
    fits = torch.ones_like(left, dtype=torch.bool)
    for h, part in zip(held, parts, strict=True):
        fits &= (h == part) & h.isfinite()
    return [
        torch.where(fits, part, torch.where(taken, weights[0], 0.0))
        for part, taken in zip(parts, chosen, strict=True)
    ]


def _finite(value: Tensor) -> bool:
    return not value.numel() or bool(torch.stack(value.aminmax()).isfinite().all())


def _smallest(shares: list[Tensor]) -> list[Tensor]:
    """For each share, where it is the smallest: the first of those that are."""
    least = shares[0].abs()
    at = torch.zeros_like(least, dtype=torch.int16)
    for k, part in enumerate(shares[1:], 1):
        size = part.abs()
        at.masked_fill_(size < least, k)
        least = torch.minimum(least, size)
    return [at == k for k in range(len(shares))]


def _shares(like: Tensor, count: int, split: str, generator: torch.Generator) -> list[Tensor]:
    """Numbers that sum to one, the smallest of them at most 0.8."""
    if split == "even":
        return [torch.full_like(like, 1 / count)] * count
    if split == "random":
        drawn = [torch.rand(like.shape, generator=generator).to(like) for _ in range(count)]
        total = sum(drawn[1:], drawn[0]).clamp_min_(1e-30)
        return [part / total for part in drawn]
    if count == 2:
        off = _bell(like, generator).mul_(0.5**0.5)
        off.masked_fill_(off.abs() > 1.3, 0.0)
        return [0.5 + off, 0.5 - off]
    bells = [_bell(like, generator) for _ in range(count)]
    mean = sum(bells[1:], bells[0]).div_(count).sub_(1 / count)
    signed = [bell.sub_(mean) for bell in bells]
    least = signed[0].abs()
    for part in signed[1:]:
        least = torch.minimum(least, part.abs())
    unusable = least > 0.8
    return [part.masked_fill_(unusable, 1 / count) for part in signed]


def _bell(like: Tensor, generator: torch.Generator) -> Tensor:
    """Nearly normal numbers, within three standard deviations: sums of three uniform ones of 16
    bits, which are quicker to draw and come out alike on every machine."""
    drawn = torch.empty(like.shape, dtype=torch.int64).random_(generator=generator)
    three = drawn.reshape(-1).view(torch.int16).reshape(-1, 4)
    total = three[:, 0].to(like.dtype).add_(three[:, 1]).add_(three[:, 2])
    return total.add_(1.5).mul_(2.0**-15).reshape(like.shape).to(like.device)


def _finest(dtype: torch.dtype) -> float:
    """The distance of neighbouring subnormal numbers."""
    info = torch.finfo(dtype)
    return float(info.smallest_normal * info.eps)


def _grid(weight: Tensor, shares: list[Tensor], dtype: torch.dtype) -> Tensor:
    """For each weight, a grid coarse enough that every share of it on the grid, and what is left
    of it for the smallest share, is exact in ``dtype``."""
    largest = sum((part.abs() for part in shares[1:]), shares[0].abs()).clamp_min_(1)
    slack = 2.0**-20 if weight.dtype == torch.float32 else 1e-12
    room = _power_below(largest.mul_(1 - slack)).mul_(2)
    tiny = torch.finfo(weight.dtype).smallest_normal
    grid = _power_below(weight).clamp_min_(tiny).mul_(room).mul_(2.0 ** (1 - _PRECISION[dtype]))
    return grid.clamp_min_(_finest(dtype))


def _power_below(value: Tensor) -> Tensor:
    """The largest power of two that is no larger in size;
    0 for subnormal numbers."""
    if value.dtype == torch.float32:
        return value.view(torch.int32).bitwise_and(0x7F800000).view(torch.float32)
    return value.view(torch.int64).bitwise_and(0x7FF0000000000000).view(torch.float64)
