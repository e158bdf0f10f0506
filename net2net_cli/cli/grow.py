"""``net2net grow``: plan, apply, verify."""

from __future__ import annotations

from net2net_cli.cli.options import (
    Checking,
    Common,
    ExpectTeacher,
    FamilyFile,
    OptionalCheckpoint,
    Placing,
    SourceSpec,
    State,
    Target,
    Writing,
)
from net2net_cli.report import Outcome


def grow(
    target: Target,
    growth: Placing,
    writing: Writing,
    checking: Checking,
    state: State,
    common: Common,
    checkpoint: OptionalCheckpoint = None,
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
    expect_teacher: ExpectTeacher = None,
) -> Outcome:
    """Grow a checkpoint into a bigger network: plan, apply, verify."""
    from net2net_cli import api
    from net2net_cli.cli.carry_out import carry_out, check_target, choices_of, choose_output
    from net2net_cli.cli.paths import checkpoint_of
    from net2net_cli.cli.values import parse_settings

    check_target(target)
    model = api.open_model(checkpoint_of(checkpoint, target.spec), source_spec, family_file)
    api.expect_teacher(model, expect_teacher)
    output = choose_output(model, writing, common, "grown", target.spec)
    settings = parse_settings(target.settings or [])
    plan = api.make_plan(
        model,
        target.spec,
        settings,
        choices_of(growth, writing.dtype),
        calibrated=growth.calibrate is not None,
        width=target.width,
        depth=target.depth or (),
    )
    return carry_out(
        "grow", plan, model, output, writing, checking, common, growth.calibrate, state
    )
