"""Runs of several processes, as torchrun starts them, and their workers as /proc shows them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import environment

LAUNCHER = (sys.executable, "-m", "torch.distributed.run")
CODES = re.compile(r"exitcode  : (-?\d+)")


def started(
    cwd: Path, *arguments: object, processes: int = 3, options: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """``torchrun ... -m net2net_cli ARGUMENTS``, running."""
    words = [*LAUNCHER, "--nproc-per-node", str(processes), *options, "-m", "net2net_cli"]
    return subprocess.Popen(
        [*words, *map(str, arguments)],
        cwd=cwd, env=environment(OMP_NUM_THREADS="1"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def by_hand(cwds: Sequence[Path], words: Sequence[Sequence[object]]) -> list[tuple[int, str]]:
    """Exit code and standard error of each rank, started without torchrun: each in a folder of its
    own, and with its own words behind ``python``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    runs = [
        subprocess.Popen(
            [sys.executable, *map(str, own)], cwd=cwd, text=True,
            env=environment(OMP_NUM_THREADS="1", RANK=str(rank), LOCAL_RANK=str(rank),
                            WORLD_SIZE=str(len(words)), LOCAL_WORLD_SIZE=str(len(words)),
                            MASTER_ADDR="127.0.0.1", MASTER_PORT=port),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for rank, (cwd, own) in enumerate(zip(cwds, words, strict=True))
    ]  # fmt: skip
    said = [run.communicate(timeout=120)[1] for run in runs]
    return [(run.returncode, text) for run, text in zip(runs, said, strict=True)]


@dataclass(frozen=True)
class Launched:
    """How it ended; ``said`` is standard error without torchrun's own lines, ``codes`` the exit
    codes of the processes that failed, as torchrun tells them."""

    code: int
    out: str
    said: str
    codes: set[int]


def ended(run: subprocess.Popen[str], timeout: float = 90) -> Launched:
    """The run's end."""
    try:
        out, err = run.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_node(run)
        raise
    own = err.split("Traceback (most recent call last):\n  File")[0] if CODES.search(err) else err
    said = "".join(line for line in own.splitlines(True) if not re.match(r"[WEI]\d{4} ", line))
    return Launched(run.returncode, out, said, {int(code) for code in CODES.findall(err)})


def launched(cwd: Path, *arguments: object, **options: object) -> Launched:
    """Run to the end."""
    return ended(started(cwd, *arguments, **options))  # type: ignore[arg-type]


def workers(run: subprocess.Popen[str]) -> dict[int, int]:
    """Rank -> process id of the workers that are there."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = folder.joinpath("stat").read_text().rsplit(") ", 1)[1].split()[1]
            if int(parent) == run.pid:
                variables = folder.joinpath("environ").read_bytes().split(b"\0")
                ranks = [v for v in variables if v.startswith(b"RANK=")]
                found[int(ranks[0][5:])] = int(folder.name)
        except (OSError, IndexError):  # it has ended, or has not begun
            continue
    return found


def wait_for(what: Callable[[], bool], run: subprocess.Popen[str], timeout: float = 60) -> None:
    """Until it is so."""
    deadline = time.monotonic() + timeout
    while not what():
        assert run.poll() is None, run.communicate()
        if time.monotonic() > deadline:
            kill_node(run)
            raise TimeoutError
        time.sleep(0.005)


def kill_node(run: subprocess.Popen[str]) -> None:
    """As when a machine goes down: torchrun's agent and all of its workers, at once."""
    own = workers(run)
    run.kill()
    for pid in own.values():
        os.kill(pid, signal.SIGKILL)
    run.wait()
