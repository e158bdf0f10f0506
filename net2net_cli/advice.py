"""What a plan's student needs to go on learning: read off its operations, in a few words.

The rules are what the study of which student learns fastest found (tests/benchmarks/learning, its
figures in tests/benchmarks/results/learning.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from net2net_cli.plan import Insert, Plan, Widen


@dataclass(frozen=True)
class Advice:
    """``why`` widths grow as they do, where ``auto`` chose; ``rate``: with which learning rate to
    go on; ``watch``: what tells that it goes wrong.

    ``new`` are the layers that came in; ``grown`` those whose tensors hold new entries beside old
    ones, by the names that the plan has for them (``*`` stands for any block's number).
    """

    why: str | None
    rate: str
    watch: str
    new: tuple[str, ...]
    grown: tuple[str, ...]


def advice(plan: Plan) -> Advice | None:
    """The advice for a plan's student; None where the plan changes nothing."""
    widens = [o for o in plan.operations if isinstance(o, Widen)]
    inserts = [o for o in plan.operations if isinstance(o, Insert)]
    if not widens and not inserts:
        return None
    new = tuple(o.layer for o in inserts)
    members = dict.fromkeys(m for o in widens for m in o.members)
    grown = tuple(m for m in members if m not in new)
    why = _why(widens) if plan.choices.expansion == "auto" and widens else None
    return Advice(why, _rate(widens), _watch(plan, widens, inserts), new, grown)


BECAUSE = {
    "fresh": "which learns fast at any learning rate",
    "duplicate": "the fastest that its layers bear",
    "even": "which its layers bear",
    "mean": "which its norms bear at any size",
    "zero": "which its layers bear at any size",
}

NAMED = 3
"""So many widths are named; more are counted."""


def _why(widens: list[Widen]) -> str:
    """Each expansion that was taken, where there are several for which widths, and what for."""
    kinds = dict.fromkeys(o.expansion for o in widens)
    parts = []
    for kind in kinds:
        names = [o.name for o in widens if o.expansion == kind]
        named = ", ".join(names) if len(names) <= NAMED else f"{len(names)} widths"
        of = f" for {named}" if len(kinds) > 1 else ""
        parts.append(f"{kind}{of}, {BECAUSE[kind]}")
    return "; ".join(parts)


def _rate(widens: list[Widen]) -> str:
    if any(o.split == "signed" for o in widens):
        return (
            "a tenth of the teacher's initial learning rate; at the full one signed copies may"
            " shake the network"
        )
    return (
        "the teacher's initial learning rate ends lowest; a tenth of it keeps the loss from rising"
        " at first"
    )


def _watch(plan: Plan, widens: list[Widen], inserts: list[Insert]) -> str:
    if any(o.undoes and o.moments != "calibration" for o in inserts):
        return (
            "the loss of the first steps: the statistics of new BatchNorms are estimated, and"
            " --calibrate DATA measures them"
        )
    alike = [o.split for o in widens if o.split in ("even", "dyadic")]
    if alike and not plan.choices.noise:
        return (
            f"whether the copies part: with shares that are {alike[0]} they learn as one;"
            " --split whole or --noise 0.01 parts them"
        )
    if any(o.expansion == "zero" and not o.label for o in widens):
        return "whether the loss falls: behind a ReLU, units that write zeros get no gradient"
    return "the training loss, which starts at the teacher's: where it rises, lower the rate"
