"""The file to read first: plan, grow and verify as functions.

They take paths or plain data, return frozen dataclasses and print nothing; the command line is a
thin skin on them. Data flow one way (DESIGN, section 4):

    spec -> layout -> diff -> plan -> recipes -> streaming writer -> checkpoint
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from net2net_cli import diff, making, planning
from net2net_cli.applying import MEASURED_ON, Grown, RunOptions, apply_plan, expected_drift
from net2net_cli.errors import UnreachableError, UsageError
from net2net_cli.fits import FLOATS
from net2net_cli.growing import deepenings, regrouped, told, widened
from net2net_cli.io import TensorInfo
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.opening import (
    METADATA,
    Model,
    check_plan,
    expect_teacher,
    open_model,
    open_planned,
    with_spec,
)
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
from net2net_cli.recognise import assumed_layers, cautions
from net2net_cli.settings import with_settings
from net2net_cli.spec import (
    Document,
    dump,
    network_only,
    read_document,
    resolve,
    to_spec,
    with_args,
    without_keys,
)
from net2net_cli.verification import (
    Expected,
    NotPreservedError,
    ProbeOptions,
    Verification,
    not_finite,
    probe_models,
    remarks,
)

if TYPE_CHECKING:
    pass

__all__ = [
    "MEASURED_ON", "METADATA", "Choices", "Grown", "Model", "NotPreservedError", "Plan",
    "ProbeOptions", "RunOptions",
    "Verification", "apply_plan", "check_plan", "deepen_plan", "differences", "expect_teacher",
    "from_json", "make_plan", "open_model", "open_planned", "plan_of", "to_json", "verify",
    "widen_plan", "with_spec",
]  # fmt: skip


def differences(before: GraphLayout, after: GraphLayout) -> tuple[diff.Difference, ...]:
    """What differs between two networks."""
    return diff.differences(before, after)


def make_plan(
    model: Model,
    target: str | Path | None = None,
    settings: Mapping[str, str] | None = None,
    choices: Choices | None = None,
    *,
    calibrated: bool = False,
) -> Plan:
    """The plan that turns a checkpoint into what a target spec describes.

    ``target`` is a YAML file (it may say ``extends: source``); ``settings`` instead (or on top)
    set arguments, as ``{"fc1.out_features": "512"}``. Reads headers only, and imports no torch.

    Raises SpecError (exit 2) for a bad spec, UnreachableError (exit 3) where the target cannot be
    reached while preserving the function.
    """
    document = model.document
    if target is not None:
        document = resolve(read_document(Path(target)), model.document)
    if settings:
        document = with_settings(document, settings)
    return plan_of(model, document, choices or Choices(), calibrated=calibrated)


def widen_plan(model: Model, layer: str, to: int, choices: Choices | None = None) -> Plan:
    """The plan that makes one width, named by any layer of it, ``to`` features wide."""
    document = widened(model.document, model.layout, layer, to)
    plan = plan_of(model, document, choices or Choices())
    return replace(plan, notes=(*plan.notes, *regrouped(model.spec, to_spec(document))))


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
    first: UnreachableError | None = None
    for way in deepenings(model.document, model.layout, after, name, count, model.guesses):
        try:
            plan = plan_of(model, way.document, choices or Choices(), calibrated=calibrated)
        except UnreachableError as error:
            first = first or error
            continue
        return replace(plan, notes=(*plan.notes, *told(way, after, first)))
    assert first is not None
    raise first


def plan_of(
    model: Model, document: Document, choices: Choices, *, calibrated: bool = False
) -> Plan:
    """The plan for a target document that extends nothing."""
    if choices.dtype is not None and choices.dtype not in FLOATS:
        raise UsageError(
            f"a student cannot have the dtype `{choices.dtype}`", hint=f"use {', '.join(FLOATS)}"
        )
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


def verify(teacher: Model, student: Model, options: ProbeOptions | None = None) -> Verification:
    """Probe two checkpoints, and judge whether the student computes what the teacher does."""
    expected = _drift_of(student)
    probes = probe_models(teacher, student, options or ProbeOptions(), expected)
    warnings = (*not_finite(teacher), *not_finite(student))
    return Verification(None, probes, None, remarks(probes, expected), warnings)


def _drift_of(student: Model) -> Expected:
    """What the plan in a student's metadata lets drift; nothing where there is none."""
    text = student.source.metadata.get(f"{METADATA}plan")
    if text is None:
        return Expected()
    plan = from_json(text, f"the plan in {student.source.label}")
    return expected_drift(plan, student, RunOptions())
