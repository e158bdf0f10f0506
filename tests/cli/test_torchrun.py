"""One command by several processes: the same bytes, one voice, and nothing lost to a kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.support.command import environment, process
from tests.support.torchrun import (
    ended,
    kill_node,
    launched,
    started,
    wait_for,
    workers,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

thorough = pytest.mark.skipif("NET2NET_ALL" not in os.environ, reason="slow: NET2NET_ALL=1")

LAYERS = 10
GROWN = ("widen", "ckpt", "--layer", "fc1", "--to", "4000", "--no-verify")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder with a checkpoint of some 10 MB; grown by GROWN, it has 25."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index in range(LAYERS):
        state[f"fc{index}.weight"] = torch.randn(512, 512, generator=generator)
        state[f"fc{index}.bias"] = torch.randn(512, generator=generator)
    save_file(state, tmp_path / "ckpt.safetensors")
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def alone(folder: Path, *arguments: object) -> None:
    """In one process, and as torchrun's do in one thread."""
    ran = process(*arguments, cwd=folder, env=environment(OMP_NUM_THREADS="1"))
    assert ran.returncode == 0, ran.stderr


def hidden(folder: Path) -> list[Path]:
    """What a run has left half made."""
    return [p for p in folder.iterdir() if ".net2net-" in p.name]


def noted(folder: Path) -> dict[str, set[str]]:
    """Journal -> the tensors that it says are written."""
    found = {}
    for path in folder.glob(".*.log"):
        lines = [json.loads(line) for line in path.read_text().split("\n")[:-1] if line]
        found[path.name] = {name for kind, name, _ in lines if kind == "written"}
    return found


def test_a_file_is_what_one_process_writes_and_one_process_says_so(large: Path) -> None:
    alone(large, *GROWN, "-o", "one.safetensors")
    ran = launched(large, *GROWN, "-o", "many.safetensors", processes=4)
    assert ran.code == 0, ran.said
    assert ran.out.count("wrote many.safetensors") == 1
    assert ran.out.count("proved:") == 1
    assert ran.said.count("note:") == 1
    assert (large / "one.safetensors").read_bytes() == (large / "many.safetensors").read_bytes()
    assert hidden(large) == []


def test_a_verified_folder_of_shards_too(tmp_path: Path) -> None:
    """The second matrix is so large that the probe divides it."""
    save_file(
        {"fc1.weight": torch.randn(96, 64), "fc1.bias": torch.randn(96),
         "fc2.weight": torch.randn(11000, 96), "fc2.bias": torch.randn(11000)},
        tmp_path / "ckpt.safetensors",
    )  # fmt: skip
    words = ("widen", "ckpt", "--layer", "fc1", "--to", "200", "--max-shard-size", "20kB")
    alone(tmp_path, *words, "-o", "one/", "--report", "one.json")
    ran = launched(tmp_path, *words, "-o", "many/", "--report", "many.json", processes=2)
    assert ran.code == 0, ran.said
    assert "the student computes what the teacher computes" in ran.out
    assert len(files(tmp_path / "one")) > 3
    assert files(tmp_path / "one") == files(tmp_path / "many")
    one, many = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "many"))
    assert one["verification"] == many["verification"]
    assert one["teacher"] == many["teacher"]
    assert hidden(tmp_path) == []


@thorough
def test_a_teacher_comes_back_as_one_process_writes_it(large: Path) -> None:
    alone(large, *GROWN, "-o", "grown.safetensors")
    back = launched(large, "shrink", "grown", "-o", "back.safetensors", processes=2)
    assert back.code == 0, back.said
    assert (large / "back.safetensors").stat().st_size > 10_000_000
    assert "byte for byte" in back.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grow", "ckpt", "--set", "fc1.out_features=520", "-o", "taken"], "`taken` exists"),
        pytest.param(["widen", "ckpt", "--layr", "a"], "no such option: --layr", marks=thorough),
        pytest.param(["plan", "none", "--set", "a.b=1"], "no checkpoint `none`", marks=thorough),
    ],
)
def test_an_error_is_told_once_with_its_exit_code(large: Path, words: list[str], said: str) -> None:
    (large / "taken").touch()
    ran = launched(large, *words, processes=2)
    assert ran.said.count("error:") == 1
    assert said in ran.said
    assert ran.codes == {2}
    assert ran.out == ""
    assert hidden(large) == []


