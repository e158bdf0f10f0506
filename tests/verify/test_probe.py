"""What is measured between two networks, and what cannot be."""

from __future__ import annotations

from math import inf, nan, prod

import pytest
import torch
from torch import nn

from net2net_cli.errors import DifferenceError, UsageError
from net2net_cli.network import Input
from net2net_cli.verify.inputs import draw_inputs
from net2net_cli.verify.network import build
from net2net_cli.verify.probe import Meter, check_room, compare, measure, probe
from tests.verify.hand_built import layer, network_spec, randomize, state_of


def column(*values):
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def test_errors_are_maxima_of_absolute_values():
    found = measure("y", column(2, -4, 1), column(2 + 1.7, -4 - 1.7, 1))
    assert found.max_error == pytest.approx(1.7)
    assert found.relative_error == pytest.approx(1.7 / 4)


def test_zeros_against_something_are_infinitely_wrong():
    assert measure("y", column(0, 0), column(0, 1e-30)).relative_error == inf
    assert measure("y", column(0, 0), column(0, 0)).relative_error == 0


def test_nan_equals_nan_and_an_infinity_its_like():
    a = column(nan, inf, -inf, 2)
    found = measure("y", a, a.clone())
    assert (found.nan_equal, found.max_error, found.compared) == (True, 0, 0.25)


@pytest.mark.parametrize("b", [column(1, inf), column(nan, 1), column(nan, nan), column(nan, -inf)])
def test_nan_or_infinity_on_one_side_only_is_a_difference(b):
    assert not measure("y", column(nan, inf), b).nan_equal


@pytest.mark.parametrize("wrong", [nan, inf])
def test_a_student_of_nan_is_beyond_any_tolerance(wrong):
    teacher, student = linear_network(), linear_network(bias=wrong)
    found = compare(teacher, student, draw_inputs(teacher.spec, 4))
    assert not found.nan_equal
    assert not found.within(inf)


def test_argmax_is_taken_over_the_classes():
    logits = torch.tensor([[0.0, 1, 2], [5, 1, 2]])
    assert measure("y", logits, logits + torch.tensor([9.0, 0, 0])).argmax_agreement == 0.5
    maps = torch.randn(2, 3, 4, 4)
    assert measure("y", maps, maps.roll(1, 1)).argmax_agreement == 0
    assert measure("y", column(1, 2), column(1, 2)).argmax_agreement is None
    assert measure("y", torch.ones(3), torch.ones(3)).argmax_agreement is None


def test_spread_tells_probes_that_say_nothing():
    assert measure("y", column(3, 3, 3), column(3, 3, 3)).spread == 0
    assert measure("y", column(1, -1), column(1, -1)).spread == 2
    spec = network_spec(layer("fc", "Linear", out_features=2), shape=(3,), outputs=("fc", "input"))
    deaf = build(spec, {"fc.weight": torch.zeros(2, 3), "fc.bias": torch.ones(2)})
    assert compare(deaf, deaf, draw_inputs(spec, 4)).spread == 0


def linear_network(features=3, outputs=2, *, bias=0.0, name="fc", shape=(3,), input_name="input"):
    spec = network_spec(
        layer(name, "Linear", input_name, out_features=outputs), inputs=[Input(input_name, shape)]
    )
    state = state_of(randomize(nn.Linear(features, outputs)))
    return build(spec, {f"{name}.weight": state["weight"], f"{name}.bias": state["bias"] + bias})


def test_renamed_outputs_and_inputs_meet_by_position():
    teacher, student = linear_network(), linear_network(name="head", input_name="x")
    (found,) = probe(teacher, student, draw_inputs(teacher.spec, 8))
    assert found.within(0)
    assert (found.mode, found.probes, found.dtype) == ("evaluation", 8, "float64")
    assert (found.outputs[0].name, found.argmax_agreement) == ("fc", 1)


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (linear_network(outputs=3), r"output fc has the shape \[2\] in the teacher, but \[3\]"),
        (linear_network(4, shape=(4,)), r"the input `input` has the shape \[3\] in the teacher"),
    ],
)
def test_other_shapes_are_a_difference(student, message):
    teacher = linear_network()
    with pytest.raises(DifferenceError, match=message) as caught:
        compare(teacher, student, draw_inputs(teacher.spec, 2))
    assert caught.value.exit_code == 4


