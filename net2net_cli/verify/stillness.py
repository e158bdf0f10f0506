"""Where weights get no gradient: neither at first, nor after a small step.

Twice, since what gets none at first may get one from then on: what stands before weights that are
zero learns once these have moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Generator, Tensor

STEP = 1e-3
"""The length of the small step, in units of each weight's root mean square."""


def still(
    weights: Mapping[str, Tensor], run: Callable[[], Sequence[Tensor]], seed: int
) -> dict[str, Tensor]:
    """Where the gradient of each weight, a leaf, is 0 both times; bool, of its shape.

    ``run`` gives the network's outputs, of which a random function is taken. The weights have taken
    two steps afterwards.
    """
    masks = {name: torch.ones_like(value, dtype=torch.bool) for name, value in weights.items()}
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):
        gradients = _gradients(run(), list(weights.values()), generator)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            masks[name] &= gradient == 0
            length = STEP * max(float(weight.detach().square().mean().sqrt()), STEP)
            size = float(gradient.square().mean().sqrt())
            weight.data.sub_(gradient, alpha=length / size if size else 0.0)
    return masks


def _gradients(
    outputs: Sequence[Tensor], weights: list[Tensor], generator: Generator
) -> list[Tensor]:
    """Those of a random function of the outputs; 0 for what no output depends on."""
    parts = []
    for value in outputs:
        if value.requires_grad:
            wanted = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            parts.append((value * wanted).sum())
    loss = torch.stack(parts).sum()
    return list(torch.autograd.grad(loss, weights, materialize_grads=True))
