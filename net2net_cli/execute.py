"""Recipes to tensors: their bases, and the tiles that they are made in. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from net2net_cli.axes import Number
from net2net_cli.axismap import AxisMap, Mapper
from net2net_cli.bases import Base, Filled, Held, IdentityKernel, Stored
from net2net_cli.io import Readable
from net2net_cli.lanes import Lanes
from net2net_cli.moments import NormalPart
from net2net_cli.recipe import Constant, Copy, Fresh, Identity, Moments, Recipe
from net2net_cli.tiles import Positions, Tiles, merged


@dataclass(frozen=True)
class Measured:
    """Statistics for BatchNorms, float64 ``[channels]``: in ``values`` mean and biased variance of
    the teacher's values, by name; in ``fresh`` what running statistics hold in fresh channels, by
    the key of their recipe, with NaN in all others."""

    values: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    fresh: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Executor:
    """Makes a student's tensors of a source's. ``measured`` holds the statistics for BatchNorms
    that no closed form gives; ``lanes`` lead to a device that computes the tiles."""

    source: Readable
    measured: Measured = field(default_factory=Measured)
    lanes: Lanes | None = None
    known: dict[int, Positions] = field(default_factory=dict)

    def make(self, recipe: Recipe) -> Tensor:
        """The tensor of a recipe: contiguous, of its shape and dtype, on the CPU."""
        made = torch.empty(recipe.shape, dtype=getattr(torch, recipe.dtype))
        tiles, start = self.tiles(recipe), 0
        rows = made.view(tiles.recipe.shape)
        for tile in tiles.rows(0, len(rows)):
            rows[start : start + len(tile)] = tile
            start += len(tile)
        return made

    def tiles(self, recipe: Recipe) -> Tiles:
        """What makes any rows of it; ``recipe.shape`` of the result says what its rows are."""
        if (fresh := self.measured.fresh.get(recipe.key)) is not None:
            return self._calibrated(recipe, fresh)
        base, recipe = self._base(recipe), merged(recipe)
        return Tiles(recipe, base, [self._positions(a) for a in recipe.axes], self.lanes)

    def _calibrated(self, recipe: Recipe, fresh: Tensor) -> Tiles:
        """Running statistics: what the recipe says, but in fresh channels."""
        made = replace(self, measured=Measured(self.measured.values)).make(recipe)
        held = fresh.where(fresh.isfinite(), made.double())
        axes = (Mapper({}, {}).axis(Number(len(held)), "write"),)
        still = replace(recipe, base=Constant(recipe.shape, 0), axes=axes, noise=0, scale=1)
        return Tiles(still, Held(held), [self._positions(a) for a in axes], self.lanes)

    def _positions(self, axis: AxisMap) -> Positions:
        """Blocks that are alike share their axis maps, and what is made of them."""
        found = self.known.get(id(axis))
        if found is None:
            found = self.known[id(axis)] = Positions(axis)
        return found

    def _base(self, recipe: Recipe) -> Base | None:
        match recipe.base:
            case Copy(name):
                return Stored(self.source.tensors[name], self.source.read)
            case Identity():
                return IdentityKernel(recipe.base)
            case Constant(_, value):
                return Filled(value)
            case Moments():
                return Held(self._moments(recipe.base, getattr(torch, recipe.dtype)))
            case Fresh():
                return None

    def _read(self, name: str) -> Tensor:
        """A small tensor, whole."""
        stored = Stored(self.source.tensors[name], self.source.read)
        value = torch.empty(stored.info.shape, dtype=stored.dtype)
        stored.fill(0, value.view(1, -1))
        return value

    def _moments(self, base: Moments, dtype: torch.dtype) -> Tensor:
        mean, variance = (
            closed_form_moments(base.normal, self._read)
            if base.normal
            else self.measured.values[base.value]
        )
        gamma, variance = undoing(variance, base.eps, dtype)
        found = {"weight": gamma, "bias": mean, "running_mean": mean, "running_var": variance}[
            base.part
        ]
        return found.repeat_interleave(base.repeat)


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


def closed_form_moments(
    parts: tuple[NormalPart, ...], read: Callable[[str], Tensor]
) -> tuple[Tensor, Tensor]:
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
