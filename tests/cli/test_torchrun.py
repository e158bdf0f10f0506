"""One command by several processes: the same bytes, one voice, and nothing lost to a kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.command import environment, process
from tests.support.torchrun import (
    by_hand,
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
        found[path.name] = {name for kind, name, *_ in lines if kind == "written"}
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


@thorough
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


WIDENED = ("-m", "net2net_cli", *GROWN, "-o")
WITH_VISION = """
import sys
from tests.support import vision
from net2net_cli.cli.main import run
sys.exit(run(sys.argv[1:]))
"""
OTHER_VERSION = """
import sys, net2net_cli
net2net_cli.__version__ = "9.9.9"
from net2net_cli.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def other_weights(folder: Path) -> Path:
    """A folder with a checkpoint like ``large``'s but for its numbers."""
    there = folder / "elsewhere"
    there.mkdir()
    state = load_file(folder / "ckpt.safetensors")
    save_file({n: v + 1 for n, v in state.items()}, there / "ckpt.safetensors")
    return there


@pytest.mark.parametrize(
    "kind",
    ["options", *(pytest.param(k, marks=thorough) for k in ("commands", "versions", "weights"))],
)
def test_processes_started_differently_all_end_with_2(large: Path, kind: str) -> None:
    out = large / "many.safetensors"
    first, folders = [*WIDENED, out], [large, large]
    match kind:
        case "options":
            second = [*WIDENED, out, "--seed", "7"]
        case "commands":
            second = ["-m", "net2net_cli", "inspect", "ckpt"]
        case "versions":
            second = ["-c", OTHER_VERSION, *GROWN, "-o", out]
        case _:
            second, folders = first, [large, other_weights(large)]
    ended = by_hand(folders, [first, second])
    assert [code for code, _ in ended] == [2, 2], ended
    assert ended[0][1].count("started with different commands, files or versions") == 1
    assert ended[1][1] == ""
    assert not out.exists()
    assert hidden(large) == []


@thorough
@pytest.mark.parametrize("processes", [2, 4])
def test_a_transformer_is_verified_with_the_figures_of_one(tmp_path: Path, processes: int) -> None:
    """Its largest matrices are divided among the processes; the student's norms make an error that
    is not 0."""
    from tests.support import vision  # noqa: F401
    from tests.verify.tiny_pretrained import LLAMA, save

    save(tmp_path / "t", "LlamaForCausalLM", LLAMA | {"vocab_size": 40_000, "hidden_size": 32})
    alone(tmp_path, "grow", "t", "--set", "hidden_size=40", "-o", "s", "--no-verify")
    words = ("-c", WITH_VISION, "verify", "t", "s", "--report")
    env = environment(OMP_NUM_THREADS="1")
    subprocess.run([sys.executable, *words, "one.json"], cwd=tmp_path, env=env, check=True)
    ended = by_hand([tmp_path] * processes, [[*words, "many.json"]] * processes)
    assert [code for code, _ in ended] == [0] * processes, ended
    one, many = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "many"))
    assert one["verification"] == many["verification"]
    assert one["verification"]["probes"][0]["max_error"] > 0


@thorough
@pytest.mark.parametrize("moment", range(8))
def test_a_rank_killed_at_any_moment_leaves_the_output_whole_or_absent(
    large: Path, moment: int
) -> None:
    words = (*GROWN[:-1], "-o", "many.safetensors")  # probed, too
    alone(large, *words[:-1], "one.safetensors")
    run = started(large, *words)
    wait_for(lambda: len(workers(run)) == 3, run)
    time.sleep(Random(moment).uniform(0, 8))
    if (victim := workers(run).get(moment % 3)) is not None:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    ran = ended(run)
    assert "Traceback" not in ran.said
    if (large / "many.safetensors").exists():
        made = (large / "many.safetensors").read_bytes()
        assert made == (large / "one.safetensors").read_bytes()
    else:
        assert ran.code != 0
        again = launched(large, *words)
        assert again.code == 0, again.said
    assert hidden(large) == []


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


@thorough
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
