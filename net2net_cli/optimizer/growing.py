"""The tensors of an optimizer's state, grown with the parameters they belong to. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from net2net_cli.optimizer.entries import AxisGrowth, TensorGrowth
from net2net_cli.optimizer.kinds import RESTART, Kept, Kind, Map

_HALVES = (torch.float16, torch.bfloat16)


class Grower:
    """Grows the state of one optimizer, by one of the two maps."""

    def __init__(self, kind: Kind, how: Map) -> None:
        self.kind, self.how = kind, how
        self.known: dict[tuple[int, str], Tensor] = {}

    def state(
        self, state: Mapping[str, Any], growth: TensorGrowth, group: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the optimizer keeps for the student's parameter of a ``group``, given what it kept
        for the teacher's. Numbers stay, and so does what is None."""
        restarts = self.how == "restart" and self.kind.restarts(state)
        found: dict[str, Any] = {}
        for name, value in state.items():
            if value is None:  # of whatever name
                found[name] = None
                continue
            kept = self.kind.kept(name)
            if restarts:
                kept = replace(kept, seeded=False)
            still = kept.form == "number" or not isinstance(value, Tensor)
            found[name] = value if still else self._grown(state, kept, growth)
        return _restarted(found, group) if restarts else found

    def _grown(self, state: Mapping[str, Any], kept: Kept, growth: TensorGrowth) -> Tensor:
        value, rank = state[kept.name], len(growth.shape)
        made = _wide(value)
        for number, axis in enumerate(growth.axes):
            dim = _dim(kept, number, rank, value.ndim)
            if dim is not None and axis is not None:
                made = _along(made, dim, axis, self._factor(axis, kept), seeded=kept.seeded)
        if kept.form != "full":
            made = made * self._left_out(state, kept, growth)
        scale = growth.gradient**kept.gradient
        if self.how != "gradient":
            scale *= growth.weight**kept.step
        return (made * scale if scale != 1 else made).to(value.dtype).contiguous()

    def _factor(self, axis: AxisGrowth, kept: Kept) -> Tensor:
        """What each position of an axis is multiplied by; float64 [after]."""
        key = (id(axis), kept.name)
        if key not in self.known:
            factor = torch.tensor(axis.gradient, dtype=torch.float64) ** kept.gradient
            if self.how != "gradient":
                factor = factor * torch.tensor(axis.weight, dtype=torch.float64) ** kept.step
            self.known[key] = factor
        return self.known[key]

    def _left_out(self, state: Mapping[str, Any], kept: Kept, growth: TensorGrowth) -> Tensor:
        """What a row's (column's) mean is multiplied by as the axis grows that it is taken over:
        Adafactor takes second moments to be products of rows and columns, up to a scale, so that
        the columns (rows) tell it for all. [..., 1 or left out]"""
        other = next(k for k in self.kind.keeps if k.form not in ("full", "number", kept.form))
        value, rank = _wide(state[other.name]), len(growth.shape)
        number = rank - 1 if kept.form == "row" else rank - 2
        dim, axis = _dim(other, number, rank, value.ndim), growth.axes[number]
        assert dim is not None
        before = value.mean(dim, keepdim=True)
        if axis is None:
            ratio = torch.ones_like(before)
        else:
            grown = _along(value, dim, axis, self._factor(axis, other), seeded=True)
            ratio = torch.where(before == 0, 1.0, grown.mean(dim, keepdim=True) / before)
        for outer, axis in enumerate(growth.axes[: rank - 2]):
            if axis is not None:
                ones = torch.ones(len(axis.index), dtype=torch.float64)
                ratio = _along(ratio, outer, axis, ones, seeded=True)
        return ratio


def _restarted(state: dict[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """Adam's state after RESTART steps, with the same averages once they are corrected."""
    steps = float(state["step"])
    count = min(float(RESTART), steps)
    found = {"step": torch.full_like(torch.as_tensor(state["step"]), count)}
    for name, beta in zip(("exp_avg", "exp_avg_sq"), group["betas"], strict=True):
        now, then = (1 - float(beta) ** n for n in (count, steps))
        found[name] = state[name] * (now / then) if then else state[name]
    return found


def _wide(value: Tensor) -> Tensor:
    return value.float() if value.dtype in _HALVES else value


def _dim(kept: Kept, number: int, rank: int, ndim: int) -> int | None:
    """Where the parameter's axis of that number lies in what is kept; None where it does not."""
    left_out = {"row": rank - 1, "column": rank - 2}.get(kept.form)
    if number == left_out:
        return None
    return number - 1 if left_out is not None and number > left_out and ndim < rank else number


def _along(value: Tensor, dim: int, axis: AxisGrowth, factor: Tensor, *, seeded: bool) -> Tensor:
    """One axis: old positions times their factors, new ones the mean of the old, or 0."""
    shape = [-1 if d == dim else 1 for d in range(value.ndim)]
    made = value.index_select(dim, torch.tensor(axis.index, dtype=torch.long))
    made = made * factor.to(made.dtype).reshape(shape)
    new = torch.tensor(axis.new).nonzero()[:, 0]
    if not len(new):
        return made
    if not seeded or axis.before == 0:
        return made.index_fill(dim, new, 0.0)
    mean = value.mean(dim, keepdim=True)
    shape = [len(new) if d == dim else n for d, n in enumerate(value.shape)]
    return made.index_copy(dim, new, mean.expand(shape))


def fresh_state(kind: Kind, group: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """What an optimizer that makes its state at once keeps for a new parameter."""
    filled = float(group.get("initial_accumulator_value", 0.0))
    return {
        kept.name: torch.tensor(0.0) if kept.form == "number" else torch.full(shape, filled)
        for kept in kind.keeps
    }
