"""Training, the same for every network, and what is measured of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from net2net_cli.axismap import Code
from net2net_cli.recipe import Copy, Recipe
from tests.benchmarks.learning.networks import State
from tests.benchmarks.learning.tasks import Data

SEEN = 2048
"""How many examples (of 64 values or fewer) a loss is taken over: all, or the first so many."""


@dataclass(frozen=True)
class Curve:
    """Loss on the training set, loss and accuracy on the test set after so many steps; in
    evaluation mode."""

    steps: list[int]
    train: list[float]
    test: list[float]
    accuracy: list[float]


def marks(steps: int) -> list[int]:
    """The steps after which is measured: close to each other at first."""
    early = [1, 2, 5, 10, 20, 35]
    return sorted({0, *(m for m in early if m < steps // 16),
                   *(round(steps * k / 16) for k in range(1, 17))})  # fmt: skip


def train(
    network: nn.Module, stepper: Optimizer, data: Data, batch: int, steps: int, seed: int
) -> Curve:
    """Steps on batches that depend on the seed alone."""
    found = Curve([], [], [], [])
    wanted = set(marks(steps))
    _measure(network, data, 0, found)
    for step, (x, y) in enumerate(_batches(data, batch, steps, seed), 1):
        network.train()
        stepper.zero_grad()
        _loss(network(x), y).backward()
        stepper.step()
        if step in wanted:
            _measure(network, data, step, found)
    return found


def optimizer_of(
    named: Sequence[tuple[str, nn.Parameter]], name: str, rate: float, state: Any = None
) -> Optimizer:
    """``sgd`` has momentum 0.9, ``adamw`` torch's defaults. It goes on from a ``state`` where there
    is one, at its own rate."""
    made: Optimizer
    if name == "sgd":
        made = torch.optim.SGD(named, rate, momentum=0.9, fused=True)
    else:
        made = torch.optim.AdamW(named, rate, fused=True)
    if state is not None:
        made.load_state_dict(state)
        (group,) = made.param_groups
        assert group["param_names"] == [name for name, _ in named]
        group["lr"] = rate
    return made


def _batches(data: Data, batch: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(data.y), (batch,), generator=generator)
        yield data.x[rows], data.y[rows]


def _loss(scores: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(scores.flatten(0, -2), y.flatten())


def _measure(network: nn.Module, data: Data, step: int, found: Curve) -> None:
    network.eval()
    count = SEEN if data.y.ndim == 1 else 64
    with torch.no_grad():
        scores = network(data.test_x[:count])
        labels = data.test_y[:count]
        found.steps.append(step)
        found.train.append(float(_loss(network(data.x[:count]), data.y[:count])))
        found.test.append(float(_loss(scores, labels)))
        found.accuracy.append(float((scores.argmax(-1) == labels).float().mean()))


def effective_ranks(state: State, grown: Sequence[str]) -> dict[str, float]:
    """The exponential of the entropy of a weight's normalised singular values (Roy and Vetterli,
    EUSIPCO 2007): how many directions it makes use of."""
    found = {}
    for name in grown:
        values = torch.linalg.svdvals(state[name].double().flatten(1))
        shares = values / values.sum()
        found[name] = round(float(torch.exp(-(shares * shares.clamp_min(1e-300).log()).sum())), 3)
    return found


def grown_weights(recipes: Sequence[Recipe]) -> list[str]:
    """The matrices and kernels that grew or came in."""
    return [
        r.name for r in recipes if len(r.shape) > 1 and not (isinstance(r.base, Copy) and r.kept)
    ]


def copies_apart(state: State, recipes: Sequence[Recipe]) -> float | None:
    """How far copies are from what they copied, relative to it: the median over all copied rows
    of matrices and kernels; None where nothing is copied."""
    found = []
    for recipe in recipes:
        if len(recipe.shape) < 2 or not isinstance(recipe.base, Copy):
            continue
        axis, value = recipe.axes[0], state[recipe.name].double().flatten(1)
        for j, repeats in enumerate(axis.repeats):
            if repeats and axis.code[j] == Code.COPY:
                first = value[axis.index.index(axis.index[j])]
                found.append(float((value[j] - first).norm() / first.norm().clamp_min(1e-12)))
    return sorted(found)[len(found) // 2] if found else None
