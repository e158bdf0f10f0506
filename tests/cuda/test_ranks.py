"""Several processes, each on the GPU of its place on the machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.support.command import process
from tests.support.torchrun import by_hand, launched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

GROWN = ("widen", "ckpt", "--layer", "fc1", "--to", "3000", "--split", "signed")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with a checkpoint of some 10 MB, whose matrices the probe divides."""
    generator = torch.Generator().manual_seed(0)
    state = {f"fc{n}.weight": torch.randn(1100, 1100, generator=generator) / 33 for n in range(3)}
    save_file(state, tmp_path / "ckpt.safetensors")
    return tmp_path


def test_what_they_write_is_what_the_cpu_writes(large: Path) -> None:
    ran = process(*GROWN, "--device", "cpu", "-o", "one.safetensors", cwd=large)
    assert ran.returncode == 0, ran.stderr
    many = launched(large, *GROWN, "--device", "cuda", "-o", "many.safetensors", processes=2)
    assert many.code == 0, many.said
    assert (large / "one.safetensors").read_bytes() == (large / "many.safetensors").read_bytes()


def test_what_they_find_is_what_one_finds(large: Path) -> None:
    ran = process(*GROWN, "-o", "student.safetensors", "--no-verify", cwd=large)
    assert ran.returncode == 0, ran.stderr
    words = ("verify", "ckpt", "student", "--device", "cuda", "--json")
    one, two = process(*words, cwd=large), launched(large, *words, processes=2)
    assert two.code == one.returncode == 0, two.said
    found = [json.loads(text)["verification"] for text in (one.stdout, two.out)]
    assert found[0] == found[1]
    assert found[0]["passed"]


TELLS = """
import os, torch
from pathlib import Path
from net2net_cli.cli import main, ranks

leave = ranks.leave

def tell(code):
    used = [n for n in range(torch.cuda.device_count()) if torch.cuda.max_memory_allocated(n)]
    Path(f"used-{os.environ['RANK']}").write_text(str(used))
    leave(code)  # ends the process

ranks.leave = tell
main.run(["verify", "ckpt", "ckpt", "-q"])
"""


def test_each_takes_the_gpu_of_its_place(large: Path) -> None:
    count = torch.cuda.device_count()
    runs = by_hand([large] * 2, [["-c", TELLS]] * 2)
    for rank, (code, said) in enumerate(runs):
        assert code == 0, said
        assert (large / f"used-{rank}").read_text() == f"[{rank % count}]"
