"""Every way that a scenario is made to fail, and how it may end."""

from __future__ import annotations

import signal
import subprocess
import time
from random import Random

from tests.faults.scenarios import World
from tests.faults.zygote import Run
from tests.support.command import command, environment

ENDS: dict[str, tuple[int, ...]] = {
    "kill": (-signal.SIGKILL,),
    "half": (-signal.SIGKILL,),
    "EIO": (0, 2),  # 0 where it is the folder that could not be put on the disk: some cannot
    "ENOSPC": (0, 2),
    "EDQUOT": (0, 2),
    "SIGINT": (130,),
    "SIGTERM": (143,),
}
SIGNALS: dict[signal.Signals, tuple[int, ...]] = {
    signal.SIGKILL: (-signal.SIGKILL,),
    signal.SIGTERM: (143, -signal.SIGTERM),  # the second before Python has begun with net2net
    signal.SIGINT: (130, -signal.SIGINT, 1),  # 1: while Python itself starts, with its traceback
}


def at_every_call(world: World, kind: str, step: int = 1) -> int:
    """The fault at each ``step``-th call that changes the file system; how many times."""
    places = range(1, world.calls + 1, step)
    for at in places:
        world.reset()
        world.check(world.run(world.scenario.words, kind, at), ENDS[kind])
    return len(places)


def with_files_up_to(world: World, size: int) -> None:
    """No file may grow beyond ``size`` bytes."""
    world.reset()
    world.check(world.run(world.scenario.words, RLIMIT_FSIZE=size), (0, 2))


def signalled(world: World, number: signal.Signals, draw: Random, whole: float) -> bool:
    """The real process, started as users start it, signalled at a random moment of the ``whole``
    seconds that it takes and a little beyond; False where it had ended before."""
    world.reset()
    run = _started(world)
    try:
        run.wait(draw.uniform(0, 1.1 * whole))
    except subprocess.TimeoutExpired:
        run.send_signal(number)
    _, err = run.communicate()
    if run.returncode == 0:
        return False
    early = number == signal.SIGINT and run.returncode != 130
    world.check(Run(run.returncode, 0, "", "" if early else err, 0.0, 0), SIGNALS[number])
    return True


def seconds(world: World) -> float:
    """How long the real process takes."""
    world.reset()
    started = time.monotonic()
    _started(world).communicate()
    return time.monotonic() - started


def _started(world: World) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*world.scenario.words),
        cwd=world.folder,
        env=environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