@thorough
def test_what_writes_no_checkpoint_is_done_by_one(large: Path) -> None:
    once = process(*GROWN, "--dry-run", cwd=large)
    ran = launched(large, *GROWN, "--dry-run", processes=2)
    assert (ran.code, ran.out) == (0, once.stdout.decode())
    assert ran.said.encode() == once.stderr


def stopped_and_killed(run: subprocess.Popen[str], folder: Path) -> None:
    """Kill rank 1 once the others have noted something: held up, it cannot have ended."""
    wait_for(lambda: bool(list(folder.glob(".*.1.log"))), run)
    victim = workers(run)[1]
    os.kill(victim, signal.SIGSTOP)
    wait_for(lambda: any(noted(folder).values()), run)
    os.kill(victim, signal.SIGKILL)


def test_a_restart_picks_up_what_was_written(large: Path) -> None:
    alone(large, *GROWN, "-o", "one.safetensors")
    run = started(large, *GROWN, "-o", "many.safetensors", options=("--max-restarts", "1"))
    stopped_and_killed(run, large)
    before = noted(large)
    assert sum(map(len, before.values())) > 1
    ran = ended(run)
    assert ran.code == 0, ran.said
    assert ran.said.count("error:") <= 1
    assert ran.out.count("wrote many.safetensors") == 1
    assert (large / "one.safetensors").read_bytes() == (large / "many.safetensors").read_bytes()
    assert hidden(large) == []


@thorough
def test_a_killed_process_fails_the_run_and_the_next_run_picks_up(large: Path) -> None:
    """The others notice for themselves, if torchrun does not end them first by SIGTERM, after which
    nothing is left: an agent that looks only now and then lets them."""
    run = started(large, *GROWN, "-o", "many.safetensors", options=("--monitor-interval", "20"))
    stopped_and_killed(run, large)
    ran = ended(run)
    assert ran.code != 0
    assert ran.out == ""
    assert "Traceback" not in ran.said
    assert not (large / "many.safetensors").exists()
    left = hidden(large)
    assert {path.suffix for path in left} == {".tmp", ".log"}
    again = launched(large, *GROWN, "-o", "many.safetensors", processes=2)
    assert again.code == 0, again.said
    alone(large, *GROWN, "-o", "one.safetensors")
    assert (large / "one.safetensors").read_bytes() == (large / "many.safetensors").read_bytes()
    assert hidden(large) == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def two_nodes(folder: Path) -> list[subprocess.Popen[str]]:
    where = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}")
    return [
        started(folder, *GROWN, "-o", "many.safetensors", processes=2,
                options=("--nnodes", "2", *where, "--local-addr", "127.0.0.1"))
        for _ in range(2)
    ]  # fmt: skip


def test_two_nodes_one_of_which_goes_down(large: Path) -> None:
    nodes = two_nodes(large)
    wait_for(lambda: bool(list(large.glob(".*.tmp"))), nodes[0])
    second = next(node for node in nodes if 0 not in workers(node))
    for pid in workers(second).values():
        os.kill(pid, signal.SIGSTOP)
    kill_node(second)
    ran = ended(next(node for node in nodes if node is not second))
    assert ran.code != 0
    # Where the store was the dead node's, torchrun ends the workers before they can say so.
    assert ran.said.count("error:") == ran.said.count("error: a process of the run died") <= 1
    assert ran.codes <= {2, 143}
    assert not (large / "many.safetensors").exists()
    alone(large, *GROWN, "-o", "one.safetensors")
    again = [ended(node) for node in two_nodes(large)]
    assert [ran.code for ran in again] == [0, 0], again
    assert (large / "one.safetensors").read_bytes() == (large / "many.safetensors").read_bytes()
    assert hidden(large) == []
