"""Which expansion a width takes: from what the layout bears and what the user asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from net2net_cli.axes import Width
from net2net_cli.errors import UnreachableError, UsageError
from net2net_cli.expansion import KINDS, SPLITS
from net2net_cli.layout import Demand, Layout
from net2net_cli.plan import Choices

MODES = ("training", "evaluation")

HOW = {
    "fresh": "new units are drawn as large as the old ones; their readers' weights start at zero",
    "duplicate": "new units copy old ones; the copies share their readers' weights",
    "even": "every unit is copied equally often, so that norms see the same statistics",
    "mean": "new units hold the mean of the old ones, which the norm turns into zero",
    "zero": "new units write zeros; their readers' weights may be anything; behind a ReLU such"
    " units get no gradient",
}


@dataclass(frozen=True)
class Growth:
    """A width that grows from ``before`` to ``after`` features."""

    width: Width
    before: int
    after: int


def check_choices(choices: Choices) -> None:
    """Raise UsageError for an unknown expansion, split or mode."""
    if choices.expansion not in ("auto", *KINDS):
        raise UsageError(
            f"there is no expansion `{choices.expansion}`", hint=f"use auto, {', '.join(KINDS)}"
        )
    if choices.split not in SPLITS:
        raise UsageError(f"there is no split `{choices.split}`", hint=f"use {', '.join(SPLITS)}")
    if choices.mode not in MODES:
        raise UsageError(f"there is no mode `{choices.mode}`", hint=f"use {' or '.join(MODES)}")


def chosen_for(choices: Choices, chosen: Mapping[str, str], width: Width) -> Choices:
    """The choices for one width, where a plan has ``chosen`` its expansion already.

    Raises UsageError for an unknown one.
    """
    if width.name not in chosen:
        return choices
    own = replace(choices, expansion=chosen[width.name])
    check_choices(own)
    return own


def choose(layout: Layout, growth: Growth, choices: Choices, members: tuple[str, ...]) -> str:
    """The first expansion of those asked for that everything along the width bears.

    Raises UnreachableError (exit 3) with the reasons of those that forbid it.
    """
    borne = layout.bears(growth.width)
    if growth.before == 0:
        borne &= {"fresh"}
    if growth.before and growth.after % growth.before:
        borne -= {"even"}
    wanted = KINDS if choices.expansion == "auto" else _meant(choices.expansion)
    wanted = wanted if growth.before else ("fresh",)
    for kind in wanted:
        if kind in borne:
            return kind
    reasons = refusals(layout, growth.width, frozenset(wanted))
    if wanted == ("even",) and "even" not in borne and "even" in layout.bears(growth.width):
        reasons = f"copies in equal number need a multiple of {growth.before}, not {growth.after}"
    asked = "" if choices.expansion == "auto" else f" by `{choices.expansion}`"
    raise UnreachableError(
        f"`{members[0]}` cannot grow from {growth.before} to {growth.after}{asked}: {reasons}",
        where=layout.place(members[0]),
        hint=_remedy(borne | layout.bears(growth.width), growth),
    )


def _meant(expansion: str) -> tuple[str, ...]:
    return ("duplicate", "even") if expansion == "duplicate" else (expansion,)


def refusals(layout: Layout, width: Width, wanted: frozenset[str]) -> str:
    """Why a width bears none of the wanted expansions: the layers that forbid most, no more than
    it takes."""
    left, reasons = wanted, []
    limits = layout.limits(width)
    while limits and left:
        strictest = min(limits, key=lambda demand: len(left & demand.borne_by(width)))
        if left <= strictest.borne_by(width):
            break
        left &= strictest.borne_by(width)
        reasons.append(_reason(strictest))
    return "; ".join(reasons) or "nothing that it touches allows it"


def _reason(demand: Demand) -> str:
    return f"`{demand.layer}` {demand.reason}" if demand.layer else demand.reason


def _remedy(borne: frozenset[str], growth: Growth) -> str | None:
    if not growth.before:
        return "leave the new features out"
    if not borne:
        return "leave its size as it is"
    if borne == {"even"} or (borne <= {"even", "mean"} and "mean" not in borne):
        small = growth.after // growth.before * growth.before
        near = [n for n in (small, small + growth.before) if n > growth.before]
        return f"use a whole multiple of {growth.before}, such as {' or '.join(map(str, near))}"
    typed = dict.fromkeys("duplicate" if k == "even" else k for k in KINDS if k in borne)
    return f"use --expansion {' or '.join(typed)}"
