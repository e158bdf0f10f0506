"""``net2net inspect``: what a checkpoint holds, and what its widths may do."""

from __future__ import annotations

from net2net_cli.cli.options import (
    Checkpoint,
    Common,
    FamilyFile,
    ProbeData,
    SourceSpec,
    Train,
)
from net2net_cli.report import Outcome


def inspect(
    checkpoint: Checkpoint,
    common: Common,
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
    train: Train = False,
    probe_data: ProbeData = None,
) -> Outcome:
    """Show layers, widths, parameters, dtype, size and provenance.

    With -v all names are listed, and the digest of the whole content is taken. With --train, what
    cannot learn is looked for: weights without a gradient, copies that cannot part, gains of zero.
    """
    from net2net_cli import api
    from net2net_cli.cli.parts import checkpoint_part, family_part, remarks

    model = api.open_model(checkpoint, source_spec, family_file)
    digest = model.source.digest() if common.verbose else None
    learning = api.trainability(model, probe_data) if train else None
    return Outcome(
        "inspect",
        diagnostics=remarks(model.notes, learning.notes if learning else ()),
        teacher=checkpoint_part(model, digest),
        inspected=model.layout,
        family=family_part(model),
        training=learning.findings if learning else None,
    )
