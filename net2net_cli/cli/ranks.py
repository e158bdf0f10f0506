"""The command as one of several processes that torchrun has started: one of them speaks.

Commands that write or probe checkpoints are carried out by all, everything else by the first
process alone. Either way the others print nothing, and all end with the first one's exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from net2net_cli.io.team import Joined, Team

TOGETHER = ("apply", "deepen", "grow", "shrink", "verify", "widen")
ALONE = ("--dry-run", "--help", "-h", "-")
"""With one of these, the first process does it alone: no others can read standard input, or write
to standard output."""

CLOSED_PIPE = 141

_led: ContextVar[bool] = ContextVar("led", default=False)
"""Whether the others leave the command to this process."""

_hushed: list[tuple[TextIO, TextIO]] = []


def in_team() -> bool:
    """Whether this process is one of several; of one that is not, nothing needs to be imported."""
    if "WORLD_SIZE" not in os.environ:
        return False
    from net2net_cli.io import team

    return team.in_team()


def team() -> Team:
    """Those who carry the command out together."""
    from net2net_cli.io.team import Team

    return _joined() if in_team() and not _led.get() else Team()


@cache
def _joined() -> Joined:
    from net2net_cli.io.team import join

    return join()


def hush() -> None:
    """Print nothing from here on, where another process speaks."""
    if not in_team():
        return
    from net2net_cli.io.team import first

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its sockets warn of every death
    if not first():
        _hush()


def _hush() -> None:
    _hushed.append((sys.stdout, sys.stderr))
    sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def carried_out(arguments: Sequence[str], work: Callable[[], int]) -> int:
    """The exit code of ``work``, which all processes do, or the first one for all."""
    if not in_team():
        return work()
    from net2net_cli import __version__
    from net2net_cli.io.joint import require_alike

    require_alike(_joined(), repr((__version__, arguments)))
    if arguments and arguments[0] in TOGETHER and not set(ALONE) & set(arguments):
        return work()

    def heard() -> int:
        _led.set(True)
        try:
            return work()
        except SystemExit as end:
            if end.code == CLOSED_PIPE:
                raise BrokenPipeError from end
            raise

    return _joined().lead(heard)


def agreed(error: Exception) -> Exception:
    """What to tell where a process failed: the error of the lowest rank that has one."""
    if not in_team():
        return error
    from net2net_cli.io.team import LostError

    try:
        if not isinstance(error, LostError) and not _joined().failed:
            _joined().together(lambda: _raise(error))
    except Exception as found:  # noqa: BLE001
        error = found
    if isinstance(error, LostError) and _is_there():
        if not _joined().speaks():
            _hush()
        elif _hushed:
            sys.stdout, sys.stderr = _hushed[0]
    return error


def _raise(error: Exception) -> NoReturn:
    raise error


def _is_there() -> bool:
    return _joined.cache_info().currsize > 0


def leave(code: int) -> int:
    """The exit code, which is the first process' once it has said all; among several processes,
    the end of this one: what still waits for others must not hold it."""
    if not in_team():
        return code
    signalled = code > 128 and code != CLOSED_PIPE
    if _is_there() and not signalled:
        with suppress(Exception):
            code = _joined().lead(lambda: code)
    sys.stderr.flush()
    os._exit(code)
