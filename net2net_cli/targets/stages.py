"""Stages of a network: groups whose numbered members, the units, run one after the other.

``layer3`` holds the units ``0``, ``1``, ...; what stands behind a unit and bears its name or number
(``relu1``, ``block2-1_activation``) belongs to it. ``denselayer1``, ``block2-1``: units may have a
name before their number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from net2net_cli.errors import Place, UsageError, closest
from net2net_cli.spec.names import join
from net2net_cli.spec.wiring import Wiring

_NUMBERED = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True)
class Unit:
    """One unit: its key and number, the keys of all its members, and its layers in order."""

    stage: str
    stem: str
    number: int
    keys: tuple[str, ...]
    layers: tuple[str, ...]

    def key_of(self, key: str, number: int) -> str:
        """A member's key as it is in the unit of another number."""
        head = f"{self.stem}{self.number}"
        if key.startswith(head):
            return f"{self.stem}{number}{key[len(head) :]}"
        return f"{key.removesuffix(str(self.number))}{number}"

    def name_of(self, name: str, number: int) -> str:
        """A layer's full name as it is in the unit of another number."""
        rest = name[len(self.stage) + 1 :] if self.stage else name
        key, dot, inner = rest.partition(".")
        return join(self.stage, self.key_of(key, number)) + dot + inner


def units_of(names: Iterable[str], stage: str) -> list[Unit]:
    """The units of a stage, of all the network's layers in order; none where it has none."""
    found: list[Unit] = []
    ended = False
    for key, layers in _members(names, stage).items():
        last = found[-1] if found else None
        head = _NUMBERED.fullmatch(key)
        if last and not ended and _belongs(last, key):
            found[-1] = Unit(
                stage, last.stem, last.number, (*last.keys, key), (*last.layers, *layers)
            )
        elif head and (last is None or head[1] == last.stem):
            found.append(Unit(stage, head[1], int(head[2]), (key,), tuple(layers)))
            ended = False
        else:
            ended = True
    return found


def _members(names: Iterable[str], stage: str) -> Mapping[str, list[str]]:
    prefix = f"{stage}." if stage else ""
    found: dict[str, list[str]] = {}
    for name in names:
        if name.startswith(prefix):
            found.setdefault(name[len(prefix) :].partition(".")[0], []).append(name)
    return found


def _belongs(unit: Unit, key: str) -> bool:
    """Whether a key that follows a unit is one of its members."""
    head = f"{unit.stem}{unit.number}"
    own = _NUMBERED.fullmatch(key)
    named = key.startswith(head) and not key[len(head) :][:1].isdigit()
    return named or (own is not None and own[1] != unit.stem and int(own[2]) == unit.number)


@dataclass(frozen=True)
class Ends:
    """What a unit reads from outside, and what the rest of the network reads from it."""

    reads: str
    gives: str


def ends_of(wiring: Wiring, unit: Unit) -> Ends | None:
    """The one value that goes into a unit and the one that comes out; None where there are more."""
    inside = set(unit.layers)
    reads = {v for name in unit.layers for v in wiring.inputs[name]} - inside
    gives = {v for name, vs in wiring.inputs.items() if name not in inside for v in vs} & inside
    gives |= inside & set(wiring.outputs)
    return Ends(reads.pop(), gives.pop()) if len(reads) == len(gives) == 1 else None


def run_on(wiring: Wiring, units: list[Unit]) -> bool:
    """Whether each unit reads what the one before it gives, and nothing else."""
    ends = [ends_of(wiring, unit) for unit in units]
    known = [end for end in ends if end]
    return len(known) == len(ends) and all(b.reads == a.gives for a, b in pairwise(known))


def check_stage(wiring: Wiring, stage: str, place: Place) -> None:
    """Raise UsageError where a stage has no layers, naming the nearest that has units."""
    names = list(wiring.entries)
    if stage and any(name.startswith(f"{stage}.") for name in names):
        return
    known = _stages(wiring)
    if not stage and not known:
        return
    if not stage:
        said = "the network has several stages, and nothing says which one grows"
    elif stage in names:
        said = f"`{stage}` is a single layer, and no stage"
    else:
        said = f"the network has no stage `{stage}`"
    hint = closest(stage, known) or f"its stages are {', '.join(known[:6])}"
    without = "it has none; insert layers with `net2net deepen --after NAME`"
    raise UsageError(said, where=place, hint=hint if known else without)


def _stages(wiring: Wiring) -> list[str]:
    """All groups with two units or more that run one after the other, in the network's order."""
    names = list(wiring.entries)
    parts = [name.split(".") for name in names]
    groups = dict.fromkeys(".".join(p[:end]) for p in parts for end in range(1, len(p)))
    found = {group: units_of(names, group) for group in groups}
    return [group for group, units in found.items() if len(units) > 1 and run_on(wiring, units)]
