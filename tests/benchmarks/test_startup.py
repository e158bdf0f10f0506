"""Start-up, beside that of Python itself: ``make bench``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from safetensors.torch import save_file

from tests.support.command import command, environment

RUNS = {
    "python -c pass": None,
    "--version": ["--version"],
    "--help": ["--help"],
    "grow --help": ["grow", "--help"],
    "inspect": ["inspect", "ckpt"],
    "plan": ["plan", "ckpt", "--set", "fc1.out_features=20"],
    "widen": ["widen", "ckpt", "--layer", "fc1", "--to", "20", "--overwrite"],
}


@pytest.mark.parametrize("name", RUNS)
def test_start_up(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    state = {"fc1.weight": torch.randn(16, 12), "fc1.bias": torch.zeros(16),
             "fc2.weight": torch.randn(4, 16), "fc2.bias": torch.zeros(4)}  # fmt: skip
    save_file(state, tmp_path / "ckpt.safetensors")
    arguments = RUNS[name]
    words = [sys.executable, "-c", "pass"] if arguments is None else command(*arguments)

    def start() -> None:
        subprocess.run(words, cwd=tmp_path, env=environment(), check=True, capture_output=True)

    benchmark.pedantic(start, rounds=7, warmup_rounds=1)
