"""What is said of the study is what its lines come to."""

from __future__ import annotations

from functools import cache
from itertools import count

import pytest

from tests.benchmarks.learning.__main__ import LINES, beside, read_lines, table
from tests.benchmarks.learning.readme import README, block, block_of, with_block
from tests.benchmarks.learning.tables import cells_of, scores


@cache
def lines() -> list[dict]:
    return read_lines()


def test_the_readme_says_what_the_lines_come_to() -> None:
    """Else: python -m tests.benchmarks.learning --report"""
    assert block_of(README.read_text()) == block(lines())


def test_the_table_says_what_the_lines_come_to() -> None:
    assert beside(LINES, ".md").read_text() == table(lines())


def test_no_run_is_there_twice() -> None:
    names = ("task", "optimizer", "seed", "rate", "size", "arm")
    keys = [tuple(line[name] for name in names) for line in lines()]
    assert len(keys) == len(set(keys)) > 0


def made(arm: str, rate: float, losses: list[float], numbers: count) -> dict:
    """A line, as far as tables read it."""
    steps = [100 * at for at in range(len(losses))]
    return {
        "task": "t", "optimizer": "sgd", "seed": 0, "rate": rate, "size": "wider", "arm": arm,
        "steps": steps, "train": losses, "accuracy": [0.5] * len(losses), "number": next(numbers),
    }  # fmt: skip


def test_shares_are_of_the_better_rates_steps() -> None:
    """From scratch ends at 1 with the better rate; the student is there after a quarter of the
    steps, halfway between two measurements."""
    numbers = count()
    found = [
        made("the teacher, trained on", 1.0, [4.0] * 9, numbers),
        made("from scratch", 1.0, [9, 8, 7, 6, 5, 2, 1, 1, 1], numbers),
        made("from scratch", 0.1, [9, 9, 9, 9, 9, 9, 9, 9, 9], numbers),
        made("fresh", 1.0, [4, 3, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], numbers),
        made("fresh", 0.1, [4, 5, 4, 3, 3, 3, 3, 3, 3], numbers),
    ]
    score = scores(cells_of(found), "wider", ["fresh", "from scratch"])["fresh"]
    assert score.steps == pytest.approx(2 / 8)
    assert score.rank == 1
    assert score.loss == 1
    assert score.rise == 0
    assert score.low == 0


def test_only_what_is_between_the_marks_is_written() -> None:
    text = "a\n<!-- study -->\nold\n<!-- /study -->\nb\n"
    assert with_block(text, "new\n") == text.replace("old", "new")
    assert block_of(text) == "old\n"
