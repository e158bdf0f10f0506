"""What is told of a run's progress: one bar for people, a line now and then for logs."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest

from net2net_cli.cli.progress import (
    Bar,
    Steps,
    bars_on,
    clock_time,
    duration,
    progress,
    share_of,
    speed,
)
from net2net_cli.console import ASCII_SYMBOLS, Screen, _console
from tests.cli.test_console import on_terminal
from tests.support.command import Net2Net, environment, process


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(StringIO):
    """Text that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def screen_on(stream: StringIO, monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False) -> Screen:
    for name in ("CI", "NO_COLOR", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    console = _console(stream, no_color=False)
    return Screen(console, console, ASCII_SYMBOLS, quiet=quiet)


STEPS = [(0, 10), (0.5, 900), (2, 2_000), (3, 2_100), (6, 2_640), (7, 3_300), (11, 3_390)]
"""Seconds since the beginning, and MB done of 3400."""


def run(stream: StringIO, monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False) -> str:
    clock = Clock()
    with progress(screen_on(stream, monkeypatch, quiet=quiet), clock) as step:
        for at, done in STEPS:
            clock.now = 100 + at
            step("growing", done * 10**6, 3_400 * 10**6)
        step("probing", 0, 0)
        clock.now += 60
        step("probing", 1, 0)
    return stream.getvalue()


def test_a_log_gets_a_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(StringIO(), monkeypatch).splitlines() == [
        "growing: 2.6 of 3.4 GB, 438 MB/s, 2 s left",
        "growing: 3.4 of 3.4 GB, 307 MB/s",
        "probing",
    ]


def test_a_short_run_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, clock = StringIO(), Clock()
    with progress(screen_on(stream, monkeypatch), clock) as step:
        for done in range(5):
            clock.now += 0.9
            step("growing", done, 4)
        step("probing", 0, 0)
    assert stream.getvalue() == ""


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(StringIO(), monkeypatch, quiet=True) == ""
    assert run(Terminal(), monkeypatch, quiet=True) == ""


def test_a_terminal_gets_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = screen_on(Terminal(), monkeypatch), Clock()
    bars = bars_on(screen, clock)
    steps = Steps(Bar(bars), 0.1, clock)
    shown = []

    def look() -> None:
        with screen.err.capture() as captured:
            screen.err.print(bars.get_renderable())
        shown.append(re.sub(r"\x1b\[[0-9;]*m", "", captured.get()))

    for at, done in [(0, 0), (0.05, 10), (3, 1_230)]:
        clock.now = 100 + at
        steps("growing", done * 10**6, 3_400 * 10**6)
        look()
    steps("probing", 0, 0)
    look()
    full, half = "━" * 40, "━" * 14 + "╺" + "━" * 25
    assert shown == [
        f"growing {full} 0.0/3.4 GB\n",
        f"growing {full} 0.0/3.4 GB\n",  # too soon after the one before
        f"growing {half} 1.2/3.4 GB  410 MB/s  0:00:05\n",
        f"probing {full}  \n",
    ]


def test_steps_from_many_threads_are_shown_a_few_times_only() -> None:
    shown: list[int] = []

    class Counting:
        def begin(self, what: str, total: int) -> bool:
            return True

        def show(self, done: int, total: int, rate: float) -> None:
            shown.append(done)

    clock = Clock()
    steps = Steps(Counting(), 0.1, clock)
    with ThreadPoolExecutor(4) as pool:
        for done in range(1000):
            pool.submit(steps, "growing", done, 1000)
    assert len(shown) == 1
    clock.now += 1
    steps("growing", 1000, 1000)
    assert shown[1:] == [1000]


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (share_of(0, 999, "/"), "0/999 B"),
        (share_of(1_234, 5_600, " of "), "1.2 of 5.6 kB"),
        (share_of(810 * 10**9, 12 * 10**11, "/"), "0.8/1.2 TB"),
        (speed(0.5), []),
        (speed(1_440_000_000.0), ["1.4 GB/s"]),
        (speed(410_400_000.0), ["410 MB/s"]),
        (duration(5), "5 s"),
        (duration(200), "3 min 20 s"),
        (duration(7_500), "2 h 5 min"),
        (clock_time(5), "0:00:05"),
        (clock_time(36_061), "10:01:01"),
    ],
)
def test_numbers_are_told_in_their_unit(told: object, text: object) -> None:
    assert told == text


@pytest.mark.usefixtures("ckpt")
def test_no_bar_moves_where_colours_are_off() -> None:
    arguments = ["widen", "ckpt", "--layer", "fc1", "--to", "20", "--overwrite"]
    assert "\x1b[?25l" in on_terminal(*arguments)  # the cursor is hidden while a bar moves
    for env in ({"CI": "true"}, {"TERM": "dumb"}):
        assert "\x1b[?25l" not in on_terminal(*arguments, **env)
    assert b"\x1b" not in process(*arguments, env=environment()).stderr


@pytest.mark.usefixtures("ckpt")
def test_probes_show_how_far_they_are() -> None:
    shown = on_terminal("verify", "ckpt", "ckpt")
    assert "probing" in shown
    assert "looking for NaN" in shown


@pytest.mark.usefixtures("ckpt")
def test_workers_change_no_byte(net2net: Net2Net, folder: Path) -> None:
    grow = ["grow", "ckpt", "--set", "fc1.out_features=23", "--set", "fc2.out_features=9"]
    for n in (1, 4):
        student, back = f"{n}.safetensors", f"{n}.back.safetensors"
        net2net(*grow, "--expansion", "duplicate", "--workers", n, "-o", student)
        net2net("shrink", student, "--workers", n, "-o", back)
    for name in ("{}.safetensors", "{}.back.safetensors"):
        one, four = (folder / name.format(n) for n in (1, 4))
        assert one.read_bytes() == four.read_bytes()
