"""Patterns for names of layers."""

from __future__ import annotations

import pytest

from net2net_cli.errors import Place, SpecError
from net2net_cli.spec.patterns import fitting, is_pattern

NAMES = ("conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.10.conv2", "layer10.0.conv2", "fc")
PLACE = Place("t.yaml", 4)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("layer1.*.conv2", ("layer1.0.conv2", "layer1.10.conv2")),
        ("layer1.?.conv2", ("layer1.0.conv2",)),
        ("layer1*.0.conv2", ("layer1.0.conv2", "layer10.0.conv2")),
        ("**.conv2", ("layer1.0.conv2", "layer1.10.conv2", "layer10.0.conv2")),
        ("**.conv1", ("conv1", "layer1.0.conv1")),
        ("layer1.**", ("layer1.0.conv1", "layer1.0.conv2", "layer1.10.conv2")),
        ("layer1.**.conv2", ("layer1.0.conv2", "layer1.10.conv2")),
        ("**", NAMES),
        ("*", ("conv1", "fc")),
        ("*.0.conv2", ("layer1.0.conv2", "layer10.0.conv2")),
    ],
)
def test_a_pattern_fits_these(pattern: str, names: tuple[str, ...]) -> None:
    assert is_pattern(pattern)
    assert tuple(fitting(pattern, NAMES, PLACE)) == names


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("*.conv2", "`layer1.0.conv2`"),
        ("layer2.*.conv2", "`layer1.0.conv2`"),
        ("layer1.*.conv2.weight", "`layer1.0.conv2`"),
        ("?.?.?.?", "`*` stands for"),
        ("layer1.(*.conv2", "layer1"),
    ],
)
def test_a_pattern_that_fits_nothing_names_what_is_near(pattern: str, near: str) -> None:
    with pytest.raises(SpecError, match="no layer's name fits") as caught:
        fitting(pattern, NAMES, PLACE)
    assert caught.value.where == "t.yaml:4"
    assert near in str(caught.value.hint)


def test_a_dot_in_a_pattern_is_a_dot() -> None:
    with pytest.raises(SpecError):
        fitting("layer1?0.conv*", NAMES, PLACE)
