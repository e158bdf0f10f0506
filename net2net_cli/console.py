r"""The only place that makes rich Consoles: it knows what the terminal can show.

Results go to standard output, everything else to standard error. Colours and moving bars are for a
terminal with a person before it: never under ``NO_COLOR``, ``CI``, ``--no-color``, or in a pipe,
and nothing is cut to a width that nobody sees. Names come from files, so that whatever could steer
a terminal is shown as its escape (``\x1b``).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNSEEN_WIDTH = 100_000
"""Columns where no terminal bounds them: more than any table needs."""

Cell = str | Text
Step = Callable[[str, int, int], None]
"""Told of progress: what is being done, how many bytes of it are, of how many (0: unknown)."""


@dataclass(frozen=True)
class Symbols:
    """The few signs beyond ASCII, or what stands for them."""

    arrow: str = "→"
    times: str = "×"
    minus: str = "−"


ASCII_SYMBOLS = Symbols(arrow="->", times="x", minus="-")


@dataclass(frozen=True)
class Screen:
    """Where a run prints: ``out`` for its results, ``err`` for all that is said beside them."""

    out: Console
    err: Console
    symbols: Symbols
    quiet: bool = False
    verbose: bool = False


def open_screen(*, no_color: bool = False, quiet: bool = False, verbose: bool = False) -> Screen:
    """The two consoles of this process, as its streams and environment allow."""
    out = _console(sys.stdout or _nowhere(), no_color=no_color)
    err = _console(sys.stderr or _nowhere(), no_color=no_color)
    both = {out.encoding, err.encoding}
    plain = any(not name.lower().startswith("utf") for name in both)
    return Screen(out, err, ASCII_SYMBOLS if plain else Symbols(), quiet, verbose)


def escape(text: str) -> str:
    """Text with all that is not printable written as its escape, line ends included."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(console: Console, line: Cell) -> None:
    """One line, never wrapped and never cut."""
    text = line if isinstance(line, Text) else Text(escape(line))
    console.print(text, soft_wrap=True)


def write_text(text: str) -> None:
    """A whole document on standard output, as it is."""
    if sys.stdout is not None:
        sys.stdout.write(text)


_MARK = re.compile(r"(error|warning|note|hint):|  -->")
_MARK_STYLES = {
    "error:": "bold red",
    "warning:": "bold yellow",
    "note:": "bold",
    "hint:": "bold cyan",
    "  -->": "bold blue",
}


def say_marked(console: Console, lines: Sequence[str]) -> None:
    """The lines of an error or a warning, their first words in its colour."""
    for line in lines:
        text = Text(escape(line))
        if mark := _MARK.match(text.plain):
            text.stylize(_MARK_STYLES[mark.group()], 0, mark.end())
        say(console, text)


def say_traceback(console: Console, error: BaseException) -> None:
    """A traceback, the names in it escaped like all others."""
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        say(console, line)


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], right: Sequence[str] = ()) -> Table:
    """A table without lines; columns named in ``right`` are set flush right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(escape(cell)) for cell in row))
    return made


def say_table(console: Console, made: Table) -> None:
    """A table, without the blanks that would fill up its last column."""
    with console.capture() as captured:
        console.print(made)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


class _Console(Console):
    """A closed pipe ends the run in cli.main, which knows the exit code; rich would take 1."""

    def on_broken_pipe(self) -> None:
        """Pass it on."""
        raise BrokenPipeError


def _nowhere() -> TextIO:
    """For a process that was started with a stream closed."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _console(stream: TextIO, *, no_color: bool) -> Console:
    if isinstance(stream, TextIOWrapper):
        with suppress(OSError):  # of a full disk, which refused what is written now once more
            stream.reconfigure(errors="backslashreplace")  # a name may hold what the locale has not
    lively = _lively(stream, os.environ) and not no_color
    watched = stream.isatty() and not _set(os.environ, "CI")
    return _Console(
        file=stream,
        force_terminal=lively,
        force_interactive=lively,
        color_system="auto" if lively else None,
        no_color=not lively,
        width=None if watched else UNSEEN_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def _lively(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a person watches this stream and wants colours and moving bars."""
    quiet = any(_set(environ, name) for name in ("NO_COLOR", "CI", "GITHUB_ACTIONS"))
    return stream.isatty() and not quiet and environ.get("TERM") not in ("dumb", "unknown")


def _set(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "")
    return bool(value) and (name == "NO_COLOR" or value.lower() not in ("0", "false"))
