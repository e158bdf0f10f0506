"""What the new units of each expansion hold, tensor by tensor."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from net2net_cli.api import Choices, open_model
from net2net_cli.expansion import SPLITS
from net2net_cli.plan import Rescale
from tests.growth.joined_nets import PRE_NORM, SQUARES
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.nets import Net, Student, teacher_of

BY_NAME = {net.name: net for net in LAYER_NETS}
CONV_BN, LINEAR = BY_NAME["BatchNorm2d"], BY_NAME["Linear"]


def grown(net: Net, folder, to: int, *choices, before: int = 4) -> tuple[Student, dict]:
    """The student, and the teacher's tensors."""
    teacher = teacher_of(net, folder, before)
    old = {n: teacher.model.source.tensor(n) for n in teacher.model.source.tensors}
    return teacher.apply(teacher.plan(net.spec(to), Choices(*choices))), old


def test_old_units_stay_as_they_are(tmp_path):
    for kind in ("fresh", "duplicate", "even", "zero"):
        student, old = grown(CONV_BN, tmp_path, 8, kind)
        new = student.state
        for name in ("first.weight", "first.bias", "x.weight", "x.running_var"):
            assert torch.equal(new[name][:4], old[name])
        assert torch.equal(new["last.bias"], old["last.bias"])
        if kind in ("fresh", "zero"):
            assert torch.equal(new["last.weight"][:, :4], old["last.weight"])


def rms(value: torch.Tensor) -> float:
    return float(value.double().square().mean().sqrt())


def test_fresh_units_are_as_large_as_the_old_ones(tmp_path):
    """Uniform, of the teacher's root mean square, times sqrt(4 / 600) where 600 are read in place
    of 4; nothing reads them yet."""
    student, old = grown(LINEAR, tmp_path, 600, "fresh")
    state = student.state
    gains = {"fc1.weight": 1, "fc1.bias": 1, "fc2.weight": (4 / 600) ** 0.5}
    for name, gain in gains.items():
        new, size = state[name][len(old[name]) :], gain * rms(old[name])
        assert float(new.abs().max()) <= 1.001 * 3**0.5 * size
        assert rms(new) == pytest.approx(size, rel=0.08)
        assert abs(float(new.mean())) < 0.2 * size
    assert not state["fc2.weight"][:8, 4:].any()
    assert not state["last.weight"][:, 8:].any()


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_fresh_units_beside_weights_that_say_nothing_begin_as_torch_begins_them(tmp_path, value):
    """Uniform within 1 / sqrt(fan-in) of the grown layer; but biases of zero stay zero."""
    teacher = teacher_of(LINEAR, tmp_path, 4)
    old = load_file(teacher.model.source.path)
    old["fc2.weight"].fill_(value)
    old["fc1.bias"].zero_()
    save_file(old, tmp_path / "said.safetensors")
    (tmp_path / "said.yaml").write_text(LINEAR.spec(4))
    other = replace(teacher, model=open_model(str(tmp_path / "said.safetensors")))
    state = other.apply(other.plan(LINEAR.spec(600))).state
    assert float(state["fc2.weight"][8:].abs().max()) <= 600**-0.5
    assert rms(state["fc2.weight"][8:]) == pytest.approx((3 * 600) ** -0.5, rel=0.05)
    assert not state["fc1.bias"].any()


def test_fresh_norms_slopes_and_scales_begin_neutral(tmp_path):
    state = grown(CONV_BN, tmp_path, 7, "fresh")[0].state
    for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        assert state[f"x.{name}"][4:].tolist() == [value] * 3
    assert (
        grown(BY_NAME["PReLU:a slope each"], tmp_path, 7, "fresh")[0].state["x.weight"][4:].tolist()
        == [0.25] * 3
    )
    assert grown(SQUARES, tmp_path, 7, "fresh")[0].state["scale"][4:].tolist() == [0.5] * 3


def test_copies_share_what_reads_them(tmp_path):
    for split in SPLITS:
        student, old = grown(CONV_BN, tmp_path, 8, "even", split)
        state = student.state
        of = [
            int((state["first.weight"][j] == old["first.weight"]).flatten(1).all(1).nonzero())
            for j in range(8)
        ]
        assert sorted(of) == [0, 0, 1, 1, 2, 2, 3, 3]
        for name in ("first.bias", "x.weight", "x.bias", "x.running_mean", "x.running_var"):
            assert torch.equal(state[name], old[name][of])
        summed = torch.zeros_like(old["last.weight"]).index_add_(
            1, torch.tensor(of), state["last.weight"]
        )
        assert torch.equal(summed, old["last.weight"])


def shares(folder, split: str) -> torch.Tensor:
    """What each of two to three copies got of each reader's weight: [readers, copies of one]."""
    student, old = grown(LINEAR, folder, 12, "even", split)
    of = (student.state["fc1.bias"][:, None] == old["fc1.bias"]).int().argmax(1)
    parts = student.state["fc2.weight"][:8, of == 0]
    return parts / old["fc2.weight"][:, :1]


def test_each_split_is_what_it_is_called(tmp_path):
    even = shares(tmp_path, "even")
    assert torch.allclose(even, torch.full_like(even, 1 / 3))
    dyadic = shares(tmp_path, "dyadic")
    assert dyadic.unique(dim=0).tolist() == [[0.5, 0.25, 0.25]]
    whole = shares(tmp_path, "whole")
    assert set(whole.flatten().tolist()) == {0.0, 1.0}
    assert len(whole.argmax(1).unique()) > 1  # not always the same copy
    random = shares(tmp_path, "random")
    assert bool((random >= 0).all())
    assert len(random.unique()) > 20
    signed = shares(tmp_path, "signed")
    assert bool((signed < 0).any())
    assert len(signed.unique()) > 20


def test_zero_units_write_zeros_and_may_be_read(tmp_path):
    state = grown(CONV_BN, tmp_path, 7, "zero")[0].state
    assert not state["first.weight"][4:].any()
    assert not state["first.bias"][4:].any()
    assert bool(state["last.weight"][:, 4:].all())


def test_mean_units_hold_the_mean_and_are_read_behind_the_norm_only(tmp_path):
    student, old = grown(PRE_NORM, tmp_path, 7, "mean")
    state = student.state
    for name, dim in (("embed.weight", 1), ("down.weight", 0), ("down.bias", 0)):
        mean = old[name].mean(dim, keepdim=True)
        new = state[name].narrow(dim, 4, 3)
        torch.testing.assert_close(new, mean.expand_as(new), rtol=0, atol=1e-15)
    torch.testing.assert_close(state["ln1.weight"][:4], old["ln1.weight"] * (4 / 7) ** 0.5)
    assert torch.equal(state["ln1.bias"][:4], old["ln1.bias"])
    assert not state["ln1.bias"][4:].any()
    for behind in ("up.weight", "head.weight"):
        assert bool(state[behind][:, 4:].all())
    assert not state["skip.weight"][:, 4:].any()
    rescaled = {o.layer: o.after for o in student.plan.operations if isinstance(o, Rescale)}
    assert rescaled == pytest.approx({"ln1": 4e-5 / 7, "ln2": 4e-5 / 7})
