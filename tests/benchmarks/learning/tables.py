"""What the lines come to: medians and spreads over seeds, as Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log
from statistics import fmean, median

Cell = tuple[str, str, float, str]
"""Task, optimizer, share of the teacher's initial learning rate, size of the student."""

SCRATCH = "from scratch"
TEACHER = "the teacher, trained on"
RATES = (1.0, 0.1)
"""Of the teacher's initial learning rate; a tenth is the paper's advice."""

LAST = 3
"""A final loss or accuracy is the mean of so many last measurements: the last eighth of the steps;
single ones jump about at a constant learning rate."""


@dataclass(frozen=True)
class Run:
    """One run, with what it is held against."""

    line: Mapping
    teacher_loss: float
    scratch_loss: float

    @property
    def final(self) -> float:
        """Training loss at the end."""
        return fmean(self.line["train"][-LAST:])

    @property
    def accuracy(self) -> float:
        """Test accuracy at the end."""
        return fmean(self.line["accuracy"][-LAST:])

    @property
    def rise(self) -> float:
        """How far the training loss rises above the teacher's in the first eighth of the steps."""
        first = [t for s, t in zip(self.line["steps"], self.line["train"], strict=True)
                 if s <= self.line["steps"][-1] / 8]  # fmt: skip
        return max(0.0, max(first) - self.teacher_loss)

    @property
    def to_teacher(self) -> float:
        """Steps until the training loss is the teacher's."""
        return self._until(self.teacher_loss * 1.001)

    @property
    def to_scratch(self) -> float:
        """Steps until it is what the network from scratch ends with, as a share of all steps."""
        return self._until(self.scratch_loss) / self.line["steps"][-1]

    def _until(self, wanted: float) -> float:
        """Steps until the loss is as low as wanted, between measurements by interpolation."""
        before: tuple[float, float] | None = None
        for step, loss in zip(self.line["steps"], self.line["train"], strict=True):
            if loss <= wanted:
                if before is None:
                    return 0
                part = (before[1] - wanted) / (before[1] - loss)
                return before[0] + part * (step - before[0])
            before = (step, loss)
        return inf


Cells = Mapping[Cell, Mapping[str, Sequence[Run]]]


