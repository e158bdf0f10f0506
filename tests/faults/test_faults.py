"""The command stopped, starved and lied to at every call that changes the file system.

NET2NET_ALL=1 tries every fault at every call of every scenario, and kills 500 processes at random
moments; otherwise some of each.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.families.growing import Teachers, first_of
from tests.faults.scenarios import SCENARIOS, World
from tests.faults.zygote import Run, Zygote
from tests.support.command import command, environment

ALL = bool(os.environ.get("NET2NET_ALL"))
ENDS: dict[str, tuple[int, ...]] = {
    "kill": (-signal.SIGKILL,),
    "half": (-signal.SIGKILL,),
    "EIO": (0, 2),  # 0 where it is the folder that could not be put on the disk: some cannot
    "ENOSPC": (0, 2),
    "EDQUOT": (0, 2),
    "SIGINT": (130,),
    "SIGTERM": (143,),
}
QUICK = {"wider": "kill", "deeper": "ENOSPC", "a folder over another": "kill"}
TRIED = [
    (scenario, kind)
    for scenario in SCENARIOS
    for kind in ENDS
    if ALL or QUICK.get(scenario.name) == kind
]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Teachers(tmp_path_factory.mktemp("teachers")).folder(first_of("llama"))


@pytest.mark.parametrize(("scenario", "kind"), TRIED, ids=[f"{s.name}-{kind}" for s, kind in TRIED])
def test_a_fault_at_any_call(scenario, kind, zygote, llama, tmp_path):
    world = World(tmp_path, zygote, scenario, llama)
    assert world.calls >= 5
    for at in range(1, world.calls + 1, 1 if ALL else 3):
        world.reset()
        world.check(world.run(scenario.words, kind, at), ENDS[kind])


@pytest.mark.parametrize("size", [1000, 4200])
def test_a_file_that_may_not_grow(size, zygote, llama, tmp_path):
    world = World(tmp_path, zygote, SCENARIOS[0], llama)
    world.reset()
    world.check(world.run(world.scenario.words, RLIMIT_FSIZE=size), (2,))


@pytest.mark.parametrize("megabytes", [20, 60] if ALL else [20])
def test_memory_that_is_used_up(megabytes, zygote, llama, tmp_path):
    """The limit lies so much above what the process has when it begins to work. Libraries written
    in Rust end the process by themselves."""
    world = World(tmp_path, zygote, SCENARIOS[0], llama)
    world.reset()
    words = Path(f"/proc/{zygote.process.pid}/statm").read_text().split()
    limit = int(words[0]) * os.sysconf("SC_PAGE_SIZE") + megabytes * 2**20
    world.check(world.run(world.scenario.words, RLIMIT_AS=limit), (0, 2, -signal.SIGABRT))


def test_kills_at_random_moments(zygote, llama, tmp_path):
    """The real process, started as users start it."""
    draw = random.Random(0)
    for scenario in SCENARIOS[: 2 if ALL else 1]:
        world = World(tmp_path / scenario.name, zygote, scenario, llama)
        world.reset()
        started = time.monotonic()
        _process(world, None)
        whole = time.monotonic() - started
        for _ in range(250 if ALL else 2):
            world.reset()
            ended = _process(world, draw.uniform(0, 1.1 * whole))
            assert ended in (0, -signal.SIGKILL)
            if ended:
                world.check(Run(ended, 0, "", "", 0.0, 0), (-signal.SIGKILL,))


def _process(world: World, delay: float | None) -> int:
    run = subprocess.Popen(
        command(*world.scenario.words),
        cwd=world.folder,
        env=environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return run.wait(delay)
    except subprocess.TimeoutExpired:
        run.kill()
        return run.wait()
