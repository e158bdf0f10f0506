"""``net2net export``: a checkpoint's network as plain Python."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from typer import Option

from net2net_cli.cli.options import OUT, Checkpoint, FamilyFile, Output, Overwrite, SourceSpec
from net2net_cli.report import Outcome


def export(
    checkpoint: Checkpoint,
    output: Output = None,
    overwrite: Overwrite = False,
    class_name: Annotated[
        str,
        Option(
            "--class-name",
            metavar="NAME",
            help="What the network's class is called.",
            show_default=True,
            rich_help_panel=OUT,
        ),
    ] = "Network",
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
) -> Outcome:
    """Write the network as a Python file that needs nothing but torch."""
    from net2net_cli import api
    from net2net_cli.cli.files import write_text_file
    from net2net_cli.cli.parts import checkpoint_part, remarks
    from net2net_cli.cli.paths import STREAM

    model = api.open_model(checkpoint, source_spec, family_file)
    text = api.exported(model, class_name)
    outcome = Outcome(
        "export", diagnostics=remarks(model.notes), teacher=checkpoint_part(model), code=text
    )
    if output in (None, STREAM):
        return outcome
    written = write_text_file(output, text, overwrite=overwrite, sources=model.source.files)
    return replace(outcome, written=written)
