"""Small text files that commands write beside checkpoints: specs, plans, reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from net2net_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from net2net_cli.report import Outcome


def write_text_file(
    output: str, text: str, *, overwrite: bool = False, sources: Sequence[Path] = ()
) -> Path:
    """Write a text whole or not at all, under the rules that hold for checkpoints."""
    from net2net_cli.io.failures import reported
    from net2net_cli.io.target import check_output
    from net2net_cli.io.temporary import publish, temporary

    target = check_output(output, sources, overwrite=overwrite, folders=False).file
    assert target is not None, "`-` is printed, not written"
    with temporary(target) as (temp, descriptor), reported(OutputError, "write", output):
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stream:
            stream.write(text)
        os.fsync(descriptor)
        publish(temp, target, overwrite=overwrite)
    return Path(output)


def check_report(
    path: Path | None, *, overwrite: bool, sources: Sequence[Path] = (), drawn: bool = True
) -> None:
    """Refuse a report that cannot be written, before any work starts.

    ``drawn`` says whether the command has a network to draw.
    """
    from net2net_cli.io.target import check_output
    from net2net_cli.report import REPORT_ENDINGS

    if path is None:
        return
    if path.suffix.lower() not in REPORT_ENDINGS:
        raise UsageError(
            f"`{path}` is no name for a report: its ending tells its form",
            hint=f"the endings are {', '.join(REPORT_ENDINGS)}",
        )
    if path.suffix.lower() == ".svg" and not drawn:
        raise UsageError(
            "there is no network to draw here", hint="the other endings are .html, .md and .json"
        )
    check_output(str(path), sources, overwrite=overwrite)


def write_report(outcome: Outcome, path: Path | None, *, overwrite: bool) -> None:
    """Write the report that ``--report`` asks for."""
    from net2net_cli.io.team import first
    from net2net_cli.report import render

    if path is not None and first():
        write_text_file(str(path), render(outcome, path.suffix.lower()), overwrite=overwrite)
