"""SECURITY.md: the tests that it names are there, and its figures are those of the runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.security import FIGURES, PAGE, PAGES
from tests.support.command import ROOT

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", PAGE.read_text())))


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_a_promise_names_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    text = (ROOT / file).read_text()
    assert re.search(rf"^def {function}\(" if function else r"^def test_", text, re.MULTILINE)


def test_every_promise_names_its_tests() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| **")]
    assert len(rows) >= 10
    assert all(re.search(r"`tests/[\w/]+\.py", row.rpartition(" | ")[2]) for row in rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_figures_are_those_of_the_runs(page: Path) -> None:
    found = FIGURES.search(page.read_text())
    assert found is not None
    assert found[0] == PAGES[page](), "run python -m tests.security"
