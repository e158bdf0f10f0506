"""Mistakes of published Net2Net code, each made by hand here: the comparison must see them.

Every test makes the surgery rightly first, so that what is seen is the mistake and nothing else.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from net2net_cli.errors import CheckpointError
from net2net_cli.verify.inputs import draw_inputs
from net2net_cli.verify.network import build
from net2net_cli.verify.probe import compare, measure, probe
from net2net_cli.verify.tolerance import tolerance
from tests.verify.hand_built import layer, network_spec, randomize, state_of

EXACT = tolerance(["float64"])


def conv(name, channels, kernel=3):
    return layer(name, "Conv2d", out_channels=channels, kernel_size=(kernel, kernel),
                 padding=(kernel // 2, kernel // 2))  # fmt: skip


def convnet(width, *, deeper=0, norm=False):
    """conv - bn - relu - head; a conv of kernel ``deeper`` and relu, or a norm, before the head."""
    inserted = (conv("new", width, deeper), layer("relu_new", "ReLU")) if deeper else ()
    inserted += (layer("new", "BatchNorm2d"),) if norm else ()
    return network_spec(
        conv("conv1", width), layer("bn1", "BatchNorm2d"), layer("relu1", "ReLU"), *inserted,
        conv("conv2", 4), layer("pool", "AdaptiveAvgPool2d", output_size=(2, 2)),
        layer("flat", "Flatten"), layer("fc", "Linear", out_features=5),
    )  # fmt: skip


def teacher_state(width=6):
    parts = {"conv1": nn.Conv2d(3, width, 3), "bn1": nn.BatchNorm2d(width),
             "conv2": nn.Conv2d(width, 4, 3), "fc": nn.Linear(16, 5)}  # fmt: skip
    return state_of(randomize(nn.ModuleDict(parts)))


def verify(student_spec, student_state):
    teacher = build(convnet(6), teacher_state())
    return probe(teacher, build(student_spec, student_state), draw_inputs(teacher.spec, 8))


def identity_kernel(kernel, centre):
    weight = torch.zeros(6, 6, kernel, kernel, dtype=torch.float64)
    weight[range(6), range(6), centre, centre] = 1
    return {"new.weight": weight, "new.bias": torch.zeros(6)}


@pytest.mark.parametrize("kernel", [3, 5])
def test_identity_kernel_off_its_centre_is_seen(kernel):
    spec, state = convnet(6, deeper=kernel), teacher_state()
    right = verify(spec, {**state, **identity_kernel(kernel, kernel // 2)})
    wrong = verify(spec, {**state, **identity_kernel(kernel, kernel // 2 + 1)})
    assert all(found.within(EXACT) for found in right)
    assert all(found.relative_error > 0.1 for found in wrong)


COPIES = torch.tensor([0, 1, 2, 3, 4, 5, 0, 2, 2])


def widened(norm_keys):
    """conv1 from 6 to 9 channels by COPIES; of the BatchNorm, only ``norm_keys`` follow."""
    state = teacher_state()
    counts = torch.bincount(COPIES)[COPIES]
    for key in ("conv1.weight", "conv1.bias"):
        state[key] = state[key][COPIES]
    state["conv2.weight"] = state["conv2.weight"][:, COPIES] / counts[:, None, None]
    fresh = state_of(nn.BatchNorm2d(9).double())
    for key in ("weight", "bias", "running_mean", "running_var"):
        kept = state[f"bn1.{key}"]
        padded = torch.cat([kept, fresh[key][6:]])
        state[f"bn1.{key}"] = kept[COPIES] if key in norm_keys else padded
    return state


ALL_KEYS = ("weight", "bias", "running_mean", "running_var")


def test_widening_with_its_batch_norm_is_exact_in_both_modes():
    assert [found.within(EXACT) for found in verify(convnet(9), widened(ALL_KEYS))] == [True, True]


@pytest.mark.parametrize("left_behind", [ALL_KEYS, *((key,) for key in ALL_KEYS)])
def test_batch_norm_left_behind_is_seen(left_behind):
    followed = [key for key in ALL_KEYS if key not in left_behind]
    evaluation, training = verify(convnet(9), widened(followed))
    assert evaluation.relative_error > 1e-3
    statistics_only = set(left_behind) <= {"running_mean", "running_var"}
    assert training.within(EXACT) == statistics_only


def test_batch_norm_missing_altogether_is_refused():
    state = {key: value for key, value in widened(ALL_KEYS).items() if not key.startswith("bn1")}
    with pytest.raises(CheckpointError, match="which the checkpoint lacks"):
        build(convnet(9), state)


def test_reader_that_is_not_split_is_seen():
    state = widened(ALL_KEYS)
    state["conv2.weight"] = teacher_state()["conv2.weight"][:, COPIES]
    assert all(found.relative_error > 0.1 for found in verify(convnet(9), state))


def test_signed_errors_do_not_cancel():
    a = torch.zeros(2, 2, dtype=torch.float64)
    a[0, 0] = 3
    b = a + torch.tensor([[1.7, -1.7], [-1.7, 1.7]], dtype=torch.float64)
    assert abs(float((a - b).sum())) < 1e-15  # the published score
    assert measure("y", a, b).max_error == pytest.approx(1.7)


def test_copy_that_loses_tensors_is_refused():
    state = teacher_state()
    lost = {key: value for key, value in state.items() if not key.startswith("conv2")}
    with pytest.raises(CheckpointError, match=r"needs conv2\.bias, conv2\.weight, which"):
        build(convnet(6), lost)


def test_batch_norm_inserted_with_statistics_0_and_1_is_seen_in_training_mode_only():
    eps_undone = torch.full((6,), 1 + 1e-5, dtype=torch.float64).sqrt()
    inserted = {"new.weight": eps_undone, "new.bias": torch.zeros(6),
                "new.running_mean": torch.zeros(6), "new.running_var": torch.ones(6)}  # fmt: skip
    evaluation, training = verify(convnet(6, norm=True), {**teacher_state(), **inserted})
    assert evaluation.within(EXACT)
    assert training.relative_error > 0.1


def test_compare_is_not_fooled_by_agreeing_arg_maxima():
    teacher = build(convnet(6), teacher_state())
    state = teacher_state()
    state["fc.weight"], state["fc.bias"] = state["fc.weight"] * 2, state["fc.bias"] * 2
    found = compare(teacher, build(convnet(6), state), draw_inputs(teacher.spec, 8))
    assert found.argmax_agreement == 1
    assert not found.within(0.5)
