"""Recipes to tensors: gathers, splits, fills. Needs torch; one tensor at a time.

Arithmetic is done in float64 and rounded once. A split that is no power of two is rounded to the
weight's own grid, and the last copy takes what is left, so that the copies of a weight add up to
it exactly in every floating format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from net2net_cli.axismap import AxisMap, Code
from net2net_cli.moments import NormalPart
from net2net_cli.recipe import Constant, Copy, Fresh, Identity, Moments, Recipe
from net2net_cli.splits import share

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

    def make(self, recipe: Recipe) -> Tensor:
        """The tensor of a recipe: contiguous, of its shape and dtype, on the CPU."""
        dtype = getattr(torch, recipe.dtype)
        if isinstance(recipe.base, Fresh):
            return _in_parts(recipe, dtype, lambda part: _drawn(part, "fresh"))
        base = self._base(recipe)
        if recipe.kept:
            return base.to(dtype).contiguous()
        if not dtype.is_floating_point:
            return _gathered(base, recipe).contiguous()
        base = base.to(self.device)
        loud = float(base.double().square().mean().sqrt()) if recipe.noise else 0.0
        return _in_parts(recipe, dtype, lambda part: _grow(base, part, dtype, loud))

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


def _grow(base: Tensor, recipe: Recipe, dtype: torch.dtype, loud: float) -> Tensor:
    value = _gathered(base, recipe).double()
    value = _scaled(value, recipe)
    if recipe.noise:
        value = _noisy(value, recipe, loud)
    for dim, axis in enumerate(recipe.axes):
        if axis.shares:
            generator = _generator(recipe, f"split/{dim}")
            value = share(value, dim, axis, recipe.split, generator, dtype)
    for dim, axis in enumerate(recipe.axes):
        value = _with_means(value, dim, axis)
    return _filled(value, recipe)


def _scaled(value: Tensor, recipe: Recipe) -> Tensor:
    if recipe.scale != 1:
        value = value * recipe.scale
    for dim, axis in enumerate(recipe.axes):
        if axis.scale:
            shape = [-1 if d == dim else 1 for d in range(value.ndim)]
            value = value * value.new_tensor(axis.scale).reshape(shape)
    return value + recipe.offset if recipe.offset else value


TILE = 2**22
"""Entries of a tensor that are made at once, so that float64 takes no more than some 32 MB each."""


def _in_parts(recipe: Recipe, dtype: torch.dtype, make: Callable[[Recipe], Tensor]) -> Tensor:
    """A tensor made rows by rows, where its rows do not depend on each other."""
    made = torch.empty(recipe.shape, dtype=dtype)
    rows = recipe.shape[0] if recipe.shape else 1
    step = max(1, TILE // max(1, prod(recipe.shape[1:])))
    bound = bool(recipe.axes) and (recipe.axes[0].shares or bool(recipe.axes[0].means))
    if rows <= step or bound:
        return made.copy_(make(recipe))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        axes = (recipe.axes[0].part(start, stop), *recipe.axes[1:]) if recipe.axes else ()
        shape = (stop - start, *recipe.shape[1:])
        part = replace(recipe, shape=shape, axes=axes, key=f"{recipe.key}/{start}")
        made[start:stop].copy_(make(part))
    return made


def _gathered(base: Tensor, recipe: Recipe) -> Tensor:
    value = base
    for dim, axis in enumerate(recipe.axes):
        if axis.trivial:
            continue
        if axis.before == 0:
            value = value.new_zeros((*value.shape[:dim], axis.after, *value.shape[dim + 1 :]))
        else:
            index = torch.tensor(axis.index, device=value.device)
            value = value.index_select(dim, index)
    return value


def _with_means(value: Tensor, dim: int, axis: AxisMap) -> Tensor:
    """Replace MEAN rows by the mean of the rows that copy each of the old ones."""
    if not axis.means:
        return value
    first: dict[int, int] = {}
    for j, (old, code) in enumerate(zip(axis.index, axis.code, strict=True)):
        if code == Code.COPY:
            first.setdefault(old, j)
    value = value.clone()
    for rows in sorted(set(axis.means.values())):
        at = torch.tensor([first[r] for r in rows], device=value.device)
        mean = value.index_select(dim, at).mean(dim, keepdim=True)
        to = torch.tensor([j for j, r in axis.means.items() if r == rows], device=value.device)
        shape = list(mean.shape)
        shape[dim] = len(to)
        value.index_copy_(dim, to, mean.expand(shape))
    return value


def _filled(value: Tensor, recipe: Recipe) -> Tensor:
    """Fill what copies nothing, in the order of the codes: the largest code decides."""
    codes = {code for axis in recipe.axes for code in axis.code}
    special = recipe.filling.fill in ("ones", "zeros", "init")
    fresh = None
    if codes & {Code.ANYTHING, Code.FRESH} or (special and codes & {Code.ZERO, Code.MEAN}):
        fresh = _drawn(recipe, "fresh").to(value.device)
    zeros = torch.zeros((), dtype=value.dtype, device=value.device).expand(value.shape)
    for code in sorted(codes - {int(Code.COPY)}):
        if code == Code.MEAN and not special:
            continue
        plain = code == Code.BLANK or (code == Code.ZERO and not special)
        content = zeros if plain else fresh
        assert content is not None
        for dim, axis in enumerate(recipe.axes):
            at = [j for j, c in enumerate(axis.code) if c == code]
            if at:
                where = torch.tensor(at, device=value.device)
                value = value.index_copy(dim, where, content.index_select(dim, where))
    return value


def _noisy(value: Tensor, recipe: Recipe, loud: float) -> Tensor:
    """Add noise to every copy after the first (Net2Net, section 2.2), in units of ``loud``, the
    old tensor's root mean square."""
    generator = _generator(recipe, "noise")
    noise = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.device)
    noise = noise * (recipe.noise * loud)
    marked = torch.zeros(value.shape, dtype=torch.bool, device=value.device)
    for dim, axis in enumerate(recipe.axes):
        at = torch.tensor([j for j, again in enumerate(axis.repeats) if again], dtype=torch.long)
        marked.index_fill_(dim, at.to(value.device), True)
    return torch.where(marked, value + noise, value)


def _drawn(recipe: Recipe, purpose: str) -> Tensor:
    """A tensor as torch initialises it, float64 of float32's values; always drawn on the CPU."""
    filling, generator = recipe.filling, _generator(recipe, purpose)
    match filling.fill:
        case "uniform":
            unit = torch.rand(recipe.shape, generator=generator, dtype=torch.float64)
            return (unit * 2 - 1) * filling.bound
        case "normal" | "scaled":
            value = torch.randn(recipe.shape, generator=generator, dtype=torch.float64)
            return value * filling.bound if filling.fill == "scaled" else value
        case "ones":
            return torch.ones(recipe.shape, dtype=torch.float64)
        case "zeros" | "count":
            return torch.zeros(recipe.shape, dtype=torch.float64)
        case "init":
            return torch.full(recipe.shape, filling.init, dtype=torch.float64)


def _generator(recipe: Recipe, purpose: str) -> torch.Generator:
    digest = hashlib.sha256(f"{recipe.key}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
