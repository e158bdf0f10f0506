"""The curves, in the form of the paper's figures 4 to 6: accuracy against steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.learning.tables import SCRATCH, TEACHER, Cell, Run
from tests.benchmarks.learning.tasks import TASKS

LOOKS = {
    "Net2Net": ("#1b6ca8", "-", 2.0),
    "random padding": ("#d1495b", "-", 1.3),
    SCRATCH: ("#8a8a8a", "-", 1.3),
    TEACHER: ("#000000", ":", 1.3),
}
"""Colour, dashes and width of each curve; more would hide each other."""

TITLES = {"wider": "wider", "deeper": "deeper", "both": "wider and deeper"}


def draw(
    cells: Mapping[Cell, Mapping[str, Sequence[Run]]],
    students: Mapping[str, str],
    paths: Sequence[Path],
    optimizer: str = "adamw",
    rate: float = 1.0,
) -> None:
    """A panel for each task and size; ``students`` gives the arm that stands for Net2Net by size.

    Lines are medians over seeds, bands reach from the least to the most.
    """
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams |= {"svg.hashsalt": "net2net", "font.size": 8, "axes.spines.top": False,
                     "axes.spines.right": False, "axes.titlesize": 8}  # fmt: skip
    from matplotlib import pyplot as plt

    tasks = [t for t in TASKS if any(key[0] == t and key[1] == optimizer for key in cells)]
    figure, grid = plt.subplots(
        len(TITLES), len(tasks), figsize=(2.6 * len(tasks), 2.1 * len(TITLES)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, (size, title) in zip(grid, TITLES.items(), strict=True):
        for axes, task in zip(row, tasks, strict=True):
            arms = cells.get((task, optimizer, rate, size), {})
            for name, arm in _curves(arms, students[size]):
                _curve(axes, name, arms[arm])
            axes.set_title(f"{task}, {title}")
            _limit(axes, arms.get(students[size], ()))
        row[0].set_ylabel("test accuracy")
    for axes in grid[-1]:
        axes.set_xlabel("steps after growth")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    for path in paths:
        dated = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=dated)
    plt.close(figure)


def _curves(arms: Mapping[str, object], student: str) -> list[tuple[str, str]]:
    random = next((arm for arm in arms if arm.startswith("random ") and arm != "random"), "")
    named = {"Net2Net": student, "random padding": random, SCRATCH: SCRATCH, TEACHER: TEACHER}
    return [(name, arm) for name, arm in named.items() if arm in arms]


def _curve(axes, name: str, runs: Sequence[Run]) -> None:
    colour, dashes, width = LOOKS[name]
    steps = runs[0].line["steps"]
    values = list(zip(*(run.line["accuracy"] for run in runs), strict=True))
    label = "random padding or insertion" if name == "random padding" else name
    axes.plot(steps, [median(v) for v in values], dashes, color=colour, lw=width, label=label)
    least, most = [min(v) for v in values], [max(v) for v in values]
    axes.fill_between(steps, least, most, color=colour, alpha=0.12, lw=0)


def _limit(axes, runs: Sequence[Run]) -> None:
    """From somewhat below the teacher: what is far below says nothing."""
    if runs:
        start = median(run.line["accuracy"][0] for run in runs)
        best = max(max(run.line["accuracy"]) for run in runs)
        axes.set_ylim(start - 2 * (best - start) - 0.02, best + 0.2 * (best - start) + 0.01)
