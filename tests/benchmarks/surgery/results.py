"""Figures as they are kept: JSON in and out, and their medians."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.surgery.cost import Cost

FOLDER = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Contest:
    """One growth of one teacher: bytes in and out, each contestant's rounds, the seconds that
    net2net takes to start, and why contestants are left out."""

    key: str
    title: str
    source_bytes: int
    output_bytes: int
    costs: dict[str, list[Cost]]
    start: tuple[float, ...]
    skipped: dict[str, str]

    def middle(self, name: str, of: str) -> float | None:
        """The median of a figure of Cost; None where it was left out."""
        rounds = self.costs.get(name)
        return median(getattr(cost, of) for cost in rounds) if rounds else None

    @property
    def starting(self) -> float:
        return median(self.start)

    def work(self) -> float:
        """net2net's seconds without starting."""
        return median(cost.wall for cost in self.costs["net2net"]) - self.starting

    def times(self, name: str, *, started: bool = True, of: str = "wall") -> float | None:
        """net2net's time over another's, round by round; ``started``: all of it."""
        less = 0.0 if started else self.starting
        pairs = zip(self.costs["net2net"], self.costs.get(name, ()), strict=False)
        ratios = [(mine.wall - less) / getattr(theirs, of) for mine, theirs in pairs]
        return median(ratios) if ratios else None


@dataclass(frozen=True)
class Planning:
    """`net2net plan` of a teacher of so many bytes, beside a bare interpreter and a bare import."""

    source_bytes: int
    imports_torch: bool
    plan: list[Cost]
    python: list[Cost]
    torch: list[Cost]


@dataclass(frozen=True)
class Results:
    """All that was measured on one machine, and by what command."""

    command: str
    machine: dict[str, str]
    contests: tuple[Contest, ...] = ()
    planning: tuple[Planning, ...] = ()
    left_out: tuple[str, ...] = ()

    def adding(self, other: Results) -> Results:
        """These and another run's, which take the place of those of the same growth and size."""
        return replace(
            other,
            command=f"{self.command}; {other.command}",
            contests=_joined(self.contests, other.contests, lambda c: (c.key, c.source_bytes)),
            planning=_joined(self.planning, other.planning, lambda p: p.source_bytes),
            left_out=(*self.left_out, *other.left_out),
        )


def _joined(old: Iterable[Any], new: Iterable[Any], key: Callable[[Any], Any]) -> tuple[Any, ...]:
    found = {key(item): item for item in old} | {key(item): item for item in new}
    return tuple(sorted(found.values(), key=lambda item: item.source_bytes))


def write(results: Results, file: Path) -> None:
    file.write_text(json.dumps(asdict(results), indent=1) + "\n")


def read(file: Path) -> Results:
    held = json.loads(file.read_text())
    contests = [
        Contest(**one | {"costs": {n: _costs(c) for n, c in one["costs"].items()},
                         "start": tuple(one["start"])})
        for one in held["contests"]
    ]  # fmt: skip
    planning = [
        Planning(**one | {name: _costs(one[name]) for name in ("plan", "python", "torch")})
        for one in held["planning"]
    ]
    return Results(
        held["command"], held["machine"], tuple(contests), tuple(planning), tuple(held["left_out"])
    )


def _costs(rounds: Iterable[dict[str, Any]]) -> list[Cost]:
    return [Cost(**one) for one in rounds]
