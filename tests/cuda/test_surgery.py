"""What a GPU makes is, byte for byte, what the CPU makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli import api, tiles
from net2net_cli.api import Choices, RunOptions
from net2net_cli.expansion import SPLITS
from tests.families.growing import first_of, written
from tests.growth.joined_nets import RESIDUAL
from tests.growth.lane_cases import Case, every_case
from tests.growth.nets import QUICK, Teacher, teacher_of
from tests.support.families import make_teacher

CUDA = replace(QUICK, device="cuda")


def bytes_of(teacher: Teacher, case: Case, options: RunOptions) -> bytes:
    plan = teacher.plan(case.spec, case.choices)
    return teacher.apply(plan, "student", options).path.read_bytes()


@pytest.mark.parametrize("case", every_case(), ids=str)
def test_by_every_expansion_and_split_in_every_dtype(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "TILE", 40)  # so that small tensors are made of many
    teacher = teacher_of(case.net, tmp_path, 4, case.dtype)
    assert bytes_of(teacher, case, CUDA) == bytes_of(teacher, case, QUICK)


def linear(folder: Path, dtype: torch.dtype, width: int = 1500) -> api.Model:
    """Matrices of several tiles; every number of the half types is among them."""
    generator = torch.Generator().manual_seed(0)
    state = {
        f"fc{n}.weight": torch.randn((width, width), generator=generator).to(dtype)
        for n in range(3)
    }
    if dtype.itemsize == 2:
        bits = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
        state["fc1.weight"].view(-1)[: len(bits)] = bits
    save_file(state, folder / "ckpt.safetensors")
    return api.open_model(str(folder / "ckpt.safetensors"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("workers", [1, 4])
def test_large_tensors_by_several_threads(
    workers: int, split: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = linear(tmp_path, dtype)
    sizes = {"fc0.out_features": "4000", "fc1.out_features": "2211"}
    plan = api.make_plan(model, settings=sizes, choices=Choices("duplicate", split))  # type: ignore[arg-type]
    found = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / f"{device}.safetensors"
        api.apply_plan(plan, model, str(out), replace(QUICK, device=device, workers=workers))
        found[device] = out.read_bytes()
    assert found["cuda"] == found["cpu"]


@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float64"])
def test_casts(wanted: str, tmp_path: Path) -> None:
    """Numbers beyond a half type's range and below it included; no NaN, whose bits are free."""
    model = linear(tmp_path, torch.float32, 600)
    source = model.source
    state = {name: source.tensor(name).clone() for name in source.tensors}
    row = torch.logspace(-44, 38, 600) * torch.tensor([1.0, -1.0]).repeat(300)
    state["fc1.weight"][7] = row
    save_file(state, tmp_path / "ckpt.safetensors")
    model = api.open_model(str(tmp_path / "ckpt.safetensors"))
    settings = {"fc0.out_features": "700"}
    plan = api.make_plan(model, settings=settings, choices=Choices("fresh", dtype=wanted))
    made = [
        api.apply_plan(plan, model, str(tmp_path / f"{d}.safetensors"), replace(QUICK, device=d))
        for d in ("cpu", "cuda")
    ]
    assert made[0].digest == made[1].digest


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "mixtral", "t5", "whisper"])
def test_transformers_grown_everywhere_at_once(family: str, tmp_path: Path) -> None:
    case = first_of(family)
    make_teacher(case, tmp_path / "teacher", dtype=torch.bfloat16)
    model = api.open_model(str(tmp_path / "teacher"))
    plan = api.make_plan(model, None, written(case.grown["everything"]))
    digests = {
        api.apply_plan(plan, model, f"{tmp_path / device}/", replace(QUICK, device=device)).digest
        for device in ("cpu", "cuda")
    }
    assert len(digests) == 1


def test_what_is_grown_there_is_verified_there(tmp_path: Path) -> None:
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.bfloat16)
    plan = teacher.plan(RESIDUAL.spec(9), Choices("duplicate", "signed"))
    student = teacher.apply(plan, options=RunOptions(device="cuda", workers=3))
    assert student.grown.verification.passed
    assert student.grown.verification.probes
