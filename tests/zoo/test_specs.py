"""`specs/` as a whole: every file belongs to a pair and says how it is used."""

from __future__ import annotations

import pytest

from tests.support import zoo


def test_every_file_belongs_to_a_pair() -> None:
    assert {path.name for path in zoo.SPECS.iterdir()} == {f"{name}.yaml" for name in zoo.NAMES}


@pytest.mark.parametrize("teacher", zoo.TEACHERS)
def test_teacher_says_how_it_is_used(teacher: str) -> None:
    assert f"--source-spec specs/{teacher}.yaml" in zoo.header(teacher)


@pytest.mark.parametrize(("teacher", "target"), zoo.PAIRS)
def test_target_says_how_it_is_used(teacher: str, target: str) -> None:
    said = zoo.command(target)
    assert f" --source-spec specs/{teacher}.yaml --spec specs/{target}.yaml -o " in said
