"""What a student's owner is told about training on follows from the plan's operations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from net2net_cli.advice import Advice, advice
from net2net_cli.api import Choices, deepen_plan, make_plan, widen_plan
from tests.growth.nets import Teacher, save_spec

NET = """\
net2net: 1
input: [3, 8, 8]
layers:
  conv1: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
  bn1:   {type: BatchNorm2d}
  relu1: {type: ReLU}
  pool:  {type: AdaptiveAvgPool2d, output_size: 1}
  flat:  {type: Flatten}
  out:   {type: Linear, out_features: 5}
"""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return save_spec(tmp_path_factory.mktemp("advice"), NET)


def wider(teacher: Teacher, *choices: str, noise: float = 0.0) -> Advice:
    found = advice(widen_plan(teacher.model, "conv1", 8, Choices(*choices, noise=noise)))
    assert found is not None
    return found


def test_layers_that_grew_are_named_and_those_that_came_in(teacher: Teacher) -> None:
    found = wider(teacher)
    assert (found.new, found.grown) == ((), ("conv1", "bn1", "out"))
    deeper = advice(deepen_plan(teacher.model, "conv1", "extra"))
    assert deeper is not None
    assert deeper.new[0] == "extra"
    assert not set(deeper.new) & set(deeper.grown)


def test_why_is_told_where_it_was_left_to_auto(teacher: Teacher) -> None:
    assert wider(teacher).why == "fresh, which learns fast at any learning rate"
    assert wider(teacher, "fresh").why is None
    deeper = advice(deepen_plan(teacher.model, "conv1", "extra"))
    assert deeper is not None
    assert deeper.why is None


def test_several_expansions_are_told_by_width(teacher: Teacher) -> None:
    plan = widen_plan(teacher.model, "conv1", 8)
    (grown,) = plan.operations
    other = replace(grown, width="b", members=("b",), expansion="mean", label="n_embd")
    found = advice(replace(plan, operations=(grown, other)))
    assert found is not None
    assert found.why == (
        "fresh for conv1, which learns fast at any learning rate;"
        " mean for n_embd, which its norms bear at any size"
    )


def test_only_signed_copies_are_to_start_at_a_tenth_of_the_rate(teacher: Teacher) -> None:
    assert wider(teacher, "duplicate", "signed").rate.startswith("a tenth")
    for choices in (("fresh",), ("duplicate", "whole"), ("duplicate", "even")):
        assert wider(teacher, *choices).rate.startswith("the teacher's initial")


def test_copies_that_learn_as_one_are_to_be_watched(teacher: Teacher) -> None:
    for split in ("even", "dyadic"):
        assert split in wider(teacher, "duplicate", split).watch
    for found in (
        wider(teacher, "duplicate", "even", noise=0.01),
        wider(teacher, "duplicate", "whole"),
        wider(teacher),
    ):
        assert found.watch.startswith("the training loss")


def test_estimated_statistics_are_to_be_watched_and_measured_ones_not(teacher: Teacher) -> None:
    for calibrated in (False, True):
        found = advice(deepen_plan(teacher.model, "conv1", "extra", calibrated=calibrated))
        assert found is not None
        assert ("--calibrate" in found.watch) is not calibrated


def test_units_of_zeros_are_told_of(teacher: Teacher) -> None:
    assert "no gradient" in wider(teacher, "zero").watch


def test_a_plan_that_changes_nothing_has_no_advice(teacher: Teacher, tmp_path: Path) -> None:
    (tmp_path / "same.yaml").write_text(NET)
    plan = make_plan(teacher.model, tmp_path / "same.yaml")
    assert advice(plan) is None
    assert advice(replace(widen_plan(teacher.model, "conv1", 8), operations=())) is None
