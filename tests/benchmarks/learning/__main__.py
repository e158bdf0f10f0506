"""Runs what is missing of the study, one line of JSON a run; then tables and figures.

The lines take an hour to make. They are kept compressed, a part added for each run and all of it
made one when the study ends; ``gzip -dc`` shows them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch

from tests.benchmarks.learning.arms import ARMS, Arm, Draft, make
from tests.benchmarks.learning.figures import TITLES, draw
from tests.benchmarks.learning.networks import State
from tests.benchmarks.learning.readme import README, STUDENTS, block, with_block
from tests.benchmarks.learning.tables import RATES, ahead, cells_of, every_cell, summary
from tests.benchmarks.learning.tasks import TASKS, Task
from tests.benchmarks.learning.training import (
    copies_apart,
    effective_ranks,
    grown_weights,
    optimizer_of,
    train,
)

RESULTS = Path(__file__).parents[1] / "results"
LINES = RESULTS / "learning.jsonl.gz"
SHOWN = {
    size: [a.name for a in ARMS if a.size == size and a.everywhere]
    for size in ("wider", "deeper", "both")
}
"""The arms that every task has been run with."""

OPTIMIZERS = ("adamw", "sgd")

Key = tuple[str, str, int, float, str, str]


@dataclass(frozen=True)
class Setting:
    """One teacher: its task, optimizer and seed."""

    task: Task
    optimizer: str
    seed: int


def key_of(line: dict) -> Key:
    names = ("task", "optimizer", "seed", "rate", "size", "arm")
    return tuple(line[name] for name in names)  # type: ignore[return-value]


def read_lines(path: Path = LINES) -> list[dict]:
    if not path.exists():
        return []
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def _add_line(path: Path, line: dict) -> None:
    with path.open("ab") as file:
        file.write(_packed([line]))


def _packed(lines: Sequence[dict]) -> bytes:
    """The same bytes for the same lines, whenever it is done."""
    return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0)


def _wanted(setting: Setting, *, quick: bool) -> Iterator[tuple[float, Arm | None]]:
    """The runs of one teacher; None is the teacher itself."""
    task = setting.task
    few = quick or not task.every_arm
    arms = [
        a for a in ARMS
        if a.only in ("", task.name) and a.optimizer in ("", setting.optimizer)
        and not (few and a.minor)
    ]  # fmt: skip
    for rate in RATES:
        yield rate, None
        yield from ((rate, arm) for arm in arms)


def _key(setting: Setting, rate: float, arm: Arm | None) -> Key:
    size, name = (arm.size, arm.name) if arm else ("teacher", "the teacher, trained on")
    return setting.task.name, setting.optimizer, setting.seed, rate, size, name


def study(setting: Setting, done: set[Key], path: Path, *, quick: bool) -> None:
    """Trains one teacher, and every student of it that is not there yet."""
    missing = [(r, a) for r, a in _wanted(setting, quick=quick) if _key(setting, r, a) not in done]
    if not missing:
        return
    task, data, rate = setting.task, setting.task.data(), setting.task.rates[setting.optimizer]
    teacher = task.family.untrained("teacher", setting.seed)
    stepper = optimizer_of(task.family.named(teacher), setting.optimizer, rate)
    train(teacher, stepper, data, task.batch, task.teacher_steps, setting.seed)
    state = task.family.state_of(teacher)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task.family.save(teacher, folder)
        torch.save(stepper.state_dict(), folder / "optimizer.pt")
        for factor, arm in missing:
            draft = make(arm, task, folder, state, data, setting.seed) if arm else None
            line = _run(setting, factor, arm, state, draft)
            _add_line(path, line)


def _run(
    setting: Setting, factor: float, arm: Arm | None, teacher: State, draft: Draft | None
) -> dict:
    started = time.process_time()
    task = setting.task
    state = arm.change(draft) if arm and draft else teacher
    network = task.family.with_state(arm.size if arm else "teacher", state)
    rate = task.rates[setting.optimizer] * factor
    carried = draft.optimizer if draft else None
    stepper = optimizer_of(task.family.named(network), setting.optimizer, rate, carried)
    curve = train(network, stepper, task.data(), task.batch, task.steps, setting.seed + 1000)
    after = task.family.state_of(network)
    rounded = {
        name: [v if name == "steps" else float(f"{v:.5g}") for v in values]
        for name, values in asdict(curve).items()
    }
    names = ("task", "optimizer", "seed", "rate", "size", "arm")
    found = dict(zip(names, _key(setting, factor, arm), strict=True)) | rounded
    if draft:
        grown = grown_weights(draft.recipes)
        found["rank_before"] = effective_ranks(state, grown)
        found["rank_after"] = effective_ranks(after, grown)
        found["apart"] = copies_apart(after, draft.recipes)
    return found | {
        "torch": torch.__version__, "machine": platform.machine(),
        "cpu_seconds": round(time.process_time() - started, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.learning")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=OPTIMIZERS)
    parser.add_argument("--quick", action="store_true", help="the ways that matter most alone")
    parser.add_argument("--report", action="store_true", help="from the lines that are there")
    parser.add_argument("--lines", type=Path, default=LINES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.lines.parent.mkdir(exist_ok=True)
    if not given.report:
        done = {key_of(line) for line in read_lines(given.lines)}
        for name, optimizer in product(given.tasks, given.optimizers):
            for seed in range(given.seeds):
                setting = Setting(TASKS[name], optimizer, seed)
                study(setting, done, given.lines, quick=given.quick)
    lines = read_lines(given.lines)
    given.lines.write_bytes(_packed(lines))
    report(lines, given.lines)


def beside(lines: Path, ending: str) -> Path:
    """What is made of the lines in a file."""
    return lines.with_name(lines.name.partition(".")[0] + ending)


def report(lines: list[dict], path: Path) -> None:
    """Writes what the lines come to beside them, a table and figures, and of the study's own lines
    the README's section."""
    beside(path, ".md").write_text(table(lines))
    draw(cells_of(lines), STUDENTS, [beside(path, ".png"), beside(path, ".svg")])
    if path == LINES:
        README.write_text(with_block(README.read_text(), block(lines)))


def table(lines: list[dict]) -> str:
    """Every figure, as Markdown."""
    cells = cells_of(lines)
    parts = ["# Which student learns fastest", "", _how(lines), ""]
    for size, arms in SHOWN.items():
        parts += [f"## {TITLES[size].capitalize()}: each way with the better of two rates", ""]
        parts += [summary(cells, size, arms), ""]
        ours = STUDENTS[size]
        told = ", ".join(f"{a} {ahead(cells, size, ours, a):.0%}" for a in arms if a != ours)
        parts += [f"At so many of all measurements `{ours}` is no higher: {told}.", ""]
    parts += ["## Every cell: medians, least and most over the seeds", "", every_cell(cells)]
    return "\n".join(parts)


def _how(lines: list[dict]) -> str:
    """What made the lines."""
    seeds = {t: len({x["seed"] for x in lines if x["task"] == t}) for t in TASKS}
    told = ", ".join(f"{task} {n}" for task, n in seeds.items() if n)
    torches = ", ".join(sorted({x["torch"] for x in lines}))
    seconds = sum(x["cpu_seconds"] for x in lines)
    return (
        f"`make study`: {len(lines)} runs, torch {torches}, one thread each on an"
        f" {lines[0]['machine']} CPU, {seconds / 60:.0f} CPU minutes in all. Seeds: {told}."
    )


if __name__ == "__main__":
    main()
