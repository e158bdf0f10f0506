"""``net2net diff``: what differs between two specs or checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from net2net_cli.cli.options import ExitCode
from net2net_cli.report import Outcome

if TYPE_CHECKING:
    from net2net_cli.spec import Document


def diff(
    before: Annotated[str, Argument(metavar="A", help="A checkpoint, or a spec (.yaml).")],
    after: Annotated[str, Argument(metavar="B", help="Another; it may extend A.")],
    exit_code: ExitCode = False,
) -> Outcome:
    """Show what differs between two specs or checkpoints."""
    from net2net_cli import api
    from net2net_cli.laying import layout_of
    from net2net_cli.spec import to_spec

    old = _document(before, None)
    new = _document(after, old)
    found = api.differences(layout_of(to_spec(old)), layout_of(to_spec(new)))
    return Outcome("diff", 5 if exit_code and found else 0, differences=found)


def _document(name: str, base: Document | None) -> Document:
    """The network of a spec, or of a checkpoint."""
    from net2net_cli import api
    from net2net_cli.spec import read_document, resolve

    if name.endswith((".yaml", ".yml")):
        return resolve(read_document(Path(name)), base)
    return api.open_model(name).document
