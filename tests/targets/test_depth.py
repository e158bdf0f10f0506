"""Units that stages get more of: their names, and that the student computes the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from net2net_cli.spec import parse_document
from net2net_cli.spec.wiring import Wiring, wire
from net2net_cli.targets.stages import units_of
from tests.support.command import Net2Net
from tests.targets.conftest import Teach, grown, notes, target
from tests.targets.nets import CHAIN, NUMBERED, RESIDUAL, SEQUENTIAL, TRACED

TAIL = """
  tail:
    0: {type: Linear, out_features: 5}
    1: {type: ReLU}
    2: {type: Linear, out_features: 3}
"""


def inserted(net2net: Net2Net, *arguments: object) -> list[str]:
    """The layers that a plan inserts."""
    plan = json.loads(net2net("plan", "net", *arguments, "--json").out)["plan"]
    return [o["layer"] for o in plan["operations"] if o["kind"] == "insert"]


def wired(spec: str) -> Wiring:
    return wire(parse_document(spec, "net.yaml"))


@pytest.mark.parametrize(
    ("names", "stage", "units"),
    [
        (("l.0.a", "l.0", "l.relu0", "l.1.a", "l.1", "l.relu1"), "l", ("0 relu0", "1 relu1")),
        (("b.b-0.f", "b.b-0_act", "b.b-1.f"), "b", ("b-0 b-0_act", "b-1")),
        (("b.d1.x", "b.d2.x", "b.d10.x", "b.concat"), "b", ("d1", "d2", "d10")),
        (("0", "1", "2"), "", ("0", "1", "2")),
        (("fc1", "relu1", "fc2", "relu2", "out"), "", ("fc1 relu1", "fc2 relu2")),
        (("f.0.0", "f.0.permute", "f.10.0"), "f", ("0", "10")),
        (("a.x", "b.y"), "a", ()),
        (("conv1", "bn1", "pool", "layer1.0", "layer2.0"), "", ("conv1 bn1",)),
    ],
)
def test_a_stage_has_these_units(
    names: tuple[str, ...], stage: str, units: tuple[str, ...]
) -> None:
    assert tuple(" ".join(unit.keys) for unit in units_of(names, stage)) == units


def test_a_residual_stage_gets_units_under_the_next_numbers(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL)
    names = inserted(net2net, "--depth", "layer1=+2")
    assert names[:6] == [
        "layer1.2.conv1", "layer1.2.bn1", "layer1.2.relu", "layer1.2.conv2", "layer1.2.bn2",
        "layer1.2",
    ]  # fmt: skip
    assert names[6:8] == ["layer1.relu2", "layer1.3.conv1"]
    assert names[-1] == "layer1.relu3"
    assert "layer1.3.conv2" in grown(net2net, "--depth", "layer1=+2")
    assert "`layer1.2` to `layer1.3` repeat `layer1.1`" in notes(net2net, "--depth", "layer1=+2")


def test_blocks_written_flat_are_copied_with_what_they_read(net2net: Net2Net, teach: Teach) -> None:
    teach(TRACED)
    grown(net2net, "--depth", "stage=+2", "--width", "x1.5")
    text = net2net("spec", "out.safetensors").out
    found = wired(text)
    assert found.inputs["stage.2.conv"] == ("stage.1.relu_2",)
    assert found.inputs["stage.2.add"] == ("stage.2.bn", "stage.1.relu_2")
    assert found.inputs["stage.3.add"] == ("stage.3.bn", "stage.2.relu_2")
    assert found.inputs["head"] == ("stage.3.relu_2",)


def test_a_unit_in_the_middle_makes_later_ones_move_up(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL)
    assert inserted(net2net, "--depth", "layer1.0=+1")[-1] == "layer1.relu1"
    grown(net2net, "--depth", "layer1.0=+1")
    told = " ".join(notes(net2net, "--depth", "layer1.0=+1"))
    assert "`layer1.1` is now `layer1.2`, `layer1.relu1` is now `layer1.relu2`" in told


def test_units_that_are_chains_get_an_identity(net2net: Net2Net, teach: Teach) -> None:
    teach(SEQUENTIAL)
    names = inserted(net2net, "--depth", "body=+1")
    assert names == ["body.2.conv", "body.2.bn", "body.2.relu"]
    shapes = grown(net2net, "--depth", "body=+1")
    assert shapes["body.2.conv"] == [8, 8, 3, 3]


def test_members_of_a_sequential_are_renumbered(net2net: Net2Net, teach: Teach) -> None:
    teach(NUMBERED)
    assert inserted(net2net, "--depth", "+2") == ["4", "5", "6", "7"]
    assert grown(net2net, "--depth", "+2")["8"] == [4, 10]


def test_a_chain_of_named_layers_is_one_stage(net2net: Net2Net, teach: Teach) -> None:
    teach(CHAIN)
    assert inserted(net2net, "--depth", "+1") == ["fc3", "relu3"]
    grown(net2net, "--depth", "+1", "--width", "x1.5")


def test_depth_width_and_layers_go_together_in_a_spec(net2net: Net2Net, teach: Teach) -> None:
    """Names and patterns see the network as it is with the new units."""
    teach(RESIDUAL)
    said = target("width: x1.5\ndepth: {layer1: +1}\nlayers: {layer1.2.conv1: {out_channels: x3}}")
    shapes = grown(net2net, "--spec", said)
    assert shapes["layer1.2.conv1"] == [48, 12, 3, 3]
    assert shapes["layer1.1.conv1"] == [24, 12, 3, 3]


def test_two_stages_grow_and_both_renumber(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL + TAIL)
    shapes = grown(net2net, "--depth", "layer1.0=+1", "--depth", "tail=+1")
    assert shapes["tail.4"] == [3, 5]
    net2net("apply", "--help")
    Path("plan.json").unlink(missing_ok=True)
    net2net("plan", "net", "--depth", "layer1.0=+1", "--depth", "tail=+1", "-o", "plan.json")
    net2net("apply", "plan.json", "net", "-o", "again.safetensors")
    net2net("shrink", "again", "-o", "teacher.safetensors")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--depth", "layer9=+1"), "the network has no stage `layer9`"),
        (("--depth", "layer9=+1"), "did you mean `layer1`?"),
        (("--depth", "fc=+1"), "`fc` is a single layer, and no stage"),
        (("--depth", "+1"), "nothing says which one grows"),
        (("--depth", "layer1=2"), "hint: write +2"),
        (("--depth", "layer1=+0"), "`depth` of `layer1` is a number of units more"),
        (("--depth", "layer1=-1"), "`depth` of `layer1` is a number of units more"),
        (("--depth", "layer1=+9999"), "a number from 1 to 1000"),
        (("--depth", "layer1="), "`depth` of `layer1` is a number of units more"),
        (("--depth", "=+1"), "--depth =+1 says no stage"),
        (("--depth", "layer1=+1", "--depth", "+1"), "--depth +1 says no stage"),
        (("--depth", "layer1=+1", "--depth", "layer1=+2"), "--depth gives layer1 twice"),
        (("--depth", "layer1=+1", "--spec", "t.yaml"), "the spec says `depth` itself"),
        (("--spec", "list.yaml"), "`depth` is a number of units more, as +2, not a list"),
        (("--spec", "whole.yaml"), "`depth` grows what a spec extends"),
    ],
)
def test_wrong_values_are_usage_errors(
    net2net: Net2Net, teach: Teach, arguments: tuple[str, ...], said: str
) -> None:
    teach(RESIDUAL)
    target("depth: {layer1: +1}")
    Path("list.yaml").write_text("net2net: 1\nextends: source\ndepth: [1]\n", encoding="utf-8")
    Path("whole.yaml").write_text(RESIDUAL + "depth: +1\n", encoding="utf-8")
    ended = net2net("plan", "net", *arguments, code=2)
    assert said in ended.err
    assert len(ended.err.splitlines()) <= 4


@pytest.mark.parametrize(
    ("spec", "stage", "said"),
    [
        (SEQUENTIAL.replace("ReLU", "Tanh"), "body", "nothing in `body` can be repeated"),
        (RESIDUAL.replace("relu0: {type: ReLU}", "relu0: {type: Tanh}")
                 .replace("relu1: {type: ReLU}", "relu1: {type: Tanh}"),
         "layer1", "Tanh leaves no interval of values as it is"),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_is_refused_with_the_rule(
    net2net: Net2Net, teach: Teach, spec: str, stage: str, said: str
) -> None:
    teach(spec)
    assert said in net2net("plan", "net", "--depth", f"{stage}=+1", code=3).err
