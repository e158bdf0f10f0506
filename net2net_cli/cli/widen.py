"""``net2net widen``: one width."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from net2net_cli.cli.options import (
    WHAT,
    Checking,
    Checkpoint,
    Common,
    ExpectTeacher,
    FamilyFile,
    Growth,
    SourceSpec,
    State,
    Writing,
)
from net2net_cli.report import Outcome


def widen(
    checkpoint: Checkpoint,
    layer: Annotated[
        str,
        Option("--layer", metavar="NAME", help="Any layer of the width.", rich_help_panel=WHAT),
    ],
    to: Annotated[
        int,
        Option("--to", metavar="N", help="How wide it becomes.", rich_help_panel=WHAT),
    ],
    growth: Growth,
    writing: Writing,
    checking: Checking,
    state: State,
    common: Common,
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
    expect_teacher: ExpectTeacher = None,
) -> Outcome:
    """Grow one width, with every layer that shares it."""
    from net2net_cli import api
    from net2net_cli.cli.carry_out import carry_out, choices_of, choose_output

    model = api.open_model(checkpoint, source_spec, family_file)
    api.expect_teacher(model, expect_teacher)
    output = choose_output(model, writing, common, "widened")
    choices, calibrated = choices_of(growth, writing.dtype), growth.calibrate is not None
    plan = api.widen_plan(model, layer, to, choices, calibrated=calibrated)
    return carry_out(
        "widen", plan, model, output, writing, checking, common, growth.calibrate, state
    )
