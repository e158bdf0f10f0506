"""Probes on a GPU find what they find on the CPU; what goes wrong there is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.families.growing import first_of, grow
from tests.support.command import Net2Net
from tests.support.families import make_teacher


@pytest.fixture
def pair(folder: Path, net2net: Net2Net) -> Path:
    """A folder with `ckpt` and `student`; one matrix is so large that it is multiplied in parts."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"fc1": (96, 64), "fc2": (11_000, 96), "out": (5, 11_000)}
    state = {f"{n}.weight": torch.randn(s, generator=generator) / 8 for n, s in shapes.items()}
    save_file(state, folder / "ckpt.safetensors")
    net2net(
        "widen", "ckpt", "--layer", "fc1", "--to", "200", "-o", "student.safetensors", "--no-verify"
    )
    return folder


def probes(net2net: Net2Net, *words: object, code: int = 0) -> list[dict[str, object]]:
    found = json.loads(net2net("verify", *words, "--json", code=code).out)["verification"]
    probed: list[dict[str, object]] = found["probes"]
    return probed


@pytest.mark.usefixtures("pair")
def test_a_student_is_verified_there(net2net: Net2Net) -> None:
    torch.cuda.reset_peak_memory_stats()
    (found,) = probes(net2net, "ckpt", "student", "--device", "cuda")
    assert torch.cuda.max_memory_allocated() > 0
    (expected,) = probes(net2net, "ckpt", "student", "--device", "cpu")
    assert found["passed"]
    assert found["dtype"] == expected["dtype"] == "float64"
    assert found["probes"] == expected["probes"]
    assert isinstance(found["relative_error"], float)
    assert found["relative_error"] < 1e-12


@pytest.mark.usefixtures("pair")
def test_auto_probes_on_the_gpu_and_grows_without_it(net2net: Net2Net) -> None:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    grown = ["widen", "ckpt", "--layer", "fc1", "--to", "300"]
    net2net(*grown, "-o", "unverified.safetensors", "--no-verify")
    assert torch.cuda.max_memory_allocated() == before
    net2net(*grown, "-o", "verified.safetensors")
    assert torch.cuda.max_memory_allocated() > before


def test_a_student_that_differs_is_found_there(pair: Path, net2net: Net2Net) -> None:
    state = load_file(pair / "student.safetensors")
    state["out.weight"][3, 77] += 1
    with safe_open(pair / "student.safetensors", "pt") as file:
        save_file(state, pair / "broken.safetensors", file.metadata())
    (found,) = probes(net2net, "ckpt", "broken", "--device", "cuda", code=4)
    assert not found["passed"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "vit"])
def test_transformers_are_probed_there(family: str, folder: Path, net2net: Net2Net) -> None:
    case = first_of(family)
    make_teacher(case, folder / "teacher", dtype=torch.float32)
    grow(folder / "teacher", case.grown["everything"], folder / "student")
    (found,) = probes(net2net, "teacher", "student", "--device", "cuda")
    assert found["passed"]


@pytest.fixture
def little_memory() -> Iterator[None]:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.usefixtures("pair", "little_memory")
@pytest.mark.parametrize("words", [
    ("verify", "ckpt", "student", "--device", "cuda"),
    ("widen", "ckpt", "--layer", "fc1", "--to", "99", "-o", "b.safetensors", "--device", "cuda"),
])  # fmt: skip
def test_memory_that_is_used_up_is_told(words: tuple[str, ...], net2net: Net2Net) -> None:
    ended = net2net(*words, code=2)
    assert "the memory of the GPU is used up" in ended.err
    assert "--device cpu" in ended.err
    assert not Path("b.safetensors").exists()


@pytest.mark.usefixtures("pair")
def test_a_gpu_that_is_not_there_is_told(net2net: Net2Net) -> None:
    name = f"cuda:{torch.cuda.device_count()}"
    for words in (["verify", "ckpt", "student"], ["widen", "ckpt", "--layer", "fc1", "--to", "99"]):
        assert f"no device `{name}` here" in net2net(*words, "--device", name, code=2).err
