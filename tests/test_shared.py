"""Parameters that layers share: one tensor before growth and after it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from net2net_cli.api import Choices
from net2net_cli.errors import UnreachableError
from net2net_cli.plan import Widen
from tests.support.memory import EXACT, Judge, teacher_of
from tests.test_solve import document

RECURRENT = """
first: {type: Linear, out_features: N, bias: false}
act1:  {type: Tanh}
again: {type: Linear, out_features: N}
act2:  {type: Tanh}
once:  {type: Linear, out_features: N, share: again}
act3:  {type: Tanh}
last:  {type: Linear, out_features: 2}
"""
SCALED = """
a: {type: Conv2d, out_channels: N, kernel_size: 1}
scale: {type: LayerScale}
b: {type: Conv2d, out_channels: N, kernel_size: 1}
scale2: {type: LayerScale, share: scale}
c: {type: Conv2d, out_channels: 2, kernel_size: 1}
"""
THREE = """
a: {type: Linear, out_features: 4}
b: {type: Linear, out_features: 4}
c: {type: Linear, out_features: 4SHARE}
"""


def recurrent(size: int, shape: str = "[4]") -> object:
    return document(RECURRENT.replace("N", str(size)), shape)


@pytest.mark.parametrize("expansion", ["fresh", "duplicate"])
def test_a_shared_layer_grows_as_one(expansion: str) -> None:
    judge = Judge(teacher_of(recurrent(5)))
    student = judge.grow(recurrent(8), Choices(expansion, "signed"))
    assert judge.errors(student)["evaluation"] <= EXACT
    assert not any(name.startswith("once") for name in student.state)


def test_the_plan_names_every_layer_that_shares_a_width() -> None:
    (widen,) = Judge(teacher_of(recurrent(5))).grow(recurrent(8)).plan.operations
    assert isinstance(widen, Widen)
    assert widen.members == ("first", "again", "once", "last")


def test_a_tensor_under_its_layers_own_name_can_be_shared() -> None:
    judge = Judge(teacher_of(document(SCALED.replace("N", "3"))))
    student = judge.grow(document(SCALED.replace("N", "5")))
    assert judge.errors(student)["evaluation"] <= EXACT


def test_a_checkpoint_that_lists_a_shared_tensor_twice_goes_on_to() -> None:
    model = teacher_of(recurrent(5))
    for part in ("weight", "bias"):
        model.source.state[f"once.{part}"] = model.source.tensor(f"again.{part}")
    model = replace(model, source=type(model.source)(model.source.state))
    judge = Judge(model)
    student = judge.grow(recurrent(8), Choices("duplicate"))
    assert torch.equal(student.state["once.weight"], student.state["again.weight"])
    assert judge.errors(student)["evaluation"] <= EXACT


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ", share: b"), (", share: a", ", share: b")],
)
def test_parameters_that_differ_do_not_become_one(before: str, after: str) -> None:
    judge = Judge(teacher_of(document(THREE.replace("SHARE", before), "[4]")))
    with pytest.raises(UnreachableError, match=r"`c` shares `b.\w+` in the target, but not in"):
        judge.grow(document(THREE.replace("SHARE", after), "[4]"))


def test_an_old_layer_does_not_take_a_new_ones_parameters() -> None:
    judge = Judge(teacher_of(document(THREE.replace("SHARE", ""), "[4]")))
    new = "new: {type: Linear, out_features: 4}\n" + THREE.replace("SHARE", ", share: new").strip()
    with pytest.raises(UnreachableError, match="`c` shares `new"):
        judge.grow(document(new, "[4]"))


def test_parameters_that_were_one_may_part() -> None:
    judge = Judge(teacher_of(document(THREE.replace("SHARE", ", share: b"), "[4]")))
    student = judge.grow(document(THREE.replace("SHARE", ""), "[4]"))
    assert judge.errors(student)["evaluation"] <= EXACT
    assert torch.equal(student.state["c.weight"], student.state["b.weight"])


def test_a_parameter_that_one_layer_writes_with_and_another_reads_with_keeps_its_size() -> None:
    tied = """
    e: {type: Conv2d, out_channels: N, kernel_size: 3, padding: 1}
    r: {type: ReLU}
    d: {type: ConvTranspose2d, out_channels: 4, kernel_size: 3, padding: 1, share: {weight: e.weight}}
    """.replace("    ", "")  # noqa: E501
    judge = Judge(teacher_of(document(tied.replace("N", "5"))))
    with pytest.raises(UnreachableError, match="both writes and reads it"):
        judge.grow(document(tied.replace("N", "8")))
