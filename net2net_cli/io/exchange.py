"""How a finished folder gets its name, and what had the name before goes."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from net2net_cli.errors import OutputError
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.temporary import (
    exists_error,
    remove_folder,
    stale_temporaries,
    sync_folder,
    temporary_name,
)


def publish_folder(temp: Path, output: Path, *, overwrite: bool) -> None:
    """Gives the finished folder its name, for good; an empty folder of that name goes.

    With ``overwrite``, so does one with files in it: it keeps its content until the new one has the
    name, and gets its own back where that fails.
    """
    with reported(OutputError, "write", output):
        try:
            temp.rename(output)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                raise
            if error.errno == errno.ENOTDIR or not overwrite:
                raise exists_error(output) from error
            _exchange(temp, output)
        sync_folder(output.parent)
    stale_temporaries(output)  # a killed run's old one, which was all there was until now


def _exchange(temp: Path, output: Path) -> None:
    aside = temporary_name(output, "old")
    try:
        output.rename(aside)
        temp.rename(output)
        sync_folder(output.parent)  # the old one's content must not go before the new one's name
    except BaseException as error:
        if os.path.lexists(temp) and os.path.lexists(aside):
            _restore(aside, output, error)
        raise
    finally:
        if not os.path.lexists(temp):  # what cannot be removed now, the next run removes
            with suppress(OSError):
                remove_folder(aside)


def _restore(aside: Path, output: Path, error: BaseException) -> None:
    try:
        aside.rename(output)
    except OSError:
        raise OutputError(
            f"cannot write `{shown(output)}`", hint=f"what was there is now `{shown(aside)}`"
        ) from error
