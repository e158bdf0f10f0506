"""Sizes said by name, by pattern and by factor, and sizes of the whole network: what the student
comes out as, and that it computes what the teacher does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.support.command import Net2Net
from tests.targets.conftest import Teach, grown, notes, target
from tests.targets.nets import ATTENDING, CHAIN, GROUPED, NORMED, RESIDUAL


def channels(shapes: dict[str, list[int]]) -> dict[str, int]:
    """The sizes of outputs, of layers that are no norms."""
    return {name: shape[0] for name, shape in shapes.items() if len(shape) > 1}


def test_a_layer_that_says_its_size_says_it_of_all_that_share_it(
    net2net: Net2Net, teach: Teach
) -> None:
    teach(RESIDUAL)
    shapes = channels(grown(net2net, "--spec", target("layers: {conv1: {out_channels: 11}}")))
    assert shapes == {
        "conv1": 11, "layer1.0.conv1": 16, "layer1.0.conv2": 11, "layer1.1.conv1": 16,
        "layer1.1.conv2": 11, "fc": 4,
    }  # fmt: skip


def test_a_pattern_grows_all_that_it_fits(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL)
    said = target("layers:\n  layer1.*.conv1: {out_channels: x1.5}\n")
    shapes = channels(grown(net2net, "--spec", said))
    assert shapes["layer1.0.conv1"] == shapes["layer1.1.conv1"] == 24
    assert shapes["conv1"] == 8


def test_a_pattern_changes_those_that_have_the_argument(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL)
    shapes = channels(grown(net2net, "--spec", target('layers: {"**": {out_channels: x2}}')))
    assert shapes["conv1"] == 16
    assert shapes["layer1.0.conv1"] == 32
    assert shapes["fc"] == 4


def test_patterns_can_be_nested_and_name_types(net2net: Net2Net, teach: Teach) -> None:
    teach(CHAIN.replace("fc", "part.fc"))
    said = target('layers: {part: {"*": {type: Linear, out_features: x2}}}')
    assert channels(grown(net2net, "--spec", said)) == {"part.fc1": 32, "part.fc2": 20, "out": 4}


def test_a_name_overrules_patterns_and_a_later_pattern_an_earlier(
    net2net: Net2Net, teach: Teach
) -> None:
    teach(RESIDUAL)
    said = target(
        "layers:\n"
        "  layer1.0.conv1: {out_channels: 20}\n"
        "  layer1.*.conv1: {out_channels: x2}\n"
        "  layer1.1.*: {out_channels: x1.5}\n"
        "  layer1.*.conv2: {out_channels: x1}\n"
    )
    shapes = channels(grown(net2net, "--spec", said))
    assert (shapes["layer1.0.conv1"], shapes["layer1.1.conv1"], shapes["conv1"]) == (20, 24, 8)
    told = notes(net2net, "--spec", said)
    assert "`layer1.0.conv1` (t.yaml:4) overrules `layer1.*.conv1` (t.yaml:5)" in " ".join(told)
    assert "`layer1.1.*` (t.yaml:6) overrules `layer1.*.conv1` (t.yaml:5)" in " ".join(told)
    assert "`layer1.*.conv2` (t.yaml:7) overrules `layer1.1.*` (t.yaml:6)" in " ".join(told)


def test_one_width_that_is_said_twice_must_be_said_alike(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL)
    said = target(
        "layers:\n  layer1.0.conv2: {out_channels: x1.5}\n  layer1.1.conv2: {out_channels: x2}\n"
    )
    ended = net2net("plan", "net", "--spec", said, code=2)
    assert "`out_channels: x1.5` of `layer1.0.conv2`" in ended.err
    assert "`out_channels: x2` of `layer1.1.conv2` are one width" in ended.err
    assert "t.yaml:4 and t.yaml:5" in ended.err
    both = target('layers: {"layer1.*.conv2": {out_channels: x1.5}, conv1: {out_channels: 12}}')
    assert channels(grown(net2net, "--spec", both))["conv1"] == 12


def test_plain_numbers_that_differ_within_a_width_name_both_lines(
    net2net: Net2Net, teach: Teach
) -> None:
    teach(RESIDUAL)
    said = target("layers:\n  conv1: {out_channels: 12}\n  layer1.1.conv2: {out_channels: 10}\n")
    assert "t.yaml:4 and t.yaml:5" in net2net("plan", "net", "--spec", said, code=2).err


def test_what_a_size_is_rounded_to_is_told(net2net: Net2Net, teach: Teach) -> None:
    teach(GROUPED)
    said = target("layers: {conv2: {out_channels: x1.4}, conv4: {out_channels: x1.3}}")
    shapes = channels(grown(net2net, "--spec", said))
    assert (shapes["conv2"], shapes["depthwise"]) == (32, 32)
    assert shapes["conv1"] == 24, "each group reads what it read"
    assert shapes["conv4"] == 48
    told = " ".join(notes(net2net, "--spec", said))
    assert "multiples of 8: 8.4 to 8 (`conv2`)" in told


def test_the_whole_network_grows_by_a_factor(net2net: Net2Net, teach: Teach) -> None:
    teach(GROUPED)
    shapes = grown(net2net, "--width", "x1.5")
    assert channels(shapes) == {
        "conv1": 36, "conv2": 36, "depthwise": 36, "conv3": 24, "conv4": 56, "fc": 4,
    }  # fmt: skip
    assert shapes["conv2"][1] == 9, "channels per group grow, and not the groups"
    assert shapes["fc"][1] == 56 * 16


def test_heads_follow_their_stream_which_grows_by_whole_heads(
    net2net: Net2Net, teach: Teach
) -> None:
    teach(ATTENDING)
    said = "--width", "x1.25"
    shapes = grown(net2net, *said)
    assert shapes["embed"] == [32, 4]
    assert shapes["block.att.out_proj"] == [32, 32]
    assert (
        "num_heads: 4" in json.loads(net2net("plan", "net", *said, "--json").out)["plan"]["target"]
    )


def test_width_as_a_key_of_the_target_is_the_option(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL)
    by_option = grown(net2net, "--width", "x1.25")
    assert grown(net2net, "--overwrite", "--spec", target("width: x1.25\n")) == by_option
    assert channels(by_option)["layer1.0.conv1"] == 20


def test_what_a_layer_says_overrules_the_whole_networks_factor(
    net2net: Net2Net, teach: Teach
) -> None:
    teach(RESIDUAL)
    said = target("width: x1.5\nlayers: {layer1.1.conv2: {out_channels: x1}}\n")
    shapes = channels(grown(net2net, "--spec", said, "--set", "layer1.0.conv1.out_channels=x3"))
    assert shapes == {
        "conv1": 8, "layer1.0.conv1": 48, "layer1.0.conv2": 8, "layer1.1.conv1": 24,
        "layer1.1.conv2": 8, "fc": 4,
    }  # fmt: skip


def test_settings_take_patterns_and_factors(net2net: Net2Net, teach: Teach) -> None:
    teach(CHAIN)
    shapes = channels(grown(net2net, "--set", "fc*.out_features=x2"))
    assert shapes == {"fc1": 32, "fc2": 20, "out": 4}


def test_a_new_layer_may_stand_where_widths_grow(net2net: Net2Net, teach: Teach) -> None:
    teach(CHAIN)
    said = target(
        "width: x1.5\n"
        "layers:\n"
        "  new: {type: Linear, out_features: 24, after: relu1}\n"
        "  new_relu: {type: ReLU}\n"
    )
    shapes = grown(net2net, "--spec", said)
    assert channels(shapes) == {"fc1": 24, "new": 24, "fc2": 15, "out": 4}


def test_what_stays_is_told_with_the_reason(net2net: Net2Net, teach: Teach) -> None:
    teach(NORMED)
    assert channels(grown(net2net, "--width", "x1.25")) == {"fc1": 16, "fc2": 20, "out": 4}
    told = " ".join(notes(net2net, "--width", "x1.25"))
    assert "`fc1` stays as it is: only whole multiples of 16 are exact: `norm2`" in told
    assert channels(grown(net2net, "--width", "x2", "--overwrite")) == {
        "fc1": 32, "fc2": 32, "out": 4,
    }  # fmt: skip


def test_a_spec_that_extends_a_file_takes_its_sizes(net2net: Net2Net, teach: Teach) -> None:
    teach(CHAIN)
    Path("half.yaml").write_text("net2net: 1\nextends: net.yaml\nwidth: x1.5\n", encoding="utf-8")
    Path("t.yaml").write_text("net2net: 1\nextends: half.yaml\nwidth: x2\n", encoding="utf-8")
    assert channels(grown(net2net, "--spec", "t.yaml")) == {"fc1": 48, "fc2": 30, "out": 4}
    assert "fc1" in net2net("diff", "net", "t.yaml").out
    net2net("inspect", "out.safetensors", "--source-spec", "t.yaml")


def test_a_planned_growth_is_applied_and_undone(net2net: Net2Net, teach: Teach) -> None:
    teach(CHAIN)
    net2net("plan", "net", "--width", "x1.5", "-o", "plan.json")
    net2net("apply", "plan.json", "net", "-o", "out.safetensors")
    net2net("shrink", "out", "-o", "again.safetensors")
    with safe_open("again.safetensors", "pt") as file:
        assert file.get_slice("fc1.weight").get_shape() == [16, 12]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--width", "x0"), "`width` is a factor, as x1.5, not `x0`"),
        (("--width", "x-1"), "`width` is a factor"),
        (("--width", "1.4"), "hint: write x1.4"),
        (("--width", "x1e9"), "up to 1000"),
        (("--width", ""), "`width` is a factor"),
        (("--set", "fc1.out_features=x0"), "`out_features` of `fc1` is a factor"),
        (("--set", "fc1.out_features=x1e9"), "--> --set fc1.out_features=x1e9"),
        (("--set", "fc9*.out_features=x2"), "no layer's name fits `fc9*`"),
        (("--set", "fc*.out_featurs=x2"), "did you mean `out_features`"),
        (("--set", "relu*.out_features=x2"), "has an argument `out_features`"),
        (("--spec", "said.yaml", "--width", "x2"), "--width is given, and the spec says `width`"),
        (("--spec", "net.yaml", "--width", "x2"), "this one extends nothing"),
        (("--spec", "bias.yaml"), "`bias: x2` of `fc1` is no size"),
        (("--spec", "empty.yaml"), "fc* maps arguments to values"),
        (("--spec", "after.yaml"), "`fc*` is a pattern, which adds no layers"),
    ],
)
def test_wrong_values_are_usage_errors(
    net2net: Net2Net, teach: Teach, arguments: tuple[str, ...], said: str
) -> None:
    teach(CHAIN)
    for name, body in {
        "said": "width: x2",
        "bias": "layers: {fc1: {bias: x2}}",
        "empty": "layers: {fc*: 3}",
        "after": "layers: {fc*: {type: Linear, out_features: 3, after: fc1}}",
    }.items():
        text = f"net2net: 1\nextends: source\n{body}\n"
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    ended = net2net("plan", "net", *arguments, code=2)
    assert said in ended.err
    assert len(ended.err.splitlines()) <= 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--width", "x0.5"), "`width: x0.5` shrinks the network"),
        (("--set", "fc1.out_features=x0.5"), "shrinks it from 16 to 8"),
        (("--set", "out.out_features=x2"), "`out` cannot grow: `out` is the network's output"),
    ],
)
def test_what_cannot_be_reached_is_refused(
    net2net: Net2Net, teach: Teach, arguments: tuple[str, ...], said: str
) -> None:
    teach(CHAIN)
    assert said in net2net("plan", "net", *arguments, code=3).err


def test_a_network_of_which_nothing_can_grow_is_refused(net2net: Net2Net, teach: Teach) -> None:
    teach("net2net: 1\ninput: [4]\nlayers: {fc: {type: Linear, out_features: 4}}\n")
    assert "no width" in net2net("plan", "net", "--width", "x2", code=3).err


def test_alike_operations_of_a_large_plan_are_one_row(net2net: Net2Net, teach: Teach) -> None:
    teach(RESIDUAL)
    asked = ("plan", "net", "--width", "x1.5", "--depth", "layer1=+4")
    shown = net2net(*asked).out
    assert "insert 4 layers" in shown
    assert "layer1.5.conv1" not in shown
    assert "widen 2 widths" in shown
    assert "16 \u2192 24" in shown
    assert "layer1.5.conv1" in net2net(*asked, "-v").out
    assert "layer1.5.conv1" in net2net(*asked, "--format", "markdown").out
