"""The README's section of the study, written from its lines, so that no figure in it grows old."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, inf, isfinite, log
from pathlib import Path
from statistics import fmean, median

from tests.benchmarks.learning.tables import (
    RATES,
    SCRATCH,
    Cells,
    Run,
    ahead,
    better,
    cells_of,
    final,
    scores,
    share,
)

README = Path(__file__).parents[3] / "README.md"
BEGIN, END = "<!-- study -->\n", "<!-- /study -->\n"

NAMES = {
    "fresh": "**fresh** (`--expansion auto`)",
    "fresh, teacher size": "fresh, without √(old / new fan-in)",
    "fresh, torch size": "fresh, as torch initialises",
    "fresh, state carried": "fresh, with the optimizer's state (`--optimizer`)",
    "signed": "duplicate, **signed** (`--split`'s default)",
    "even": "duplicate, even (the paper, no noise)",
    "random padding": "random padding (preserves nothing)",
    SCRATCH: SCRATCH,
}
"""The ways of the README's table."""

STUDENTS = {"wider": "fresh", "deeper": "identity", "both": "fresh"}
"""What the tool does by default."""

RANDOM = {
    "wider": "random padding", "deeper": "random insertion", "both": "random padding and insertion"
}  # fmt: skip
"""The paper's baselines."""

SIZES = {"wider": "wider", "deeper": "deeper", "both": "wider and deeper"}

THIRD = 1 / 3
"""The aim: so many of from scratch's steps at most."""


