"""Moments of values, and the BatchNorm that undoes itself with them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from net2net_cli.errors import UsageError
from net2net_cli.verify.inputs import draw_inputs
from net2net_cli.verify.network import build
from net2net_cli.verify.probe import compare
from net2net_cli.verify.statistics import value_statistics
from tests.verify.hand_built import layer, network_spec, randomize, state_of

LAYERS = (
    layer("conv", "Conv2d", out_channels=4, kernel_size=(3, 3)),
    layer("bn", "BatchNorm2d"),
    layer("relu", "ReLU"),
)
PLAIN = network_spec(*LAYERS)
DEEPER = network_spec(
    *LAYERS,
    layer("conv2", "Conv2d", out_channels=4, kernel_size=(1, 1)),
    layer("bn2", "BatchNorm2d"),
)


def plain_state():
    return state_of(randomize(nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3), "bn": nn.BatchNorm2d(4)})))


@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_moments_reduce_all_axes_but_the_channels(mode):
    network = build(PLAIN, plain_state())
    inputs = draw_inputs(PLAIN, 6)
    found = value_statistics(network, inputs, ["conv", "input"], mode)
    for name in ("conv", "input"):
        value = network.forward_values(*inputs.values())[name].detach().transpose(0, 1).flatten(1)
        torch.testing.assert_close(found[name].mean, value.mean(1))
        torch.testing.assert_close(found[name].variance, value.var(1, correction=0))


def test_moments_are_of_the_mode_that_was_asked_for():
    network, inputs = build(PLAIN, plain_state()), draw_inputs(PLAIN, 6)
    training = value_statistics(network, inputs, ["bn"])["bn"]
    torch.testing.assert_close(training.mean, network.steps[1].module.bias.detach())
    evaluation = value_statistics(network, inputs, ["bn"], "evaluation")["bn"]
    assert not torch.allclose(training.mean, evaluation.mean)


def test_batch_norm_with_measured_moments_undoes_itself_in_training_mode():
    state, inputs = plain_state(), draw_inputs(PLAIN, 6)
    teacher = build(PLAIN, state)
    moments = value_statistics(teacher, inputs, ["relu"])["relu"]
    inserted = {
        "conv2.weight": torch.eye(4)[:, :, None, None],
        "conv2.bias": torch.zeros(4),
        "bn2.weight": (moments.variance + 1e-5).sqrt(),
        "bn2.bias": moments.mean,
        "bn2.running_mean": moments.mean,
        "bn2.running_var": moments.variance,
    }
    student = build(DEEPER, {**state, **inserted})
    assert compare(teacher, student, inputs).within(1e-14)
    assert compare(teacher, student, inputs, "training").within(1e-12)


def test_unknown_and_channelless_values_are_refused():
    network, inputs = build(PLAIN, plain_state()), draw_inputs(PLAIN, 2)
    with pytest.raises(UsageError, match="no layer cnov"):
        value_statistics(network, inputs, ["cnov"])
    flat = network_spec(layer("r", "ReLU"), shape=())
    with pytest.raises(UsageError, match="has no channels"):
        value_statistics(build(flat, {}), draw_inputs(flat, 2), ["r"])
