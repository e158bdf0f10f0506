"""``net2net apply``: carries a saved plan out, on the checkpoint that it was made for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from net2net_cli.cli.options import (
    Calibrate,
    Checking,
    Checkpoint,
    Common,
    ExpectTeacher,
    State,
    Writing,
)
from net2net_cli.errors import PlanError
from net2net_cli.report import Outcome

if TYPE_CHECKING:
    from net2net_cli.api import Plan


def apply(
    saved: Annotated[Path, Argument(metavar="PLAN", help="A plan that `net2net plan -o` saved.")],
    checkpoint: Checkpoint,
    writing: Writing,
    checking: Checking,
    state: State,
    common: Common,
    calibrate: Calibrate = None,
    expect_teacher: ExpectTeacher = None,
) -> Outcome:
    """Carry a saved plan out, on the checkpoint it was made for."""
    from net2net_cli import api
    from net2net_cli.cli.carry_out import carry_out, choose_output

    plan = _read(saved)
    model = api.open_planned(plan, checkpoint)
    api.expect_teacher(model, expect_teacher)
    output = choose_output(model, writing, common, "grown")
    return carry_out("apply", plan, model, output, writing, checking, common, calibrate, state)


def _read(path: Path) -> Plan:
    from net2net_cli import api

    try:
        return api.from_json(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise PlanError("this is not text", where=str(path), hint="is it the checkpoint?") from None
