"""The time and the memory that one run in this process takes, and the end of those that take more.

A loaded machine must not look like a hang: what counts is the processor's time, of all threads.
What waits for something else than a processor has six times as long: Linux keeps in
/proc/self/schedstat for how long the process was ready to run and others were on the processors.
What runs in C and hears no signal is ended with the whole process.
"""

from __future__ import annotations

import faulthandler
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SECONDS, MEMORY = 10.0, 2**30
ASLEEP, BY_THE_CLOCK = 60.0, 600.0
"""For how long a run may wait for files, and how long it may take in all."""

_SCHEDULED, _STATUS, _PEAK = (Path("/proc/self", n) for n in ("schedstat", "status", "clear_refs"))


class TooSlowError(BaseException):
    """Nothing in a run may catch it as an error of its own."""


class Clock:
    """The processor's seconds since it was made, and those by the clock in which the process
    waited for none."""

    def __init__(self) -> None:
        self._began, self._queued, self._used = time.monotonic(), _queued(), time.process_time()

    @property
    def seconds(self) -> float:
        """Of the processor."""
        return time.process_time() - self._used

    @property
    def unqueued(self) -> float:
        """By the clock, less what others had the processors for."""
        return time.monotonic() - self._began - (_queued() - self._queued)


def _queued() -> float:
    """Seconds for which this process was ready, but not running; 0 where that is not kept."""
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


@contextmanager
def limited(clock: Clock) -> Iterator[None]:
    """Raise TooSlowError in what takes longer; end the process where it does not hear that."""

    def look(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGPROF or clock.unqueued >= ASLEEP:
            raise TooSlowError

    before = {number: signal.signal(number, look) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, ASLEEP, 1)
    faulthandler.dump_traceback_later(BY_THE_CLOCK, exit=True)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        faulthandler.cancel_dump_traceback_later()


def forget_peak() -> None:
    """From here on ``peak`` is that of what follows."""
    _PEAK.write_text("5")


def peak() -> int:
    """The most memory that the process had at once, in bytes."""
    line = next(n for n in _STATUS.read_text().splitlines() if n.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
