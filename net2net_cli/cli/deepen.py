"""``net2net deepen``: one insertion."""

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
from net2net_cli.cli.values import parse_count
from net2net_cli.report import Outcome


def deepen(
    checkpoint: Checkpoint,
    after: Annotated[
        str,
        Option("--after", metavar="NAME", help="The layer to insert behind.", rich_help_panel=WHAT),
    ],
    growth: Growth,
    writing: Writing,
    checking: Checking,
    state: State,
    common: Common,
    name: Annotated[
        str | None,
        Option("--name", metavar="NEW", help="What to call the new layer.", rich_help_panel=WHAT),
    ] = None,
    count: Annotated[
        int,
        Option(
            "--count",
            metavar="K",
            parser=parse_count,
            help="How many layers.",
            rich_help_panel=WHAT,
        ),
    ] = 1,
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
    expect_teacher: ExpectTeacher = None,
) -> Outcome:
    """Insert layers that compute the identity where they stand."""
    from net2net_cli import api
    from net2net_cli.cli.carry_out import carry_out, choices_of, choose_output

    model = api.open_model(checkpoint, source_spec, family_file)
    api.expect_teacher(model, expect_teacher)
    output = choose_output(model, writing, common, "deepened")
    choices, calibrated = choices_of(growth, writing.dtype), growth.calibrate is not None
    plan = api.deepen_plan(model, after, name, count, choices, calibrated=calibrated)
    return carry_out(
        "deepen", plan, model, output, writing, checking, common, growth.calibrate, state
    )
