"""Intervals that values are known to lie in, held against values; what each activation fixes."""

from __future__ import annotations

from math import inf

import pytest
import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st

from net2net_cli.intervals import ANYTHING, Interval, fixed_interval, inside, intervals
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer
from net2net_cli.verify.modules import make_module
from tests.support.draws import Draws
from tests.support.graphs import network
from tests.support.memory import Judge, described, teacher_of
from tests.verify.hand_built import layer, network_spec


def interval_after(*layers: dict[str, object], shape: tuple[int, ...] = (4, 6, 6)) -> Interval:
    """What is known behind a chain."""
    named = {f"l{i}": entry for i, entry in enumerate(layers)}
    spec = teacher_of(described(named, input=list(shape))).spec
    return intervals(spec)[f"l{len(layers) - 1}"]


def of(kind: str, **args: object) -> dict[str, object]:
    return {"type": kind, **args}


RELU, CONV = of("ReLU"), of("Conv2d", out_channels=2, kernel_size=1)


@pytest.mark.parametrize(
    ("after", "known"),
    [
        (of("ReLU"), (0, inf)),
        (of("ReLU6"), (0, 6)),
        (of("Sigmoid"), (0, 1)),
        (of("Tanh"), (-1, 1)),
        (of("Hardtanh", min_val=0.5, max_val=2.0), (0.5, 2)),
        (of("Softplus"), (0, inf)),
        (of("GELU"), (-0.17, inf)),
        (of("Softmax", dim=1), (0, 1)),
        (of("LogSigmoid"), (-inf, 0)),
        (of("LeakyReLU"), ANYTHING),
        (of("PReLU"), ANYTHING),
        (of("BatchNorm2d"), ANYTHING),
        (of("LayerNorm"), ANYTHING),
        (CONV, ANYTHING),
    ],
    ids=lambda entry: entry.get("type") if isinstance(entry, dict) else "",
)
def test_an_activation_bounds_what_it_gives(after: dict[str, object], known: Interval) -> None:
    assert interval_after(CONV, after) == known


@pytest.mark.parametrize(
    "after",
    [
        of("MaxPool2d", kernel_size=2), of("AvgPool2d", kernel_size=2),
        of("AdaptiveAvgPool2d", output_size=2), of("Upsample", scale_factor=2, mode="bilinear"),
        of("Flatten"), of("Permute", dims=[2, 3, 1]), of("PixelShuffle", upscale_factor=2),
        of("ChannelShuffle", groups=2), of("Maxout", pieces=2), of("Identity"), of("ELU"),
        of("LeakyReLU"), of("CELU"), of("ReplicationPad2d", padding=1),
    ],
    ids=lambda entry: entry["type"],
)  # fmt: skip
def test_what_moves_or_mixes_values_keeps_their_interval(after: dict[str, object]) -> None:
    assert interval_after(RELU, after) == (0, inf)


@pytest.mark.parametrize("after", [
    of("Upsample", scale_factor=2, mode="bicubic"), of("AlphaDropout"), CONV, of("BatchNorm2d"),
    of("Linear", out_features=2), of("ConstantPad2d", padding=1, value=-2.0),
], ids=lambda entry: entry["type"])  # fmt: skip
def test_what_overshoots_or_weighs_values_forgets_their_sign(after: dict[str, object]) -> None:
    assert interval_after(RELU, after)[0] < 0


def test_zero_padding_joins_zero_in() -> None:
    high = of("Hardtanh", min_val=0.5, max_val=2.0)
    assert interval_after(high, of("ZeroPad2d", padding=1)) == (0, 2)
    assert interval_after(high, of("AvgPool2d", kernel_size=2, padding=1)) == (0, 2)
    assert interval_after(high, of("MaxPool2d", kernel_size=2, padding=1)) == (0.5, 2)


def test_dropout_keeps_the_sign_but_not_the_size() -> None:
    """In training it scales what it keeps."""
    assert interval_after(of("ReLU6"), of("Dropout")) == (0, inf)
    assert interval_after(of("Hardtanh", min_val=0.5, max_val=2.0), of("Dropout")) == (0, inf)


def joined(kind: str, *parts: str) -> Interval:
    layers: dict[str, object] = {f"p{i}": of(part, inputs="input") for i, part in enumerate(parts)}
    layers["end"] = of(kind, inputs=[*layers])
    return intervals(teacher_of(described(layers, input=[4])).spec)["end"]


def test_sums_add_intervals() -> None:
    assert joined("Add", "ReLU", "Sigmoid") == (0, inf)
    assert joined("Add", "Tanh", "Sigmoid") == (-1, 2)


def test_parts_laid_end_to_end_give_the_hull() -> None:
    assert joined("Concat", "Tanh", "ReLU6") == (-1, 6)


def test_products_of_what_is_never_negative_are_not_either() -> None:
    assert joined("Multiply", "ReLU", "Sigmoid") == (0, inf)
    assert joined("Multiply", "ReLU", "Tanh") == ANYTHING


