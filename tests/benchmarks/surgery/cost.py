"""What a process costs: seconds by the clock and of processors, and its memory at the fullest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from tests.support.command import environment

PAUSE = 0.005
"""Seconds between two looks at a process' memory."""

FIGURES = re.compile(rb"^(RssAnon|VmHWM):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock (``wall``) and of processors (``cpu``); the most bytes held at once:
    ``anonymous`` ones alone, and with the pages of mapped files (``resident``). ``settled``:
    seconds by the clock until what was written is on the disk; 0 where nobody looked."""

    wall: float
    cpu: float
    anonymous: int
    resident: int
    settled: float = 0.0


def cost_of(words: Sequence[str | Path], *, settling: bool = False) -> Cost:
    """Run to the end, which must be a good one, and wait for the disk where ``settling``.

    Threads and compiled modules are those of a user: pip leaves installed packages compiled, and a
    checkout compiles itself when it first runs.
    """
    started = time.monotonic()
    run = subprocess.Popen(
        [str(word) for word in words], env=environment(OMP_NUM_THREADS=None),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert run.stderr is not None
    memory = _Memory(run.pid)
    said = run.stderr.read()
    _, status, used = os.wait4(run.pid, 0)
    wall = time.monotonic() - started
    run.returncode = os.waitstatus_to_exitcode(status)
    memory.end()
    assert run.returncode == 0, said.decode()
    settled = 0.0
    if settling:
        os.sync()
        settled = time.monotonic() - started
    return Cost(wall, used.ru_utime + used.ru_stime, memory.anonymous, memory.resident, settled)


class _Memory:
    """Looks at a process until it is told to end. The kernel keeps the peak of all that is held,
    but not of what is anonymous."""

    def __init__(self, pid: int) -> None:
        self.file = Path(f"/proc/{pid}/status")
        self.anonymous = self.resident = 0
        self.over = Event()
        self.thread = Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.over.wait(PAUSE):
            try:
                found = {
                    name: int(kb) * 1024 for name, kb in FIGURES.findall(self.file.read_bytes())
                }
            except OSError:  # it has ended
                return
            self.anonymous = max(self.anonymous, found.get(b"RssAnon", 0))
            self.resident = max(self.resident, found.get(b"VmHWM", 0))

    def end(self) -> None:
        self.over.set()
        self.thread.join()


def python(text: str) -> list[str]:
    """The words that run some Python."""
    return [sys.executable, "-c", text]
