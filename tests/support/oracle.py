"""What a grown tensor must be, by dense matrices in float64: an oracle for the engine.

For each axis of a tensor of the student, in the layout's own terms: an axis that writes must be E
times the teacher's, an axis that reads must give the teacher's back when it is multiplied by E,
since it reads what E made. Both sides are written out as dense matrices (Kronecker products, block
diagonals) and multiplied by numpy. Nothing of the engine's maps, tiles or splits takes part; of
the plan, only which old unit each new one copies is taken.

Rows of E for fresh units may hold anything. They are drawn at random, so that a reader that is not
zero there is seen; a writer's fresh rows are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from net2net_cli.axes import Width, size_of
from net2net_cli.expansion import NEW, Expansion, expand
from net2net_cli.layout import Factor, LaidTensor
from net2net_cli.plan import Plan, Widen
from net2net_cli.solve import source_tensor
from tests.support.dense import Matrix, along, applied, dense_encode
from tests.support.memory import Growth


def unlike(
    growth: Growth, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]
) -> dict[str, float]:
    """For each tensor that both networks have: how far the student's is from what it must be,
    relative to the largest entry of the teacher's."""
    oracle = _Oracle(growth)
    comparison, found = growth.comparison, {}
    for name, laid in comparison.target.tensors.items():
        if laid.layer not in comparison.matches or laid.line.fill == "count":
            continue
        old = source_tensor(comparison.source, name, laid.layer, comparison.matches)
        assert old is not None
        found[name] = oracle.distance(laid, _array(teacher[old]), _array(student[name]))
    return found


class _Oracle:
    def __init__(self, growth: Growth) -> None:
        self.plan, self.target = growth.plan, growth.comparison.target
        rng = np.random.default_rng(5)
        self.expansions = expansions(growth.plan)
        self.before = growth.comparison.sizes
        self.encode = {w: dense_encode(e, rng) for w, e in self.expansions.items()}
        self.normed = {
            w: _rows(e, self.encode[w], 0.0 if e.kind == "mean" else None)
            for w, e in self.expansions.items()
        }

    def distance(self, laid: LaidTensor, old: Matrix, new: Matrix) -> float:
        wanted, given = old, new
        if self._rescaled(laid):
            wanted = old * self._gain(laid)
        for dim, factors in enumerate(laid.axes):
            wanted = applied(self._side(laid, factors, writes=True), wanted, dim)
            given = applied(self._side(laid, factors, writes=False), given, dim)
        assert wanted.shape == given.shape, laid.name
        free = np.isnan(wanted)
        largest = float(np.abs(old).max(initial=0.0)) or 1.0
        return float(np.abs(np.where(free, 0.0, wanted - given)).max(initial=0.0)) / largest

    def _side(self, laid: LaidTensor, factors: tuple[Factor, ...], *, writes: bool) -> Matrix:
        """On the teacher's side writing factors are E and reading ones the identity; on the
        student's side reading ones are E transposed, and writing ones the identity."""
        made = []
        for factor in factors:
            after, before = (
                size_of(factor.axis, dict(s)) for s in (self.target.sizes, self.before)
            )
            if (factor.role == "write") == writes:
                made.append(self._encode(laid, factor))
            else:
                made.append(np.eye(before if writes else after))
        return reduce(np.kron, made)

    def _encode(self, laid: LaidTensor, factor: Factor) -> Matrix:
        if factor.role == "read":
            matrices = self.normed if laid.settled else self.encode
            return along(factor.axis, matrices, self.before).T
        return along(factor.axis, self._writers(laid), self.before)

    def _writers(self, laid: LaidTensor) -> Mapping[Width, Matrix]:
        """E with NaN where an entry may be anything: fresh units, and what multiplies zeros. A
        LayerNorm makes zeros of new channels that hold the mean, so that its shifts there are 0."""
        multiplies = laid.line.fill in ("ones", "init")
        found = {}
        for width, e in self.expansions.items():
            new = None
            if e.kind == "fresh" or (multiplies and e.kind in ("zero", "mean")):
                new = np.nan
            elif e.kind == "mean" and self._of_layer_norm(laid):
                new = 0.0
            found[width] = _rows(e, self.encode[width], new)
        return found

    def _of_layer_norm(self, laid: LaidTensor) -> bool:
        return self.target.spec.layer(laid.layer).type == "LayerNorm"

    def _rescaled(self, laid: LaidTensor) -> bool:
        return self._of_layer_norm(laid) and laid.line.name == "weight" and len(laid.axes) == 1

    def _gain(self, laid: LaidTensor) -> float:
        axis = laid.axes[0][0].axis
        found = self.expansions.get(axis) if isinstance(axis, Width) else None
        return (found.before / found.after) ** 0.5 if found and found.kind == "mean" else 1.0


def expansions(plan: Plan) -> dict[Width, Expansion]:
    """What the plan grows, and which old unit each new one copies."""
    return {
        Width(o.width): expand(o.expansion, o.before, o.after, f"{plan.choices.seed}/{o.width}")  # type: ignore[arg-type]
        for o in plan.operations
        if isinstance(o, Widen)
    }


def _rows(expansion: Expansion, encode: Matrix, new: float | None) -> Matrix:
    """E with something else in the rows that copy nothing."""
    if new is None:
        return encode
    found = encode.copy()
    found[[n == NEW for n in expansion.index]] = new
    return found


def _array(value: Tensor) -> Matrix:
    found: Matrix = value.to(torch.float64).numpy()
    return found
