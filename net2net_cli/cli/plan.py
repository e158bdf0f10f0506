"""``net2net plan``: the operations, what each costs and touches; writes nothing else."""

from __future__ import annotations

from net2net_cli.cli.options import (
    Dtype,
    ExitCode,
    ExpectTeacher,
    FamilyFile,
    OptionalCheckpoint,
    Output,
    Overwrite,
    Placing,
    ReportFile,
    SourceSpec,
    Target,
)
from net2net_cli.report import Outcome


def plan(
    target: Target,
    growth: Placing,
    checkpoint: OptionalCheckpoint = None,
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
    expect_teacher: ExpectTeacher = None,
    dtype: Dtype = None,
    output: Output = None,
    overwrite: Overwrite = False,
    report: ReportFile = None,
    exit_code: ExitCode = False,
) -> Outcome:
    """Show what growing would do; -o saves the plan."""
    from net2net_cli import api
    from net2net_cli.calibration import idle
    from net2net_cli.cli.carry_out import check_target, choices_of
    from net2net_cli.cli.files import check_report, write_report, write_text_file
    from net2net_cli.cli.parts import checkpoint_part, family_part, remarks, warnings
    from net2net_cli.cli.paths import checkpoint_of
    from net2net_cli.cli.values import parse_settings
    from net2net_cli.plan import to_json

    check_target(target)
    check_report(report, overwrite=overwrite)
    model = api.open_model(checkpoint_of(checkpoint, target.spec), source_spec, family_file)
    api.expect_teacher(model, expect_teacher)
    settings = parse_settings(target.settings or [])
    made = api.make_plan(
        model,
        target.spec,
        settings,
        choices_of(growth, dtype),
        calibrated=growth.calibrate is not None,
        width=target.width,
        depth=target.depth or (),
    )
    written = None
    if output is not None:
        written = write_text_file(
            output, to_json(made), overwrite=overwrite, sources=model.source.files
        )
    outcome = Outcome(
        "plan",
        5 if exit_code and made.changes else 0,
        (
            *warnings(made.warnings, idle(made, growth.calibrate, "--calibrate")),
            *remarks(model.notes, made.notes),
        ),
        checkpoint_part(model),
        family=family_part(model),
        plan=made,
        written=written,
    )
    write_report(outcome, report, overwrite=overwrite)
    return outcome