def cells_of(lines: Iterable[Mapping]) -> dict[Cell, dict[str, list[Run]]]:
    """The runs of each cell by arm. A seed counts where its network from scratch has been run
    with both rates: the better one is what the others are held against."""
    lines = list(lines)
    scratch: dict[tuple, list[float]] = defaultdict(list)
    teachers = {}
    for line in lines:
        key = line["task"], line["optimizer"], line["seed"]
        if line["arm"] == SCRATCH:
            scratch[*key, line["size"]].append(fmean(line["train"][-LAST:]))
        if line["arm"] == TEACHER:
            teachers[key] = line["train"][0]
    found: dict[Cell, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        key = line["task"], line["optimizer"], line["seed"]
        sizes = [line["size"]] if line["arm"] != TEACHER else ["wider", "deeper", "both"]
        for size in sizes:
            best = scratch.get((*key, size), [])
            if len(best) == 2:
                run = Run(line, teachers[key], min(best))
                found[line["task"], line["optimizer"], line["rate"], size][line["arm"]].append(run)
    return found


def _spread(values: Sequence[float], form: str) -> str:
    """Median, and least and most."""

    def show(value: float) -> str:
        return "never" if value == inf else format(value, form)

    return f"{show(median(values))} ({show(min(values))} to {show(max(values))})"


def every_cell(cells: Cells) -> str:
    """All that was measured, a table for each cell."""
    parts = []
    head = ("new units", "final loss", "test accuracy", "steps to teacher's loss", "to scratch's",
            "rise at first", "copies apart", "effective rank")  # fmt: skip
    for task, optimizer, rate, size in sorted(cells):
        arms = cells[task, optimizer, rate, size]
        seeds = len(arms[SCRATCH])
        parts += [
            f"### {task}, {size}: {optimizer}, rate × {rate:g}, {seeds} seeds", "", *_head(head),
        ]  # fmt: skip
        ordered = sorted(arms, key=lambda arm: median(run.final for run in arms[arm]))
        parts += [_row(arm, arms[arm]) for arm in ordered]
        parts.append("")
    return "\n".join(parts)


def _row(arm: str, runs: Sequence[Run]) -> str:
    apart = [a for run in runs if (a := run.line.get("apart")) is not None]
    return " | ".join([
        f"| {arm}",
        _spread([run.final for run in runs], ".4f"),
        _spread([run.accuracy for run in runs], ".3f"),
        _spread([run.to_teacher for run in runs], ".0f"),
        _spread([run.to_scratch for run in runs], ".2f"),
        f"{median(run.rise for run in runs):.3f}",
        f"{median(apart):.3f}" if apart else "",
        _ranks(runs),
    ]) + " |"  # fmt: skip


def _ranks(runs: Sequence[Run]) -> str:
    """Of each grown layer, at first and at the end; of the first seed."""
    line = runs[0].line
    after = line.get("rank_after", {})
    before = line.get("rank_before", {})
    return ", ".join(
        f"{name.removesuffix('.weight')} {before[name]:.1f} → {rank:.1f}"
        for name, rank in after.items()
    )


def _head(names: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(names)} |", "| --- " * len(names) + "|"]


@dataclass(frozen=True)
class Score:
    """An arm over all tasks and optimizers, each with the better of the two rates: steps to from
    scratch's final loss as a share of its steps (median and most), final loss against the best
    arm's (geometric mean), mean rank by final loss, test accuracy (mean), and the largest first
    rise at the teacher's full rate, against the teacher's loss. ``low``: in how many cells the
    lower rate is the better."""

    steps: float
    most_steps: float
    loss: float
    rank: float
    accuracy: float
    rise: float
    low: int
    cells: int


def scores(cells: Cells, size: str, arms: Sequence[str]) -> dict[str, Score]:
    """Arms held against each other where all of them were run with both rates."""
    whole = {key for key, cell in cells.items() if key[3] == size and set(arms) <= set(cell)}
    pairs = sorted({key[:2] for key in whole if {(*key[:2], r, size) for r in RATES} <= whole})
    best = [{arm: better(cells, pair, size, arm) for arm in arms} for pair in pairs]
    ends = [{arm: final(runs) for arm, (_, runs) in cell.items()} for cell in best]
    found = {}
    for arm in arms if pairs else ():
        shares = [median(run.to_scratch for run in cell[arm][1]) for cell in best]
        full = [cells[*pair, max(RATES), size][arm] for pair in pairs]
        found[arm] = Score(
            median(shares),
            max(shares),
            exp(fmean(log(end[arm] / min(end.values())) for end in ends)),
            fmean(sorted(end.values()).index(end[arm]) + 1 for end in ends),
            fmean(median(run.accuracy for run in cell[arm][1]) for cell in best),
            max(median(run.rise / run.teacher_loss for run in runs) for runs in full),
            sum(cell[arm][0] < 1 for cell in best),
            len(pairs),
        )
    return found


def better(cells: Cells, pair: tuple[str, str], size: str, arm: str) -> tuple[float, Sequence[Run]]:
    """An arm's runs of a task and optimizer at the better of the two rates, and that rate."""
    return min(((r, cells[*pair, r, size][arm]) for r in RATES), key=lambda x: final(x[1]))


def final(runs: Sequence[Run]) -> float:
    """The median of the final losses; one that is not a number counts as the worst there is."""
    found = median(run.final if isfinite(run.final) else inf for run in runs)
    return min(found, 1e3)


def ahead(cells: Cells, size: str, arm: str, other: str) -> float:
    """At how many of all measurements after the start (of every task and optimizer, at the full
    rate) an arm's training loss is no higher than another's: medians over seeds, as a share."""
    found = []
    for key, cell in cells.items():
        if key[2:] == (max(RATES), size) and {arm, other} <= set(cell):
            ours, theirs = ([run.line["train"] for run in cell[a]] for a in (arm, other))
            pairs = zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
            found += [median(a) <= median(b) for a, b in pairs][1:]
    return fmean(found) if found else 0.0


def summary(cells: Cells, size: str, arms: Sequence[str]) -> str:
    """The scores as a table, best rank first."""
    found = scores(cells, size, arms)
    rows = [
        f"| {arm} | {s.rank:.1f} | {s.loss:.2f} | {s.accuracy:.3f} | {share(s.steps)} |"
        f" {share(s.most_steps)} | {s.rise:.0%} | {s.low} of {s.cells} |"
        for arm, s in sorted(found.items(), key=lambda pair: pair[1].rank)
    ]
    head = ("new units", "mean rank", "final loss, best = 1", "test accuracy",
            "steps to scratch's final loss", "at worst", "first rise, full rate",
            "a tenth of the rate is better")  # fmt: skip
    return "\n".join([*_head(head), *rows, ""])


def share(value: float) -> str:
    """Of all steps, in per cent."""
    return "never" if value == inf else f"{value:.0%}"