def test_another_number_of_inputs_or_outputs_is_a_difference():
    one = build(network_spec(layer("r", "ReLU"), shape=(3,)), {})
    two = build(network_spec(layer("r", "ReLU"), shape=(3,), outputs=("r", "input")), {})
    both = build(
        network_spec(layer("s", "Add", "a", "b"), inputs=[Input("a", (3,)), Input("b", (3,))]), {}
    )
    with pytest.raises(DifferenceError, match="returns 1 output, the student 2"):
        compare(one, two, draw_inputs(one.spec, 2))
    with pytest.raises(DifferenceError, match="takes 1 input, the student 2"):
        compare(one, both, draw_inputs(one.spec, 2))


def test_the_worst_output_counts():
    spec = network_spec(
        layer("a", "Linear", "input", out_features=2),
        layer("b", "Linear", "input", out_features=2),
        shape=(3,),
        outputs=("a", "b"),
    )
    state = state_of(randomize(nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2)})))
    wrong = {**state, "b.bias": state["b.bias"] + 0.5}
    found = compare(build(spec, state), build(spec, wrong), draw_inputs(spec, 4))
    assert [one.max_error for one in found.outputs] == [0, pytest.approx(0.5)]
    assert found.max_error == pytest.approx(0.5)


def normed(mean=0.0, **options):
    spec = network_spec(layer("conv", "Conv2d", out_channels=4, kernel_size=(8, 8)),
                        layer("bn", "BatchNorm2d", **options))  # fmt: skip
    state = state_of(randomize(nn.ModuleDict({"conv": nn.Conv2d(3, 4, 8),
                                              "bn": nn.BatchNorm2d(4, **options)})))  # fmt: skip
    if "bn.running_mean" in state:
        state["bn.running_mean"] += mean
    return build(spec, state)


def test_batch_norm_is_probed_in_training_mode_too():
    teacher, student = normed(), normed(mean=1.0)  # wrong statistics: seen in evaluation only
    evaluation, training = probe(teacher, student, draw_inputs(teacher.spec, 6))
    assert (evaluation.mode, training.mode) == ("evaluation", "training")
    assert evaluation.relative_error > 0.1
    assert training.within(0)


def test_one_probe_is_too_few_for_batch_statistics_of_single_values():
    teacher = normed()
    with pytest.raises(UsageError, match="one probe is too few"):
        probe(teacher, normed(), draw_inputs(teacher.spec, 1))


@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}])
def test_parts_that_fit_memory_give_the_same(options):
    teacher = normed(**options)
    inputs = draw_inputs(teacher.spec, 7)
    student = normed(mean=1.0, **options)
    whole = compare(teacher, student, inputs)
    parts = compare(teacher, student, inputs, memory=3 * teacher.example_bytes)
    assert parts.max_error == pytest.approx(whole.max_error, rel=1e-12)
    assert parts.spread == pytest.approx(whole.spread, rel=1e-12)
    assert (parts.probes, parts.argmax_agreement) == (7, whole.argmax_agreement)


def test_an_output_measured_in_parts_is_measured_as_a_whole():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(9, 4, 5, generator=generator) for _ in range(2))
    a[3, 1, 2] = b[3, 1, 2] = torch.nan
    meter = Meter("y")
    for start, stop in ((0, 2), (2, 3), (3, 9)):
        meter.add(a[start:stop], b[start:stop])
    assert meter.found() == measure("y", a, b)


def test_the_memory_of_a_gpu_is_looked_at_where_one_probes(monkeypatch):
    """Three entries are free there; two more are torch's, which holds them for whoever asks."""
    teacher, student = normed(), normed(mean=1.0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (3, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 12)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 10)
    with pytest.raises(UsageError, match="one input, and 5 bytes are free on cuda:1"):
        check_room(teacher, student, 4, None, "cuda:1")
    check_room(teacher, student, 4, None)


def test_too_little_memory_is_told_with_the_figure_before_anything_runs():
    teacher, student = normed(), normed(mean=1.0)
    each = student.example_bytes + teacher.output_bytes
    inputs = 4 * prod(teacher.spec.inputs[0].shape) * 8
    enough = inputs + 4 * each + max(teacher.weight_bytes, student.weight_bytes)
    check_room(teacher, student, 4, enough)
    with pytest.raises(UsageError, match=r"4 inputs at once, as in training, and .* allows"):
        check_room(teacher, student, 4, enough - 1)
    with pytest.raises(UsageError, match="for one input"):
        check_room(teacher, student, 4, 100)