def with_block(text: str, block: str) -> str:
    """The README with that block between its marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{block}{END}{after}"


def block_of(text: str) -> str:
    """What the README has between its marks."""
    return text.split(BEGIN)[1].split(END, maxsplit=1)[0]


def block(lines: Iterable[Mapping]) -> str:
    """All that the README says in figures."""
    lines = list(lines)
    cells = cells_of(lines)
    paragraphs = [
        _seeds(lines), _table(cells), _steps(cells), _aim(cells), _ended(lines), _state(cells),
        _calibrated(cells),
    ]  # fmt: skip
    return "\n".join(paragraphs)


def _wrapped(text: str, first: str = "", later: str = "") -> str:
    import textwrap

    filled = textwrap.fill(
        " ".join(text.split()), 108, initial_indent=first, subsequent_indent=later,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{filled}\n"


def _seeds(lines: Sequence[Mapping]) -> str:
    pairs = dict.fromkeys((x["task"], x["optimizer"]) for x in lines)
    counts = {
        pair: len({x["seed"] for x in lines if (x["task"], x["optimizer"]) == pair})
        for pair in pairs
    }
    most = max(counts.values())
    fewer = [f"{task} by {_by(optimizer)} {n}" for (task, optimizer), n in counts.items()
             if n < most]  # fmt: skip
    told = f"{most} seeds each" + (f" (but {', '.join(fewer)})" if fewer else "")
    return _wrapped(
        f"Of {len(lines):,} runs of {len(pairs)} pairs of task and optimizer, {told}; wider"
        " students, each way with the better of the two rates, medians over the seeds:"
    )


def _by(optimizer: str) -> str:
    return {"adamw": "AdamW", "sgd": "SGD"}[optimizer]


def _table(cells: Cells) -> str:
    found = scores(cells, "wider", list(NAMES))
    head = ("new units", "mean rank", "final loss, best = 1", "test accuracy",
            "of from scratch's steps, median", "at worst", "first rise, full rate")  # fmt: skip
    rows = [
        f"| {NAMES[arm]} | {s.rank:.1f} | {s.loss:.2f} | {s.accuracy:.3f} | {share(s.steps)} |"
        f" {share(s.most_steps)} | {s.rise:.0%} |"
        for arm, s in sorted(found.items(), key=lambda pair: pair[1].rank)
    ]
    return "\n".join([f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *rows, ""])


def _steps(cells: Cells) -> str:
    parts = []
    for size, told in (("deeper", "Deeper ones"), ("both", "wider and deeper ones")):
        ours, other = STUDENTS[size], RANDOM[size]
        found = scores(cells, size, [ours, other, SCRATCH])
        parts.append(
            f"{told} take {share(found[ours].steps)} of its steps in the median"
            f" ({share(found[ours].most_steps)} at worst; {other} {share(found[other].steps)} and"
            f" {share(found[other].most_steps)})"
        )
    return _wrapped(
        "\"Of from scratch's steps\" is how soon a student's training loss is where from scratch's"
        f" ends, the first rise how far the loss of the worst task goes above the teacher's."
        f" {', '.join(parts)}."
    )


def _aim(cells: Cells) -> str:
    met = []
    for size, ours in STUDENTS.items():
        found = [_to_scratch(cells, pair, size, ours) for pair in _pairs(cells, size, ours)]
        count = sum(steps <= THIRD for steps in found)
        met.append(f"{SIZES[size]} students in {count} of {len(found)}")
    no_higher = []
    for size, more in (("wider", ["even"]), ("both", [])):
        ours = STUDENTS[size]
        told = [f"{arm} at {ahead(cells, size, ours, arm):.0%}"
                for arm in (SCRATCH, RANDOM[size], *more)]  # fmt: skip
        no_higher.append(f"{SIZES[size]}: {', '.join(told)}")
    return _wrapped(
        "What was aimed at is not reached everywhere. A third of from scratch's steps, or fewer,"
        f" suffices {', '.join(met)} pairs of task and optimizer. At the full rate the loss of the"
        " default is no higher than another way's at so many of all measurements:"
        f" {'; '.join(no_higher)}."
    )


def _pairs(cells: Cells, size: str, arm: str) -> list[tuple[str, str]]:
    """The tasks and optimizers in which an arm was run with both rates."""
    there = {key[:3] for key, cell in cells.items() if key[3] == size and arm in cell}
    return sorted({key[:2] for key in there if all((*key[:2], rate) in there for rate in RATES)})


def _to_scratch(cells: Cells, pair: tuple[str, str], size: str, arm: str) -> float:
    return median(run.to_scratch for run in better(cells, pair, size, arm)[1])


def _ended(lines: Sequence[Mapping]) -> str:
    """How many runs ended above where their teacher stood: growth that did not pay."""
    cells = cells_of(lines)
    told = []
    for arm in ("fresh", "signed"):
        runs = [
            (key, run) for key, cell in cells.items() if key[3] in ("wider", "both")
            for run in cell.get(arm, ())
        ]  # fmt: skip
        bad = [(key, run) for key, run in runs if not run.final <= run.teacher_loss]
        where = dict.fromkeys(_place(key) for key, _ in bad)
        among = f" ({'; '.join(where)})" if where else ""
        told.append(f"of {arm} units {len(bad)} of {len(runs)}{among}")
    return _wrapped(f"Runs that ended above their teacher's loss: {', '.join(told)}.")


def _place(key: tuple[str, str, float, str]) -> str:
    task, optimizer, rate, size = key
    at = "the full rate" if rate == max(RATES) else "a tenth of it"
    return f"{task}, {SIZES[size]}, {_by(optimizer)} at {at}"


def _state(cells: Cells) -> str:
    told = []
    for optimizer, arm, how in (
        ("adamw", "fresh, state carried", "step map"),
        ("adamw", "fresh, state restarted", "restart map"),
        ("sgd", "fresh, state carried", "either"),
    ):
        loss, rises = _against(cells, arm, "fresh", optimizer)
        if loss is not None:
            told.append(
                f"{_by(optimizer)}, {how}: {loss:.2f} times the final loss, a first rise of"
                f" {rises[0]:.0%} of the teacher's loss and not of {rises[1]:.0%}"
            )
    return _wrapped(
        "Fresh units that go on from their teacher's optimizer state (see below), beside those that"
        f" start with none: {'; '.join(told)} (wider, and wider and deeper, full rate, means over"
        " the tasks)."
    )


def _calibrated(cells: Cells) -> str:
    loss, rises = _against(cells, "fresh, calibrated", "fresh", None)
    if loss is None:
        return ""
    return _wrapped(
        f"With `--calibrate` the convnet's fresh units end at {loss:.2f} times the loss that they"
        f" end at without it; at first it rises by {rises[0]:.0%} of the teacher's, not by"
        f" {rises[1]:.0%}."
    )


def _against(
    cells: Cells, arm: str, other: str, optimizer: str | None
) -> tuple[float | None, tuple[float, float]]:
    """An arm beside another at the full rate: the geometric mean of the final losses' ratio, and
    the mean of both first rises."""
    found = [
        (cell[arm], cell[other]) for key, cell in cells.items()
        if key[2] == max(RATES) and key[3] in ("wider", "both") and {arm, other} <= set(cell)
        and optimizer in (None, key[1])
    ]  # fmt: skip
    if not found:
        return None, (0.0, 0.0)
    ratio = exp(fmean(log(final(ours) / final(theirs)) for ours, theirs in found))
    rises = [fmean(_rise(pair[at]) for pair in found) for at in (0, 1)]
    return ratio, (rises[0], rises[1])


def _rise(runs: Sequence[Run]) -> float:
    found = median(run.rise / run.teacher_loss for run in runs)
    return found if isfinite(found) else inf
