"""How far a run is, told on standard error.

One moving bar where a person watches; where nobody does, a line now and then, so that short runs
say nothing. Steps come from several threads, and far more often than anything is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from net2net_cli.console import Screen, Step, escape, say

if TYPE_CHECKING:
    from rich.progress import Progress

Clock = Callable[[], float]

BLINK = 0.1
"""Seconds between two states of a bar."""

PAUSE = 5.0
"""Seconds between two lines, and before the first."""

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


@contextmanager
def progress(screen: Screen, clock: Clock = time.monotonic) -> Iterator[Step]:
    """Shows steps while the block runs: what is done, how many bytes of how many are (0 where
    nobody knows)."""
    if screen.quiet:
        yield lambda _what, _done, _total: None
    elif screen.err.is_terminal:
        with bars_on(screen, clock) as bars:
            yield Steps(Bar(bars), BLINK, clock)
    else:
        yield Steps(Lines(screen), PAUSE, clock)


class Shown(Protocol):
    """What shows the steps of one stage after another."""

    def begin(self, what: str, total: int) -> bool:
        """A new stage; gives whether it is shown at once."""

    def show(self, done: int, total: int, rate: float) -> None:
        """The stage's state; ``rate`` in bytes a second."""


class Steps:
    """Told of every step, it shows one every ``pause`` seconds."""

    def __init__(self, shown: Shown, pause: float, clock: Clock) -> None:
        self.shown, self.pause, self.clock = shown, pause, clock
        self.lock = Lock()
        self.what = ""
        self.began = self.last = 0.0
        self.first = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """A step of some thread."""
        with self.lock:
            now = self.clock()
            if what != self.what:
                self.what, self.began, self.last, self.first = what, now, now, done
                if not self.shown.begin(what, total):
                    return
            elif now - self.last < self.pause:
                return
            self.last = now
            spent = now - self.began
            self.shown.show(done, total, (done - self.first) / spent if spent else 0.0)


class Lines:
    """For logs: ``growing: 1.2 of 3.4 GB, 410 MB/s, 5 s left``."""

    def __init__(self, screen: Screen) -> None:
        self.console = screen.err
        self.what = ""
        self.said = False

    def begin(self, what: str, total: int) -> bool:
        """Said where the stage before took long enough to be told of."""
        self.what = what
        if self.said and not total:
            say(self.console, what)
        return False

    def show(self, done: int, total: int, rate: float) -> None:
        """One line."""
        if not total:
            return
        self.said = True
        parts = [f"{self.what}: {share_of(done, total, ' of ')}", *speed(rate)]
        if left := seconds_left(done, total, rate):
            parts.append(f"{duration(left)} left")
        say(self.console, ", ".join(parts))


class Bar:
    """For people: a bar, and ``1.2/3.4 GB  410 MB/s  0:00:05`` beside it."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.task = bars.add_task("", total=None, visible=False, figures="")

    def begin(self, what: str, total: int) -> bool:
        """The one bar begins anew."""
        self.bars.reset(
            self.task, description=escape(what), total=total or None, visible=True, figures=""
        )
        return True

    def show(self, done: int, total: int, rate: float) -> None:
        """Moves it."""
        figures = []
        if total:
            figures = [share_of(done, total, "/"), *speed(rate)]
            if left := seconds_left(done, total, rate):
                figures.append(clock_time(left))
        self.bars.update(self.task, completed=done, total=total or None, figures="  ".join(figures))


def bars_on(screen: Screen, clock: Clock) -> Progress:
    """Room for a bar, gone once the block ends."""
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=screen.err,
        transient=True,
        get_time=clock,
    )


def share_of(done: int, total: int, between: str) -> str:
    """Both in the unit of the larger: ``1.2/3.4 GB``."""
    size, unit = next(u for u in _UNITS if total >= u[0] or u[0] == 1)
    digits = 0 if size == 1 else 1
    return f"{done / size:.{digits}f}{between}{total / size:.{digits}f} {unit}"


def speed(rate: float) -> list[str]:
    """``410 MB/s``, ``1.4 GB/s``; nothing where nothing is done."""
    if rate < 1:
        return []
    size, unit = next(u for u in _UNITS if rate >= u[0])
    number = rate / size
    return [f"{number:.1f} {unit}/s" if number < 10 else f"{number:.0f} {unit}/s"]


def seconds_left(done: int, total: int, rate: float) -> int | None:
    """At this rate; None where none is known."""
    return round(max(total - done, 0) / rate) if rate >= 1 else None


def duration(seconds: int) -> str:
    """``5 s``, ``3 min 20 s``, ``2 h 5 min``."""
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def clock_time(seconds: int) -> str:
    """``0:00:05``."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
