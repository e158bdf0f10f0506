"""A folder with a small checkpoint to run commands in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

MLP = {"fc1": (16, 12), "fc2": (8, 16), "out": (4, 8)}
"""Linear layers of the checkpoint `ckpt.safetensors`: [out, in]."""


@pytest.fixture
def ckpt(folder: Path) -> Path:
    """A plain chain of Linear layers, recognised without a spec."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in MLP.items():
        state[f"{name}.weight"] = torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    path = folder / "ckpt.safetensors"
    save_file(state, path, {"format": "pt"})
    return path