@pytest.mark.parametrize(
    ("entry", "interval"),
    [
        (layer("a", "Subtract", "b", "c"), (-1, 2)),
        (layer("a", "Maximum", "b", "c"), (0, 1)),
        (layer("a", "Minimum", "b", "c"), (-1, 1)),
        (layer("a", "Divide", "b", "b"), (0, inf)),
        (layer("a", "MatMul", "b", "c"), ANYTHING),
        (layer("a", "Mean", "b", dim=(1,)), (0, 1)),
        (layer("a", "Sum", "c", dim=(1,)), ANYTHING),
        (layer("a", "Sum", "b", dim=(1,)), (0, inf)),
        (layer("a", "Std", "c", dim=(1,)), (0, inf)),
        (layer("a", "Normalize", "b"), (0, inf)),
        (layer("a", "Pad", "b", pad=(1, 1), value=-2.0), (-2, 1)),
        (layer("a", "Unfold", "b", kernel_size=(1, 1)), (0, 1)),
        (layer("a", "Reshape", "c", shape=(-1,)), (-1, 1)),
        (layer("a", "Scale", "c", value=-3.0), (-3, 3)),
        (layer("a", "Shift", "b", value=-3.0), (-3, -2)),
        (layer("a", "Negative", "b"), (-1, 0)),
        (layer("a", "Clamp", "c", min=0.5, max=2.0), (0.5, 1)),
    ],
    ids=lambda x: x.type if isinstance(x, Layer) else "",
)
def test_what_moves_and_joins_values_is_followed(entry: Layer, interval: Interval) -> None:
    spec = network_spec(layer("b", "Sigmoid", "input"), layer("c", "Tanh", "input"), entry)
    assert intervals(spec)["a"] == interval


@pytest.mark.parametrize(
    ("entry", "fixed"),
    [
        (layer("a", "ReLU"), (0, inf)),
        (layer("a", "ReLU6"), (0, 6)),
        (layer("a", "ELU", alpha=2.0), (0, inf)),
        (layer("a", "LeakyReLU", negative_slope=1.0), ANYTHING),
        (layer("a", "Hardtanh", min_val=-2.0, max_val=3.0), (-2, 3)),
        (layer("a", "Identity"), ANYTHING),
        (layer("a", "Dropout"), ANYTHING),
        (layer("a", "Tanh"), None),
        (layer("a", "Sigmoid"), None),
        (layer("a", "GELU"), None),
    ],
    ids=lambda x: x.type if isinstance(x, Layer) else "",
)
def test_an_activation_leaves_an_interval_as_it_is(entry: Layer, fixed: Interval | None) -> None:
    assert fixed_interval(entry) == fixed


def test_a_threshold_changes_the_value_at_its_threshold() -> None:
    fixed = fixed_interval(layer("a", "Threshold", threshold=1.0, value=5.0))
    assert fixed is not None
    assert fixed[0] > 1
    assert not inside((1.0, 2.0), fixed)


GIVEN = {
    "Threshold": {"threshold": 0.5, "value": 2.0},
    "Scale": {"value": -1.5},
    "Shift": {"value": 0.5},
    "Power": {"exponent": 3.0},
    "Clamp": {"min": -0.5},
}
POINTWISE = [kind.name for kind in LAYER_TYPES.values() if kind.rule == "pointwise"]


@pytest.mark.parametrize("name", POINTWISE)
def test_torch_agrees_on_what_an_activation_bounds_and_fixes(name: str) -> None:
    entry = layer("a", name, **GIVEN.get(name, {}))
    rank = int(name[-2]) if name.endswith("d") and name[-2].isdigit() else 0
    least = 0.01 if name in ("Log", "Log1p", "Sqrt", "Rsqrt") else -9.01
    values = torch.linspace(least, 9, 1801, dtype=torch.float64).view(1, -1, *(1,) * rank)
    given = (float(values.min()), float(values.max()))
    spec = network_spec(layer("given", "Hardtanh", min_val=given[0], max_val=given[1]), entry)
    made = make_module(spec.layers[1], (tuple(values.shape),))(values)
    low, high = intervals(spec)["a"]
    assert low <= float(made.min())
    assert float(made.max()) <= high
    if (fixed := fixed_interval(entry)) is not None:
        kept = (values >= fixed[0]) & (values <= fixed[1])
        torch.testing.assert_close(made[kept], values[kept], rtol=1e-15, atol=0)


def test_nothing_lies_in_no_interval() -> None:
    assert not inside((0, 0), None)
    assert inside((0, 1), (0, 1))
    assert not inside((-0.1, 1), (0, 1))


@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_no_value_ever_leaves_its_interval(data: st.DataObject) -> None:
    """Every value of drawn networks, in evaluation mode."""
    drawn = network(Draws(data.draw))
    note(repr(drawn))
    judge = Judge(teacher_of(drawn.document))
    known = intervals(judge.model.spec)
    with torch.no_grad():
        values = judge.network.forward_values(*judge.inputs.values())
    for name, value in values.items():
        low, high = known[name]
        room = 1e-12 * max(1.0, float(value.double().abs().max()))
        assert float(value.min()) >= low - room, name
        assert float(value.max()) <= high + room, name
