"""Several at once: two writers of one output, a reader during the write, many readers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tests.support.command import command, environment

MANY = 16 if os.environ.get("NET2NET_ALL") else 4


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    state = {f"fc{i}.{n}": torch.randn(s, generator=generator)
             for i in range(4) for n, s in (("weight", (256, 256)), ("bias", (256,)))}  # fmt: skip
    save_file(state, tmp_path / "ckpt.safetensors")
    return tmp_path / "ckpt.safetensors"


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*words), cwd=folder, env=environment(OMP_NUM_THREADS="1"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_of_two_writers_one_wins_and_the_other_says_so(ckpt: Path) -> None:
    words = ["widen", ckpt, "--layer", "fc1", "--to", "700", "-o", "out.safetensors"]
    runs = [start(ckpt.parent, *words) for _ in range(2)]
    ended = [(run, *run.communicate(timeout=120)) for run in runs]
    codes = sorted(run.returncode for run, _, _ in ended)
    assert codes == [0, 2], [err for _, _, err in ended]
    lost = next(err for run, _, err in ended if run.returncode == 2)
    assert "exists" in lost
    assert "Traceback" not in lost
    assert {p.name for p in ckpt.parent.iterdir()} == {"ckpt.safetensors", "out.safetensors"}


def test_a_reader_never_sees_a_half(ckpt: Path) -> None:
    """With --overwrite the name stands for the old file, then for the new one."""
    out = ckpt.parent / "out.safetensors"
    save_file({"fc1.weight": torch.zeros(300, 256)}, out)
    run = start(ckpt.parent, "widen", ckpt, "--layer", "fc1", "--to", 700, "-o", out,
                "--overwrite")  # fmt: skip
    seen = set()
    while run.poll() is None:
        try:
            with safe_open(out, "pt") as file:
                seen.add(tuple(file.get_tensor("fc1.weight").shape))
        except SafetensorError as error:
            pytest.fail(f"half a file: {error}")
    assert run.returncode == 0, run.stderr and run.stderr.read()
    assert seen <= {(300, 256), (700, 256)}
    assert seen, "no reader came at the time"


def test_many_readers_of_one_source(ckpt: Path) -> None:
    before = digest(ckpt)
    runs = [start(ckpt.parent, "deepen", ckpt, "--after", "fc1", "--no-verify", "-o",
                  f"{i}.safetensors") for i in range(MANY)]  # fmt: skip
    assert [run.wait(250) for run in runs] == [0] * MANY
    assert len({digest(ckpt.parent / f"{i}.safetensors") for i in range(MANY)}) == 1
    assert digest(ckpt) == before
