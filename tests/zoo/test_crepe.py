"""CREPE, a published pitch tracker, with its trained weights and its own network as the judge."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from net2net_cli.api import (
    Model,
    ProbeOptions,
    RunOptions,
    apply_plan,
    deepen_plan,
    make_plan,
    open_model,
)
from net2net_cli.errors import UnreachableError
from net2net_cli.laying import layout_of
from net2net_cli.verify.network import build
from tests.support import crepe, zoo

SIZES = ("tiny", "full")
OPTIONS = RunOptions(device="cpu", probe=ProbeOptions(probes=2))


def sounds(count: int) -> tuple[Tensor, Tensor]:
    """Pitches in Hz ``[count]``, and frames of them with overtones and some noise, normalised as
    torchcrepe does ``[count, 1024]``; float64."""
    generator = torch.Generator().manual_seed(0)
    pitch = 100 * 2 ** (3 * torch.rand(count, generator=generator, dtype=torch.float64))
    time = torch.arange(1024, dtype=torch.float64) / 16_000
    phase = 2 * torch.pi * pitch[:, None] * time
    frames = phase.sin() + (2 * phase).sin() / 2 + (3 * phase).sin() / 3
    frames = frames + 0.02 * torch.randn(count, 1024, generator=generator, dtype=torch.float64)
    frames = frames - frames.mean(1, keepdim=True)
    return pitch, frames / frames.std(1, keepdim=True)


def pitch_of(activation: Tensor) -> Tensor:
    """The pitch in Hz that each row of 360 bins is largest at."""
    cents = 20 * activation.argmax(1) + 1997.3794084376191
    return 10 * 2 ** (cents / 1200)


def teacher(size: str) -> Model:
    """The published weights, opened with the spec of `specs/`."""
    return open_model(str(crepe.weights_file(size)), str(zoo.SPECS / f"crepe_{size}.yaml"))


def student(path: Path) -> torch.nn.Module:
    """The network of a written file, from the spec in its metadata, in float64."""
    model = open_model(str(path))
    return build(model.spec, {name: model.source.tensor(name) for name in model.source.tensors})


@pytest.mark.parametrize("size", SIZES)
def test_spec_has_the_weights_tensors(size: str) -> None:
    held = torch.load(crepe.weights_file(size), weights_only=True, mmap=True)
    laid = layout_of(zoo.network(f"crepe_{size}"))
    assert {t.name: t.shape for t in laid.tensors.values()} == {
        name: tuple(tensor.shape) for name, tensor in held.items()
    }


@pytest.mark.parametrize("size", SIZES)
def test_spec_computes_what_torchcrepe_does(size: str) -> None:
    own = crepe.network(size).double()
    pitch, frames = sounds(4)
    with torch.no_grad():
        expected = own(frames)
        (found,) = build(zoo.network(f"crepe_{size}"), own.state_dict())(frames[:, None, :, None])
    assert float((found - expected).abs().max()) <= 1e-12
    assert (1200 * (pitch_of(found) / pitch).log2()).abs().max() < 50, "it hears another pitch"


@pytest.mark.parametrize("target", ["wider", "deeper"])
@pytest.mark.parametrize("size", SIZES)
def test_student_computes_what_torchcrepe_does(size: str, target: str, tmp_path: Path) -> None:
    model = teacher(size)
    plan = make_plan(model, zoo.SPECS / f"crepe_{size}_{target}.yaml")
    output = tmp_path / "student.safetensors"
    assert apply_plan(plan, model, str(output), OPTIONS).verification.passed
    _, frames = sounds(2)
    with torch.no_grad():
        expected = crepe.network(size).double()(frames)
        (found,) = student(output)(frames[:, None, :, None])
    assert float((found - expected).abs().max()) <= 1e-10


AFTER_BATCH_NORM = """\
net2net: 1
extends: source
layers:
  conv2b: {type: Conv2d, out_channels: 16, kernel_size: [64, 1], padding: same, after: conv2_BN}
  relu2b: {type: ReLU}
"""


def test_relu_after_the_batch_norm_is_refused_and_a_place_named(tmp_path: Path) -> None:
    target = tmp_path / "target.yaml"
    target.write_text(AFTER_BATCH_NORM, encoding="utf-8")
    with pytest.raises(UnreachableError) as refused:
        make_plan(teacher("tiny"), target)
    told = "\n".join(refused.value.lines())
    assert refused.value.exit_code == 3
    assert "`relu2b`" in told and "conv2_BN" in told and f"{target}:5" in told
    assert "after `relu1`, `relu2`" in told


def test_deepening_behind_the_batch_norm_finds_the_right_place(tmp_path: Path) -> None:
    model = teacher("tiny")
    plan = deepen_plan(model, "conv2_BN")
    assert any("inserted after `relu2`" in note for note in plan.notes)
    output = tmp_path / "student.safetensors"
    assert apply_plan(plan, model, str(output), OPTIONS).verification.passed
