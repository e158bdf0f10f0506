"""The time and the memory that one run in this process takes, and the end of those that take more.

A loaded machine must not look like a hang: what counts is the time since the start less the time
in which the process was ready to run and others were on the processors, which Linux keeps in
/proc/self/schedstat. Where it does not, the processor's time counts, and six times as much by the
clock. What runs in C and hears no signal is ended with the whole process.
"""

from __future__ import annotations

import faulthandler
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

SECONDS, MEMORY = 10.0, 2**30
PATIENCE = 30
"""How many times as long the process may take by the clock, whatever else runs."""

_SCHEDULED, _STATUS, _PEAK = (Path("/proc/self", n) for n in ("schedstat", "status", "clear_refs"))


class TooSlowError(BaseException):
    """Nothing in a run may catch it as an error of its own."""


class Clock:
    """The seconds since it was made, less those of waiting for a processor."""

    def __init__(self) -> None:
        self._began, self._waited = time.monotonic(), _waited()
        self._used = time.process_time()

    @property
    def seconds(self) -> float:
        """What the process has had for itself."""
        by_the_clock = time.monotonic() - self._began
        if self._waited is None:
            return max(time.process_time() - self._used, by_the_clock / 6)
        return by_the_clock - ((_waited() or 0.0) - self._waited)


def _waited() -> float | None:
    """Seconds for which this process was ready, but not running."""
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return None


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[Clock]:
    """Raise TooSlowError in what takes longer; end the process where it does not hear that."""
    clock = Clock()

    def look(_number: int, _frame: FrameType | None) -> None:
        if clock.seconds >= seconds:
            _raise()

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    faulthandler.dump_traceback_later(PATIENCE * seconds, exit=True)
    try:
        yield clock
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _raise() -> NoReturn:
    raise TooSlowError


def forget_peak() -> None:
    """From here on ``peak`` is that of what follows."""
    _PEAK.write_text("5")


def peak() -> int:
    """The most memory that the process had at once, in bytes."""
    line = next(n for n in _STATUS.read_text().splitlines() if n.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
