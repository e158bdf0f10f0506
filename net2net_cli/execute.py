"""Recipes to tensors: their bases, and the tiles that they are made in. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from net2net_cli.axismap import AxisMap
from net2net_cli.moments import NormalPart
from net2net_cli.recipe import Constant, Copy, Fresh, Identity, Moments, Recipe
from net2net_cli.tiles import Positions, Tiles, rows_at_once

Read = Callable[[str], Tensor]
Measured = Mapping[str, tuple[Tensor, Tensor]]
"""Mean and biased variance per channel of teacher's values, by name; float64."""


@dataclass(frozen=True)
class Executor:
    """Makes a student's tensors. ``read`` gives a source tensor by name, ``measured`` the
    statistics for inserted BatchNorms that no closed form gives."""

    read: Read
    measured: Measured
    device: str = "cpu"
    known: dict[int, Positions] = field(default_factory=dict)

    def make(self, recipe: Recipe) -> Tensor:
        """The tensor of a recipe: contiguous, of its shape and dtype, on the CPU."""
        made = torch.empty(recipe.shape, dtype=getattr(torch, recipe.dtype))
        start = 0
        for tile in self.tiles(recipe):
            if not recipe.shape:
                return tile.reshape(())
            made[start : start + len(tile)] = tile
            start += len(tile)
        return made

    def tiles(self, recipe: Recipe) -> Iterator[Tensor]:
        """The same rows by rows, in order."""
        dtype = getattr(torch, recipe.dtype)
        base = None if isinstance(recipe.base, Fresh) else self._base(recipe)
        if base is not None and recipe.kept:
            rows = base.reshape(1) if not recipe.shape else base
            step = rows_at_once(recipe.shape)
            yield from (part.to(dtype).contiguous() for part in torch.split(rows, step))
            return
        yield from Tiles(recipe, base, [self._positions(a) for a in recipe.axes], self.device)

    def _positions(self, axis: AxisMap) -> Positions:
        """Blocks that are alike share their axis maps, and what is made of them."""
        found = self.known.get(id(axis))
        if found is None:
            found = self.known[id(axis)] = Positions(axis)
        return found

    def _base(self, recipe: Recipe) -> Tensor:
        match recipe.base:
            case Copy(name):
                return self.read(name)
            case Identity():
                return identity_kernel(recipe.base)
            case Constant(shape, value):
                return torch.full(shape, value, dtype=torch.float64)
            case Moments():
                return self._moments(recipe.base, getattr(torch, recipe.dtype))
            case Fresh():
                raise AssertionError("a fresh tensor has no base")

    def _moments(self, base: Moments, dtype: torch.dtype) -> Tensor:
        mean, variance = (
            closed_form_moments(base.normal, self.read)
            if base.normal
            else self.measured[base.value]
        )
        gamma, variance = undoing(variance, base.eps, dtype)
        found = {"weight": gamma, "bias": mean, "running_mean": mean, "running_var": variance}[
            base.part
        ]
        return found.repeat_interleave(base.repeat)


def identity_kernel(base: Identity) -> Tensor:
    """The kernel whose convolution is the identity, float64 [out, in, *kernel] ([in, out, ...]
    where it is transposed). Groups are seen from the shape: the shorter side repeats."""
    kernel = torch.zeros(base.shape, dtype=torch.float64)
    rows, columns = base.shape[0], base.shape[1]
    for row in range(rows):
        first = row * base.repeat if base.transposed else row // base.repeat
        for column in range(base.repeat if base.transposed else 1):
            kernel[(row, (first + column) % columns, *base.taps)] = 1
    return kernel


def undoing(variance: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A gamma and a variance near the given one, both exact in ``dtype``, for which
    gamma / sqrt(variance + eps) is as close to 1 as rounding lets it be; float64 [channels].

    Any such pair undoes itself in evaluation mode, so that a few units in the last place are free.
    """
    gamma = (variance + eps).sqrt()
    if dtype == torch.float64:
        return gamma, variance
    step = torch.finfo(dtype).eps
    reach = min(2, int(0.02 / step))
    near = 1 + step * torch.arange(-reach, reach + 1, dtype=torch.float64)
    gammas = (gamma[:, None] * near).to(dtype).double()
    variances = (gammas**2 - eps).clamp_min(0).to(dtype).double()
    best = (gammas / (variances + eps).sqrt() - 1).abs().argmin(1, keepdim=True)
    return gammas.gather(1, best)[:, 0], variances.gather(1, best)[:, 0]


def closed_form_moments(parts: tuple[NormalPart, ...], read: Read) -> tuple[Tensor, Tensor]:
    """Mean and variance of (rectified) Gaussians N(beta, gamma^2), laid end to end."""
    means, variances = [], []
    for part in parts:
        gamma = read(part.gamma).double().abs()
        beta = read(part.beta).double()
        if not part.rectified:
            means.append(beta)
            variances.append(gamma**2)
            continue
        a = beta / gamma.clamp_min(1e-300)
        cdf = torch.special.ndtr(a)
        density = torch.exp(-(a**2) / 2) / (2 * torch.pi) ** 0.5
        mean = beta * cdf + gamma * density
        second = (beta**2 + gamma**2) * cdf + beta * gamma * density
        means.append(mean)
        variances.append((second - mean**2).clamp_min(0))
    return torch.cat(means), torch.cat(variances)
