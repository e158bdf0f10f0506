"""``net2net verify``: probes two checkpoints and compares what they compute."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from net2net_cli.cli.options import (
    CHECK,
    WHAT,
    Common,
    Device,
    FamilyFile,
    Overwrite,
    Probing,
    ReportFile,
    SourceSpec,
)
from net2net_cli.report import Outcome


def verify(
    teacher: Annotated[str, Argument(metavar="TEACHER", help="A checkpoint, or -.")],
    student: Annotated[str, Argument(metavar="STUDENT", help="What should compute the same.")],
    probing: Probing,
    source_spec: SourceSpec = None,
    family_file: FamilyFile = None,
    spec: Annotated[
        str | None,
        Option(
            "--spec",
            metavar="FILE",
            help="The student's own spec, if it is not found.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    seed: Annotated[
        int,
        Option(
            "--seed",
            metavar="N",
            help="Seeds the probes.",
            show_default=True,
            rich_help_panel=CHECK,
        ),
    ] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    report: ReportFile = None,
    *,
    common: Common,
) -> Outcome:
    """Compare what two checkpoints compute, on the same inputs."""
    from net2net_cli import api
    from net2net_cli.cli import ranks
    from net2net_cli.cli.carry_out import heeding_signals, probe_options
    from net2net_cli.cli.files import check_report, write_report
    from net2net_cli.cli.parts import checkpoint_part, remarks, told
    from net2net_cli.cli.progress import progress
    from net2net_cli.errors import UsageError
    from net2net_cli.report import from_error
    from net2net_cli.verification import failure

    check_report(report, overwrite=overwrite, drawn=False)
    models = (
        api.open_model(teacher, source_spec, family_file),
        api.open_model(student, spec, family_file),
    )
    with progress(common.screen()) as step:
        options = probe_options(probing, device, seed)
        found = api.verify(*models, options, ranks.team(), heeding_signals(step))
    failed = tuple(from_error(failure(judged)) for judged in found.probes if not judged.passed)
    if found.skipped:  # a judge that saw nothing has not judged
        failed = (from_error(UsageError("nothing was compared", hint=found.skipped)),)
    outcome = Outcome(
        "verify",
        2 if found.skipped else 0 if found.passed else 4,
        (*remarks(models[0].notes, models[1].notes), *told(found), *failed),
        checkpoint_part(models[0]),
        checkpoint_part(models[1]),
        verification=found,
    )
    write_report(outcome, report, overwrite=overwrite)
    return outcome
