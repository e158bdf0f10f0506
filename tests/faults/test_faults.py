"""The command stopped, starved and lied to at every call that changes the file system.

NET2NET_ALL=1 tries every fault at every call of every scenario, otherwise some of each.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.families.growing import Teachers, first_of
from tests.faults.scenarios import SCENARIOS, World
from tests.faults.trying import ENDS, SIGNALS, at_every_call, seconds, signalled, with_files_up_to
from tests.faults.zygote import Zygote

ALL = bool(os.environ.get("NET2NET_ALL"))
QUICK = {"wider": "kill", "deeper": "ENOSPC", "a folder over another": "kill"}
LARGE = [s for s in SCENARIOS if s.name in ("wider", "with the optimizer")]
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
    assert at_every_call(world, kind, 1 if ALL else 3)


@pytest.mark.parametrize("scenario", SCENARIOS if ALL else LARGE, ids=lambda s: s.name)
def test_a_file_that_may_not_grow(scenario, zygote, llama, tmp_path):
    world = World(tmp_path, zygote, scenario, llama)
    for size in range(1_000, 12_000, 500 if ALL else 3_500):
        with_files_up_to(world, size)


@pytest.mark.parametrize("megabytes", [20, 60] if ALL else [20])
def test_memory_that_is_used_up(megabytes, zygote, llama, tmp_path):
    """The limit lies so much above what the process has when it begins to work. Libraries written
    in Rust end the process by themselves."""
    world = World(tmp_path, zygote, SCENARIOS[0], llama)
    world.reset()
    words = Path(f"/proc/{zygote.process.pid}/statm").read_text().split()
    limit = int(words[0]) * os.sysconf("SC_PAGE_SIZE") + megabytes * 2**20
    world.check(world.run(world.scenario.words, RLIMIT_AS=limit), (0, 2, -signal.SIGABRT))


def test_signals_at_random_moments(zygote, llama, tmp_path):
    """``python -m tests.faults.campaign`` sends five hundred."""
    world = World(tmp_path, zygote, SCENARIOS[0], llama)
    whole = seconds(world)
    for at, number in enumerate(SIGNALS):
        signalled(world, number, random.Random(at), whole)
