"""The file to read first: plan, grow and verify as functions.

They take paths or plain data, return frozen dataclasses and print nothing; the command line is a
thin skin on them. Data flow one way (DESIGN, section 4):

    spec -> layout -> diff -> plan -> recipes -> streaming writer -> checkpoint
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path

from net2net_cli import __version__, diff, making, planning
from net2net_cli.applying import Grown, RunOptions, apply_plan, expected_drift
from net2net_cli.calibration import MEASURED_ON
from net2net_cli.differing import differences
from net2net_cli.errors import SpecError, UnreachableError, UsageError
from net2net_cli.exporting import exported
from net2net_cli.family_plans import deepened_settings, family_plan, widened_settings
from net2net_cli.family_targets import asked_sizes
from net2net_cli.fits import FLOATS
from net2net_cli.io import WORKERS, Team, TensorInfo
from net2net_cli.io.joint import require_alike, sampled
from net2net_cli.io.tally import Step
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.opening import (
    METADATA,
    FamilyModel,
    Model,
    SpecModel,
    check_plan,
    expect_teacher,
    open_model,
    open_planned,
    with_spec,
)
from net2net_cli.optimizer import Carried, StateOptions, find_state
from net2net_cli.plan import (
    Choices,
    Operation,
    Plan,
    Rescale,
    Teacher,
    Totals,
    from_json,
    to_json,
)
from net2net_cli.rebuilding import Shrunk, Student, open_student, shrink
from net2net_cli.recognise import assumed_layers, cautions
from net2net_cli.settings import changes_of
from net2net_cli.spec import (
    Document,
    dump,
    network_only,
    read_document,
    to_spec,
    with_args,
    without_keys,
)
from net2net_cli.spec.tree import Table
from net2net_cli.targets import (
    MOST,
    Asked,
    as_target,
    deepenings,
    regrouped,
    told,
    widened,
    worked_out,
)
from net2net_cli.trainability import PROBES, Trainability, find_trouble
from net2net_cli.verification import (
    Expected,
    NotPreservedError,
    ProbeOptions,
    Verification,
    not_finite,
    probe_models,
    remarks,
)
from net2net_cli.writing import WriteOptions, output_name

__all__ = [
    "MEASURED_ON", "METADATA", "WORKERS", "Carried", "Choices", "Grown", "Model",
    "NotPreservedError", "Plan", "ProbeOptions", "RunOptions", "Shrunk", "StateOptions", "Student",
    "Verification", "WriteOptions", "apply_plan", "check_plan", "deepen_plan", "differences",
    "expect_teacher", "exported", "find_state", "from_json", "make_plan", "open_model",
    "open_planned", "open_student", "output_name", "plan_of", "shrink", "to_json", "trainability",
    "verify", "widen_plan", "with_spec",
]  # fmt: skip


def make_plan(
    model: Model,
    target: str | Path | None = None,
    settings: Mapping[str, str] | None = None,
    choices: Choices | None = None,
    *,
    calibrated: bool = False,
    width: str | None = None,
    depth: Sequence[str] = (),
) -> Plan:
    """The plan that turns a checkpoint into what a target spec describes.

    ``target`` is a YAML file (it may say ``extends: source``); ``settings`` instead (or on top)
    set arguments, as ``{"fc1.out_features": "512"}``; ``width`` (``x1.5``) and ``depth``
    (``layer3=+2``) stand for the target's keys of these names. Reads headers only, and imports no
    torch.

    Raises SpecError (exit 2) for a bad spec, UnreachableError (exit 3) where the target cannot be
    reached while preserving the function.
    """
    choices, asked = choices or Choices(), Asked(width, depth)
    said = None if target is None else read_document(Path(target))
    _check_dtype(choices.dtype)
    if isinstance(model, FamilyModel):
        sizes = asked_sizes(model.laid, asked, choices)
        keys = {k: str(n) for k, n in sizes.keys.items() if not _says(said, k)}
        plan = family_plan(model, said, {**keys, **(settings or {})}, choices)
        return replace(plan, notes=(*plan.notes, *sizes.notes))
    if said is not None and said.of_family:
        raise SpecError(
            "the spec names a family of transformers, the checkpoint is a network of layers",
            where=said.file,
        )
    teacher = of_layers(model)
    changes = partial(changes_of, settings or {})
    made = worked_out(as_target(said, asked), teacher.document, changes)
    plan = plan_of(teacher, made.document, choices, calibrated=calibrated)
    return replace(plan, notes=(*plan.notes, *made.notes))


def _says(said: Document | None, key: str) -> bool:
    """Whether a family's target says a key of the config itself."""
    config = said.root.entries.get("config") if said else None
    return isinstance(config, Table) and key in config.entries


def of_layers(model: Model) -> SpecModel:
    """The model as one that a layer spec describes; all but families are."""
    assert isinstance(model, SpecModel)
    return model


def widen_plan(
    model: Model,
    layer: str,
    to: int,
    choices: Choices | None = None,
    *,
    calibrated: bool = False,
) -> Plan:
    """The plan that makes one width, named by any layer of it, ``to`` features wide."""
    choices = choices or Choices()
    if isinstance(model, FamilyModel):
        return make_plan(model, None, widened_settings(model, layer, to), choices)
    teacher = of_layers(model)
    document = widened(teacher.document, teacher.layout, layer, to)
    plan = plan_of(teacher, document, choices, calibrated=calibrated)
    return replace(plan, notes=(*plan.notes, *regrouped(teacher.spec, to_spec(document))))


