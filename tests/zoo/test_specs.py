"""`specs/` as a whole: every file belongs to a pair and says how it is used."""

from __future__ import annotations

import pytest

from net2net_cli import families
from net2net_cli.families.sizes import size_keys
from net2net_cli.spec import read_document
from tests.support import zoo


def test_every_file_belongs_to_a_pair() -> None:
    names = (*zoo.NAMES, *zoo.FAMILIES)
    assert {path.name for path in zoo.SPECS.iterdir()} == {f"{name}.yaml" for name in names}


@pytest.mark.parametrize("target", zoo.FAMILIES)
def test_a_family_target_says_how_it_is_used(target: str) -> None:
    document = read_document(zoo.SPECS / f"{target}.yaml")
    said = families.described(document)
    assert said.family is not None
    assert {*said.config} <= {*size_keys(said.family), *said.family.times}
    assert f"--spec specs/{target}.yaml -o " in zoo.header(target)


@pytest.mark.parametrize("teacher", zoo.TEACHERS)
def test_teacher_says_how_it_is_used(teacher: str) -> None:
    assert f"--source-spec specs/{teacher}.yaml" in zoo.header(teacher)


@pytest.mark.parametrize(("teacher", "target"), zoo.PAIRS)
def test_target_says_how_it_is_used(teacher: str, target: str) -> None:
    said = zoo.command(target)
    assert f" --source-spec specs/{teacher}.yaml --spec specs/{target}.yaml -o " in said
