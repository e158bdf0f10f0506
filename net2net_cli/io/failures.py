"""Errors of the operating system as errors of ours, and names made fit for a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from net2net_cli.errors import Net2NetError


def shown(name: str | Path) -> str:
    """The name with every character that a terminal cannot print escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in str(name)
    )


def is_unicode(text: str) -> bool:
    """False for half of a surrogate pair, which JSON and pickles can spell but no UTF-8 file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def reported(kind: type[Net2NetError], doing: str, path: str | Path) -> Iterator[None]:
    """Turns an OSError into a ``kind``: "cannot read `x.pt`: Permission denied".

    A closed pipe stays BrokenPipeError: it is not a failure, and has an exit code of its own.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise kind(f"cannot {doing} `{shown(path)}`: {reason}") from error
