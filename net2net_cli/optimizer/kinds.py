"""What optimizers keep for each parameter, and how each of it grows: one line a number kept.

Under growth every old entry w of a parameter becomes entries a w, and their gradients are g times
its own (``entries``). What an optimizer keeps is a power of gradients (momentum: the first, Adam's
second moment: the second), or of steps, and grows by a power of g and a. Names are those of
torch.optim's state dicts; Lion's and transformers' Adafactor's are the packages' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Map = Literal["gradient", "step", "restart"]
"""How second moments grow (MATH: optimizer state).

gradient  to the student's own statistics: what its gradients would have left there
step      so that an entry a w takes a times the step of w: all copies of a weight together move
          as it would have
restart   as step does, but Adam counts its steps from RESTART again: corrected for their start, the
          averages of old entries are what they were, and those of new entries begin
"""

RESTART = 50
"""So many steps the averages then have behind them: enough for the first step to be the teacher's,
and few enough to learn as fast as from none (tests/benchmarks/learning)."""

Form = Literal["full", "row", "column", "number"]
"""The shape: the parameter's; its last axis but for one entry (or left out) for ``row``, its last
but one for ``column`` (Adafactor); one number, which stays."""


@dataclass(frozen=True)
class Kept:
    """One thing that an optimizer keeps for a parameter.

    It is proportional to g ** ``gradient``, under the step map to a ** ``step`` besides.
    ``seeded``: entries that are new take the mean of the old ones beside them, since a zero there
    would make their first steps too long; where it is false they are 0.
    """

    name: str
    gradient: int = 0
    step: int = 0
    form: Form = "full"
    seeded: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Kind:
    """An optimizer: what it keeps. ``groups`` are keys of its parameter groups that tell it from
    others that keep the same; ``eager``: it makes its state when it is made, not at the first step,
    so that new parameters need one. ``fused``: its fused step takes either all parameters with a
    state, or none; zeros then begin as no state does, but for ``dampening``."""

    name: str
    keeps: tuple[Kept, ...]
    groups: tuple[str, ...] = ()
    eager: bool = False
    fused: bool = False

    def begins(self, group: Mapping[str, Any]) -> bool:
        """Whether new parameters of a group need a state to begin with."""
        return self.eager or (self.fused and bool(group.get("fused")))

    def kept(self, name: str) -> Kept:
        """The line of that name."""
        return next(kept for kept in self.keeps if kept.name == name)

    def restarts(self, state: Mapping[str, Any]) -> bool:
        """Whether all that it keeps is averages that Adam corrects for their start."""
        return self.name == "Adam" and {"step", "exp_avg", "exp_avg_sq"} == {
            key for key, value in state.items() if value is not None
        }

    @property
    def stepped(self) -> bool:
        """Whether the step map differs from the gradient map."""
        return any(kept.step for kept in self.keeps)


def _first(name: str, *, optional: bool = False) -> Kept:
    return Kept(name, gradient=1, optional=optional)


def _second(name: str, form: Form = "full", *, optional: bool = False) -> Kept:
    return Kept(name, 2, -2, form, seeded=True, optional=optional)


def _number(name: str, *, optional: bool = False) -> Kept:
    return Kept(name, form="number", optional=optional)


_STEP = _number("step", optional=True)

KINDS: tuple[Kind, ...] = (
    Kind("Muon", (_first("momentum_buffer"),), ("ns_steps",)),
    Kind("SGD", (_first("momentum_buffer", optional=True),), fused=True),
    Kind("Lion", (_STEP, _first("exp_avg"))),
    Kind(
        "Adam",
        (
            _STEP,
            _first("exp_avg"),
            _second("exp_avg_sq"),
            _second("max_exp_avg_sq", optional=True),
            _number("mu_product", optional=True),  # NAdam's
        ),
    ),
    Kind("Adamax", (_STEP, _first("exp_avg"), Kept("exp_inf", 1, -1, seeded=True))),
    Kind("Adagrad", (_STEP, _second("sum")), eager=True),
    Kind("Adadelta", (_STEP, _second("square_avg"), Kept("acc_delta", 0, 2, seeded=True))),
    Kind(
        "RMSprop",
        (
            _STEP,
            _second("square_avg"),
            Kept("momentum_buffer", 0, 1, optional=True),  # of steps, not of gradients
            Kept("grad_avg", 1, -1, optional=True),
        ),
    ),
    Kind("Rprop", (_STEP, _first("prev"), Kept("step_size", 0, 1, seeded=True))),
    Kind(
        "Adafactor",
        (
            _STEP,
            _second("row_var", "row", optional=True),
            _second("col_var", "column", optional=True),
            _second("variance", optional=True),
        ),
    ),
    Kind(
        "Adafactor (transformers)",
        (
            _STEP,
            _number("RMS", optional=True),
            Kept("exp_avg", 0, 1, optional=True),  # of steps
            _second("exp_avg_sq_row", "row", optional=True),
            _second("exp_avg_sq_col", "column", optional=True),
            _second("exp_avg_sq", optional=True),
        ),
        ("scale_parameter",),
    ),
)


NOTHING = Kind("an optimizer that keeps nothing yet", ())


def kind_of(
    states: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]
) -> Kind | None:
    """The optimizer that wrote the states of these parameters; None where no line fits.

    Of several it is the first: those that keys of their groups tell stand before the others.
    """
    keys = {key for state in states for key, value in state.items() if value is not None}
    if not keys:
        return NOTHING
    return next((kind for kind in KINDS if _fits(kind, keys, groups)), None)


def _fits(kind: Kind, keys: set[str], groups: Sequence[Mapping[str, Any]]) -> bool:
    needed = {kept.name for kept in kind.keeps if not kept.optional}
    arrays = {kept.name for kept in kind.keeps if kept.form != "number"}
    told = all(key in group for key in kind.groups for group in groups)
    known = keys <= {kept.name for kept in kind.keeps}
    return told and known and needed <= keys and bool(arrays & keys)
