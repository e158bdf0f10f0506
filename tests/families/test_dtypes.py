"""Half precision, and files in which dtypes mix: each tensor keeps its own, and growth that only
copies, adds and pads stays exact in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from net2net_cli import api
from tests.families.growing import Teachers, error, first_of, grow
from tests.support.families import Settings

HALVES = (torch.bfloat16, torch.float16)
COPYING = {
    "llama": ("mlp", "kv_heads", "query_groups", "vocabulary", "depth"),
    "gemma2": ("mlp", "kv_heads", "depth"),
    "gpt2": ("mlp", "vocabulary", "depth"),
    "mixtral": ("mlp", "kv_heads", "experts", "depth"),
    "distilbert": ("mlp", "depth"),
    "t5": ("mlp", "heads", "encoder_depth"),
    "bloom": ("vocabulary", "depth"),
}
"""Growths of families' first cases that scale no weight."""

GROWTHS = [(family, label) for family, labels in COPYING.items() for label in labels]
FOURFOLD: dict[str, Settings] = {
    "llama": {"hidden_size": 96},
    "qwen3": {"hidden_size": 96},
    "mixtral": {"hidden_size": 96},
}
"""sqrt(1/4) is a half, which rounds nothing."""


def dtypes(folder: Path) -> dict[str, str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize(("family", "label"), GROWTHS, ids=["-".join(g) for g in GROWTHS])
def test_growth_is_exact_in_half_precision(
    family: str, label: str, dtype: torch.dtype, teachers: Teachers, tmp_path: Path
) -> None:
    case = first_of(family)
    teacher = teachers.folder(case, dtype)
    grow(teacher, case.grown[label], tmp_path / "student")
    assert set(dtypes(tmp_path / "student").values()) == set(dtypes(teacher).values())
    assert error(teacher, tmp_path / "student", case.architecture) <= case.tolerance


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("family", FOURFOLD)
def test_a_stream_four_times_as_wide_rounds_nothing(
    family: str, dtype: torch.dtype, teachers: Teachers, tmp_path: Path
) -> None:
    case = first_of(family)
    teacher = teachers.folder(case, dtype)
    grow(teacher, FOURFOLD[family], tmp_path / "student", api.Choices("zero"))
    assert error(teacher, tmp_path / "student", case.architecture) <= case.tolerance


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.05), (torch.float16, 0.006)])
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "t5"])
def test_a_wider_stream_is_as_exact_as_its_dtype(
    family: str, dtype: torch.dtype, bound: float, teachers: Teachers, tmp_path: Path
) -> None:
    case = first_of(family)
    teacher = teachers.folder(case, dtype)
    grow(teacher, case.grown["hidden"], tmp_path / "student")
    found = error(teacher, tmp_path / "student", case.architecture)
    assert case.tolerance < found <= bound


@pytest.mark.parametrize("label", ["mlp", "depth", "vocabulary", "everything"])
def test_each_tensor_keeps_its_own_dtype(label: str, teachers: Teachers, tmp_path: Path) -> None:
    case = first_of("llama")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in teachers.folder(case).iterdir():
        (mixed / path.name).write_bytes(path.read_bytes())
    state = load_file(mixed / "model.safetensors")
    kinds = {"norm": torch.float32, "mlp": torch.float16}
    for name, tensor in state.items():
        state[name] = tensor.to(next((k for p, k in kinds.items() if p in name), torch.bfloat16))
    save_file(state, mixed / "model.safetensors", {"format": "pt"})
    grow(mixed, case.grown[label], tmp_path / "student")
    for name, dtype in dtypes(tmp_path / "student").items():
        assert dtype == ("F32" if "norm" in name else "F16" if "mlp" in name else "BF16"), name
    bound = 0.05 if label == "everything" else case.tolerance
    assert error(mixed, tmp_path / "student", case.architecture) <= bound


def test_another_dtype_can_be_asked_for(teachers: Teachers, tmp_path: Path) -> None:
    case = first_of("llama")
    choices = api.Choices(dtype="bfloat16")
    grow(teachers.folder(case), case.grown["mlp"], tmp_path / "student", choices)
    assert set(dtypes(tmp_path / "student").values()) == {"BF16"}
    assert error(teachers.folder(case), tmp_path / "student", case.architecture) <= 0.05
