"""Where the command line starts: every way that a run can end, and its exit code.

``--version`` is answered before anything is imported; the commands import what they need when they
are called.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from net2net_cli import __version__

if TYPE_CHECKING:
    from net2net_cli.cli.options import Common
    from net2net_cli.report import Outcome

CLOSED_PIPE = 141


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; the console script's entry."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        return _version()
    from net2net_cli.cli import ranks
    from net2net_cli.cli.signals import ending_cleanly

    # Python, as it ends, looks for garbage among all that torch is made of: a third of a second.
    atexit.register(gc.freeze)
    ranks.hush()
    try:
        with ending_cleanly():
            code = _attempt(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        code = CLOSED_PIPE
    _close_output()
    return ranks.leave(code)


def _version() -> int:
    code = 0
    try:
        if sys.stdout is not None:
            sys.stdout.write(f"net2net {__version__}\n")
            sys.stdout.flush()
    except BrokenPipeError:
        code = CLOSED_PIPE
    except OSError as error:
        from net2net_cli.cli.options import glance

        code = _fail(error, [], glance([]))
    _close_output()
    return code


def _attempt(arguments: list[str]) -> int:
    """Parse and carry out; whatever fails is told in the form that was asked for."""
    from net2net_cli.cli import ranks
    from net2net_cli.cli.options import glance

    try:
        return ranks.carried_out(arguments, lambda: _shown(arguments))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001
        try:
            return _fail(ranks.agreed(error), arguments, glance(arguments))
        except MemoryError:  # even for the words
            os.write(2, b"error: the memory is used up\n")
            return 2


def _shown(arguments: list[str]) -> int:
    from net2net_cli.cli.app import app
    from net2net_cli.report import show

    found = app(arguments or ["--help"], prog_name="net2net", standalone_mode=False)
    if not isinstance(found, tuple):  # help was asked for, or is all that can be offered
        return 0 if arguments else 2
    outcome: Outcome = found[0]
    common: Common = found[1]
    show(outcome, common.form, common.screen())
    if sys.stdout is not None:
        sys.stdout.flush()
    return outcome.exit_code


def _fail(error: Exception, arguments: Sequence[str], common: Common) -> int:
    """Tell what went wrong; JSON, where asked for, comes with the lines on standard error."""
    from net2net_cli.cli.failures import explain
    from net2net_cli.console import say_traceback
    from net2net_cli.report import Outcome, show

    failure, screen = explain(error), common.screen()
    if failure.defect or common.debug:
        say_traceback(screen.err, error)
    command = arguments[0] if arguments else ""
    outcome = Outcome(command, failure.exit_code, (failure.diagnostic,))
    try:
        show(outcome, common.form, screen)
    except OSError as stopped:  # the disk that was full is full still; the lines came first
        if isinstance(stopped, BrokenPipeError):
            raise
    return failure.exit_code


def _close_output() -> None:
    """What cannot be written any more must not raise when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