def deepen_plan(
    model: Model,
    after: str,
    name: str | None = None,
    count: int = 1,
    choices: Choices | None = None,
    *,
    calibrated: bool = False,
) -> Plan:
    """The plan that inserts ``count`` copies of the unit of a layer (with its norm and activation)
    behind it, or at the nearest place where they compute the identity. Where the activation behind
    the layer is only assumed (the spec was recognised), the layer alone is copied, in front of it.

    Raises UnreachableError (exit 3) where there is none.
    """
    if count > MOST:
        raise UsageError(f"{count:,} units are too many to insert at once", hint=f"up to {MOST:,}")
    if isinstance(model, FamilyModel):
        return _deeper_family(model, after, name, count, choices or Choices())
    teacher = of_layers(model)
    first: UnreachableError | None = None
    for way in deepenings(teacher.document, teacher.layout, after, name, count, teacher.guesses):
        try:
            plan = plan_of(teacher, way.document, choices or Choices(), calibrated=calibrated)
        except UnreachableError as error:
            first = first or error
            continue
        return replace(plan, notes=(*plan.notes, *told(way, after, first)))
    assert first is not None
    raise first


def _deeper_family(
    model: FamilyModel, after: str, name: str | None, count: int, choices: Choices
) -> Plan:
    if name is not None:
        raise UsageError("the blocks of a transformer are numbered", hint="leave --name out")
    settings, where = deepened_settings(model, after, count)
    return make_plan(model, None, settings, replace(choices, where=where))


def plan_of(
    model: SpecModel, document: Document, choices: Choices, *, calibrated: bool = False
) -> Plan:
    """The plan for a target document that extends nothing."""
    _check_dtype(choices.dtype)
    target = layout_of(to_spec(document))
    comparison = diff.compare(model.layout, target)
    operations = planning.operations(comparison, choices, calibrated=calibrated)
    student = _student_document(document, operations)
    before = Totals(*_totals(model.layout, model.dtypes))
    after_types = making.student_dtypes(comparison, model.dtypes, choices.dtype)
    return Plan(
        Teacher(Path(model.source.label).name, model.source.header_digest()),
        dump(network_only(model.document)),
        dump(without_keys(document, "source", "output")),
        dump(network_only(student)),
        choices,
        operations,
        before,
        Totals(*_totals(target, after_types)),
        model.notes,
        cautions(model.guesses, operations),
        assumed=bool(model.guesses and assumed_layers(target.spec)),
    )


def _check_dtype(dtype: str | None) -> None:
    if dtype is not None and dtype not in FLOATS:
        raise UsageError(
            f"a student cannot have the dtype `{dtype}`", hint=f"use {', '.join(FLOATS)}"
        )


def _student_document(document: Document, operations: tuple[Operation, ...]) -> Document:
    """The target with what the operations correct: eps of norms over grown widths."""
    changes = {o.layer: {o.argument: o.after} for o in operations if isinstance(o, Rescale)}
    return with_args(document, changes) if changes else document


def _totals(layout: GraphLayout, dtypes: Mapping[str, str]) -> tuple[int, int]:
    parameters = nbytes = 0
    for name, tensor in layout.tensors.items():
        if not tensor.line.buffer:
            parameters += prod(tensor.shape)
        kind = "int64" if tensor.line.fill == "count" else dtypes.get(name, "float32")
        nbytes += TensorInfo(name, kind, tensor.shape).nbytes
    return parameters, nbytes


def verify(
    teacher: Model,
    student: Model,
    options: ProbeOptions | None = None,
    team: Team | None = None,
    progress: Step | None = None,
) -> Verification:
    """Probe two checkpoints, and judge whether the student computes what the teacher does. A team's
    processes, which must all call it, divide the work. ``progress`` is told what is done, bytes so
    far and in all.

    UsageError where they were started with different options or files.
    """
    team, options = team or Team(), options or ProbeOptions()
    if team.size > 1:
        models = (teacher, student)
        told = [(m.source.header_digest(), sampled(m.source.files)) for m in models]
        require_alike(team, repr((__version__, options, told)))
    expected = _drift_of(student)
    probed = probe_models(teacher, student, options, expected, team, progress)
    warnings = not_finite((teacher, student), team, progress)
    notes = (*remarks(probed.judged, expected), *probed.notes)
    return Verification(None, probed.judged, probed.skipped, notes, warnings)


def trainability(model: Model, probe_data: Path | None = None) -> Trainability:
    """What of a checkpoint's network cannot learn, on ``probe_data`` or on random inputs."""
    return find_trouble(model, ProbeOptions(PROBES, probe_data))


def _drift_of(student: Model) -> Expected:
    """What the plan in a student's metadata lets drift; nothing where there is none."""
    text = student.source.metadata.get(f"{METADATA}plan")
    if text is None:
        return Expected()
    plan = from_json(text, f"the plan in {student.source.label}")
    return expected_drift(plan, student, RunOptions())
