"""What grow, widen, deepen and apply share: carry a plan out, and say what became of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from net2net_cli.calibration import idle
from net2net_cli.cli.files import check_report, write_report
from net2net_cli.cli.options import (
    Checking,
    Common,
    Growth,
    Placing,
    Probing,
    State,
    Target,
    Writing,
)
from net2net_cli.cli.parts import (
    checkpoint_part,
    family_part,
    remarks,
    student_part,
    told,
    warnings,
)
from net2net_cli.cli.paths import STREAM, check_streams, output_of
from net2net_cli.cli.signals import end_if_asked
from net2net_cli.errors import UsageError
from net2net_cli.report import Outcome, from_error

if TYPE_CHECKING:
    from net2net_cli.api import (
        Choices,
        Grown,
        Model,
        NotPreservedError,
        Plan,
        ProbeOptions,
        RunOptions,
        StateOptions,
    )
    from net2net_cli.console import Step


NO_STATE = "none"
"""In place of a file: no optimizer's state is carried along."""

LEFT_BEHIND = "the optimizer's state is left behind; --optimizer-out FILE takes it along"


def check_target(target: Target) -> None:
    """Refuse to grow into nothing in particular."""
    said = (target.spec, target.settings, target.width, target.depth)
    if all(one is None for one in said):
        raise UsageError(
            "nothing says what to grow into",
            hint="give a spec with --spec FILE, a factor with --width x1.5, or an argument with"
            " --set fc1.out_features=512",
        )


def choices_of(growth: Growth, dtype: str | None = None) -> Choices:
    """How to grow, as the api takes it."""
    from net2net_cli import api

    return api.Choices(
        growth.expansion,
        growth.split,
        growth.seed,
        growth.noise,
        dtype,
        growth.where if isinstance(growth, Placing) else "even",
        growth.mode,
    )


def probe_options(probing: Probing, device: str, seed: int = 0) -> ProbeOptions:
    """How to compare, as the api takes it."""
    from net2net_cli import api

    return api.ProbeOptions(
        probing.probes,
        probing.probe_data,
        seed,
        probing.tolerance,
        device,
        probing.probe_memory,
    )


def run_options(
    writing: Writing,
    checking: Checking,
    calibrate: Path | None,
    state: StateOptions | None,
    step: Step | None = None,
) -> RunOptions:
    """How to write and verify, as the api takes it."""
    from net2net_cli import api
    from net2net_cli.cli import ranks

    return api.RunOptions(
        overwrite=writing.overwrite,
        device=writing.device,
        calibrate=calibrate,
        state=state,
        shard_bytes=writing.max_shard_size,
        workers=writing.workers or api.WORKERS,
        verify=not checking.no_verify,
        probe=probe_options(checking, writing.device),
        progress=step,
        team=ranks.team(),
    )


def state_options(state: State) -> StateOptions | None:
    """Which optimizer's state is carried along, as the api takes it; None: none is wanted."""
    from net2net_cli import api

    if state.optimizer == NO_STATE:
        if state.optimizer_out or state.optimizer_reset:
            raise UsageError(f"--optimizer {NO_STATE} leaves no state to write")
        return None
    if state.optimizer is None and state.optimizer_out == STREAM:
        raise UsageError("--optimizer-out names a file; standard output is for a checkpoint")
    file = None if state.optimizer is None else Path(state.optimizer)
    return api.StateOptions(
        file, state.optimizer_out, state.optimizer_map, reset=state.optimizer_reset
    )


def choose_output(
    model: Model, writing: Writing, common: Common, ending: str, spec: Path | None = None
) -> str:
    """The output's name; refuses what cannot be written before any work starts."""
    from net2net_cli import api
    from net2net_cli.io.target import check_output

    output = api.output_name(model, output_of(writing.output, spec, model.source.path, ending))
    check_streams(output, common.form)
    files, overwrite = model.source.files, writing.overwrite
    if not writing.dry_run:
        check_output(output, files, overwrite=overwrite)
    check_report(writing.report, overwrite=overwrite, sources=files)
    return output


def carry_out(
    command: str,
    plan: Plan,
    model: Model,
    output: str,
    writing: Writing,
    checking: Checking,
    common: Common,
    calibrate: Path | None,
    state: State,
) -> Outcome:
    """Apply the plan and verify the student, or with ``--dry-run`` show the plan alone.

    A student that does not preserve the function is no exception here: what was found is shown.
    """
    from net2net_cli import api
    from net2net_cli.cli.progress import progress

    carried, left = _carried(state, model, output)
    outcome = Outcome(
        command,
        0,
        (
            *warnings(plan.warnings, left, idle(plan, calibrate, "--calibrate")),
            *remarks(model.notes, plan.notes),
        ),
        checkpoint_part(model),
        family=family_part(model),
        plan=plan,
        text_to="stderr" if output == STREAM else "stdout",
    )
    if not writing.dry_run:
        with progress(common.screen()) as step:
            options = run_options(writing, checking, calibrate, carried, heeding_signals(step))
            try:
                outcome = _grown(outcome, model, api.apply_plan(plan, model, output, options))
            except api.NotPreservedError as error:
                outcome = _failed(outcome, error)
    write_report(outcome, writing.report, overwrite=writing.overwrite)
    return outcome


def _carried(state: State, model: Model, output: str) -> tuple[StateOptions | None, list[str]]:
    """Which state is carried along, and what to warn of: a stream has no place for one."""
    from net2net_cli import api

    wanted = state_options(state)
    if output == STREAM and wanted == api.StateOptions():
        there = api.find_state(model.source)
        return None, [f"{there}: {LEFT_BEHIND}"] if there else []
    return wanted, []


def heeding_signals(step: Step) -> Step:
    """Progress that ends the run where a signal to end was lost."""

    def heeding(name: str, done: int, total: int) -> None:
        end_if_asked()
        step(name, done, total)

    return heeding


def _grown(outcome: Outcome, model: Model, grown: Grown) -> Outcome:
    return replace(
        outcome,
        diagnostics=(*outcome.diagnostics, *told(grown.verification)),
        teacher=checkpoint_part(model, grown.teacher_digest),
        student=student_part(grown),
        verification=grown.verification,
        carried=grown.carried,
        seconds=grown.seconds,
    )


def _failed(outcome: Outcome, error: NotPreservedError) -> Outcome:
    return replace(
        outcome,
        exit_code=error.exit_code,
        diagnostics=(*outcome.diagnostics, *told(error.verification), from_error(error)),
        verification=error.verification,
    )
