"""``net2net spec``: a checkpoint's spec as YAML."""

from __future__ import annotations

from dataclasses import replace

from net2net_cli.cli.options import Checkpoint, FamilyFile, Output, Overwrite, SourceSpec
from net2net_cli.report import Outcome


def spec(
    checkpoint: Checkpoint,
    output: Output = None,
    overwrite: Overwrite = False,
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
) -> Outcome:
    """Write the checkpoint's spec as YAML, ready to edit."""
    from net2net_cli import api
    from net2net_cli.cli.files import write_text_file
    from net2net_cli.cli.parts import checkpoint_part, remarks
    from net2net_cli.cli.paths import STREAM

    model = api.open_model(checkpoint, source_spec, family_file)
    text = model.text
    outcome = Outcome(
        "spec", diagnostics=remarks(model.notes), teacher=checkpoint_part(model), spec=text
    )
    if output in (None, STREAM):
        return outcome
    written = write_text_file(output, text, overwrite=overwrite, sources=model.source.files)
    return replace(outcome, written=written)
