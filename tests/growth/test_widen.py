"""``widen`` names any layer of a width: all that belongs to it grows, and the function stays."""

from __future__ import annotations

import pytest
from torch import nn

from net2net_cli.api import widen_plan
from net2net_cli.errors import UsageError
from net2net_cli.plan import Widen
from tests.growth.joined_nets import INCEPTION, JOINED_NETS, PRE_NORM, RESIDUAL, SHARED
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.nets import (
    EXACT,
    chain,
    difference,
    randomize,
    save_teacher,
    teacher_of,
    worst,
)

NETS = {net.name: net for net in (*LAYER_NETS, *JOINED_NETS)}


@pytest.mark.parametrize("name", NETS)
def test_first_layer_of_any_net_doubles(name, tmp_path):
    net = NETS[name]
    teacher = teacher_of(net, tmp_path)
    layer = net.layers.strip().partition(":")[0]
    axis = 1 if layer == "embed" else 0
    double = 2 * teacher.model.source.tensors[f"{layer}.weight"].shape[axis]
    student = teacher.apply(widen_plan(teacher.model, layer, double))
    assert student.state[f"{layer}.weight"].shape[axis] == double
    assert difference(teacher.module, student.network, net.batch()) <= EXACT


@pytest.mark.parametrize(("net", "layers"), [
    (RESIDUAL, ("stem", "a.3", "a.4", "add1", "relu", "pool", "b", "add2")),
    (SHARED, ("first", "tanh", "step", "relu", "again")),
    (PRE_NORM, ("embed", "ln1", "down", "add", "ln2")),
    (NETS["Permute:channels last"], ("first", "nhwc")),
    (NETS["LayerNorm:whole image"], ("first", "ln")),
    (NETS["Conv2d:depthwise"], ("first", "x")),
], ids=lambda v: v.name if hasattr(v, "name") else "")  # fmt: skip
def test_any_layer_names_the_width(net, layers, tmp_path):
    """The plan is the same whichever member is named, and so is the student by hand."""
    teacher = teacher_of(net, tmp_path)
    plans = [widen_plan(teacher.model, layer, 8) for layer in layers]
    assert len({plan.target for plan in plans}) == 1
    if net in (RESIDUAL, SHARED, PRE_NORM):
        student = teacher.apply(plans[0])
        assert worst(teacher.module, student.into(net.module(8)), net.batch()) <= EXACT


def test_plan_names_every_member(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    (operation,) = widen_plan(teacher.model, "b", 9).operations
    assert isinstance(operation, Widen)
    assert operation.members == ("stem", "a.0", "a.3", "a.4", "b", "head")
    assert (operation.before, operation.after) == (4, 9)


def test_parts_end_to_end_are_named_one_by_one(tmp_path):
    teacher = teacher_of(INCEPTION, tmp_path)
    with pytest.raises(UsageError, match="lays several widths end to end") as refused:
        widen_plan(teacher.model, "mixed", 20)
    assert refused.value.hint == "name one of `a`, `b`"
    assert widen_plan(teacher.model, "tanh", 5).changes


def test_groups_that_grow_with_a_width_are_told(tmp_path):
    """12 channels in 3 groups of 4 become 20 in 5: code that builds the network must know."""
    spec = """net2net: 1
input: [3, 5, 5]
layers:
  conv: {type: Conv2d, out_channels: 12, kernel_size: 3}
  norm: {type: GroupNorm, num_groups: 3}
  pool: {type: AdaptiveAvgPool2d, output_size: 1}
  flat: {type: Flatten}
  last: {type: Linear, out_features: 2}
"""
    module = chain(
        conv=nn.Conv2d(3, 12, 3), norm=nn.GroupNorm(3, 12), pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(), last=nn.Linear(12, 2),
    ).double()  # fmt: skip
    teacher = save_teacher(tmp_path, spec, randomize(module))
    told = widen_plan(teacher.model, "conv", 20).notes
    assert told == ("groups grow with the width: `num_groups` of `norm` is now 5",)
    assert widen_plan(teacher.model, "conv", 24).notes == ()
