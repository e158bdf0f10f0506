"""``net2net diff``: what differs between two specs or checkpoints."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from net2net_cli.cli.options import ExitCode
from net2net_cli.report import Outcome


def diff(
    before: Annotated[str, Argument(metavar="A", help="A checkpoint, or a spec (.yaml).")],
    after: Annotated[str, Argument(metavar="B", help="Another; it may extend A.")],
    exit_code: ExitCode = False,
) -> Outcome:
    """Show what differs between two specs or checkpoints."""
    from net2net_cli import api

    found = api.differences(before, after)
    return Outcome("diff", 5 if exit_code and found else 0, differences=found)
