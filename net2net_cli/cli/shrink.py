"""``net2net shrink``: the teacher again, out of a student."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from net2net_cli.cli.options import (
    Common,
    MaxShardSize,
    Output,
    Overwrite,
    ReportFile,
    Workers,
    Writing,
)
from net2net_cli.report import Outcome


def shrink(
    student: Annotated[
        str, Argument(metavar="STUDENT", help="What net2net has written.", show_default=False)
    ],
    *,
    output: Output = None,
    overwrite: Overwrite = False,
    report: ReportFile = None,
    max_shard_size: MaxShardSize = None,
    workers: Workers = None,
    common: Common,
) -> Outcome:
    """Make the teacher again out of its student.

    By the plan in the student's metadata; byte for byte, but for weights that growth scaled or
    --dtype rounded. Of a student that was trained since, the first of all copies is taken, and what
    copies share is added up.
    """
    from net2net_cli import api
    from net2net_cli.cli import ranks
    from net2net_cli.cli.carry_out import choose_output, heeding_signals
    from net2net_cli.cli.files import check_report, write_report
    from net2net_cli.cli.parts import checkpoint_part, remarks, shrunk_part
    from net2net_cli.cli.paths import STREAM
    from net2net_cli.cli.progress import progress

    opened = api.open_student(student)
    model = opened.model
    writing = Writing(output, overwrite, report=report, max_shard_size=max_shard_size)
    check_report(report, overwrite=overwrite, sources=model.source.files, drawn=False)
    chosen = choose_output(model, writing, common, "shrunk")
    with progress(common.screen()) as step:
        options = api.WriteOptions(
            overwrite, max_shard_size, workers or api.WORKERS, heeding_signals(step), ranks.team()
        )
        found = api.shrink(opened, chosen, options)
    outcome = Outcome(
        "shrink",
        diagnostics=remarks(found.notes),
        teacher=shrunk_part(found),
        student=checkpoint_part(model),
        shrunk=found,
        seconds=found.seconds,
        text_to="stderr" if chosen == STREAM else "stdout",
    )
    write_report(outcome, report, overwrite=overwrite)
    return outcome
