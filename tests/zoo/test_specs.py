"""`specs/` as a whole: every file belongs to a pair, reads, and says how it is used."""

from __future__ import annotations

import pytest

from net2net_cli.laying import layout_of
from net2net_cli.spec import dump, parse_document, to_spec
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


@pytest.mark.parametrize("name", zoo.NAMES)
def test_dumped_spec_is_the_same_network(name: str) -> None:
    again = to_spec(parse_document(dump(zoo.read(name)), f"{name}.yaml"))
    assert [(a.name, a.type, a.args, a.inputs) for a in again.layers] == [
        (a.name, a.type, a.args, a.inputs) for a in to_spec(zoo.read(name)).layers
    ]


@pytest.mark.parametrize(("teacher", "target"), zoo.PAIRS)
def test_target_only_adds_to_its_teacher(teacher: str, target: str) -> None:
    small, big = (layout_of(to_spec(zoo.read(name))).tensors for name in (teacher, target))
    if teacher == "vgg11_bn" and target == "vgg11_bn_deeper":
        pytest.skip("its layers are renumbered")
    for name, tensor in small.items():
        grown = zip(tensor.shape, big[name].shape, strict=True)
        assert all(before <= after for before, after in grown), name
