"""Carrying a plan out: recipes to a file that is written, read back and verified.

Tensor by tensor: those that are copied go as bytes and need no torch; all others are made by
``execute``. The file appears under its name only once proof and probe have passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from net2net_cli import __version__, diff, making, planning, recipe
from net2net_cli.capacity import check_capacity
from net2net_cli.errors import PlanError, UsageError
from net2net_cli.expansion import decode, encode, even_shares, expand
from net2net_cli.fits import check_aliases, check_fit
from net2net_cli.io import TensorInfo, check_output, open_source, write_checkpoint
from net2net_cli.laying import layout_of
from net2net_cli.opening import ASSUMED_KEY, METADATA, SPEC_KEY, Model, check_plan
from net2net_cli.plan import Insert, Plan, Rescale, Widen, to_json
from net2net_cli.recipe import Moments, Recipe
from net2net_cli.spec import parse_document, to_spec
from net2net_cli.verification import (
    Expected,
    ProbeOptions,
    Verification,
    not_finite,
    probe_inputs,
    probe_models,
    remarks,
    require,
)
from net2net_cli.verify.proof import WidthProof, prove

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.execute import Measured

MEASURED_ON = 16
"""How many random inputs give a BatchNorm's statistics where nothing else does: a number of its
own, so that the bytes written depend on plan, checkpoint and seed alone."""


@dataclass(frozen=True)
class RunOptions:
    """How a plan is carried out. ``calibrate`` is a file of inputs for inserted BatchNorms."""

    overwrite: bool = False
    device: str = "auto"
    calibrate: Path | None = None
    verify: bool = True
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    progress: Callable[[str, int, int], None] | None = None


@dataclass(frozen=True)
class Grown:
    """What ``apply_plan`` did. ``written`` is None where the output is standard output."""

    plan: Plan
    written: Path | None
    nbytes: int
    digest: str
    teacher_digest: str
    metadata: bool
    verification: Verification
    seconds: float


def apply_plan(plan: Plan, model: Model, output: str, options: RunOptions | None = None) -> Grown:
    """Carry a plan out: write the student and verify it before it appears under its name.

    Raises PlanError (exit 2) for a checkpoint that the plan was not made for, OutputError for an
    output that cannot be written, NotPreservedError (exit 4) with what was found where the student
    does not preserve the function; then nothing is left behind.
    """
    options = options or RunOptions()
    started = time.monotonic()
    check_plan(plan, model)
    check_capacity(plan, verify=options.verify)
    check_output(output, model.source.files, overwrite=options.overwrite)
    recipes, comparison = _recipes(plan, model)
    recipe.check(recipes, comparison.source, comparison.target, tuple(model.source.tensors))
    check_aliases(comparison.source, model.source)
    digest = model.source.digest()
    if plan.teacher.digest is not None and plan.teacher.digest != digest:
        raise PlanError(
            "the plan was made for a checkpoint with other weights", where=model.source.label
        )
    produce = _producer(recipes, plan, model, options)
    found: list[Verification] = []

    def verified(path: Path) -> None:
        found.append(_verify_written(plan, model, path, options))
        require(found[-1])

    written = write_checkpoint(
        output,
        [TensorInfo(r.name, r.dtype, r.shape) for r in recipes],
        _metadata(plan, digest),
        produce,
        overwrite=options.overwrite,
        sources=model.source.files,
        check=verified,
    )
    return Grown(
        plan, written.path, written.nbytes, written.digest, digest, written.metadata,
        found[-1], time.monotonic() - started,
    )  # fmt: skip


def _recipes(plan: Plan, model: Model) -> tuple[tuple[Recipe, ...], diff.Comparison]:
    source = layout_of(to_spec(parse_document(plan.source, "the plan's source spec")))
    target = layout_of(to_spec(parse_document(plan.target, "the plan's target spec")))
    check_fit(source, model.source.tensors, model.source.label)
    comparison = diff.compare(source, target)
    if not planning.leads(plan, comparison):
        raise PlanError(
            "the plan's operations do not lead from its source spec to its target spec",
            where=plan.teacher.label,
            hint="edit the target spec instead, and make the plan again with `net2net plan`",
        )
    return making.make_recipes(comparison, plan, model.dtypes), comparison


def _producer(
    recipes: tuple[Recipe, ...], plan: Plan, model: Model, options: RunOptions
) -> Callable[[TensorInfo], Tensor | memoryview]:
    by_name = {r.name: r for r in recipes}
    copied = {r.name: r.base.name for r in recipes if isinstance(r.base, recipe.Copy) and r.plain}
    done, total = 0, sum(TensorInfo(r.name, r.dtype, r.shape).nbytes for r in recipes)
    executor = None

    def produce(info: TensorInfo) -> Tensor | memoryview:
        nonlocal done, executor
        if options.progress:
            options.progress(info.name, done, total)
        done += info.nbytes
        if info.name in copied:
            return model.source.raw(copied[info.name])
        if executor is None:
            from net2net_cli.execute import Executor
            from net2net_cli.verification import torch_device

            device = torch_device(options.device)
            measured = _measured(recipes, plan, model, options)
            executor = Executor(model.source.tensor, measured, device)
        return executor.make(by_name[info.name])

    return produce


def _measured(
    recipes: tuple[Recipe, ...], plan: Plan, model: Model, options: RunOptions
) -> Measured:
    """Statistics of the teacher's values for the BatchNorms that no closed form serves."""
    names = {r.base.value for r in recipes if isinstance(r.base, Moments) and not r.base.normal}
    if not names:
        return {}
    from net2net_cli.verify.network import build
    from net2net_cli.verify.statistics import value_statistics

    calibrated = any(isinstance(o, Insert) and o.moments == "calibration" for o in plan.operations)
    if calibrated and options.calibrate is None:
        raise UsageError(
            "the plan takes BatchNorm statistics from data", hint="give them with --calibrate DATA"
        )
    given = ProbeOptions(MEASURED_ON, options.calibrate, plan.choices.seed)
    network = build(
        model.spec, {n: model.source.tensor(n) for n in model.source.tensors},
        label=model.source.label,
    )  # fmt: skip
    found = value_statistics(network, probe_inputs(model, given), names)
    return {name: (s.mean, s.variance) for name, s in found.items()}


def _metadata(plan: Plan, digest: str) -> dict[str, str]:
    guessed = {ASSUMED_KEY: "1"} if plan.assumed else {}
    return guessed | {
        SPEC_KEY: plan.student,
        f"{METADATA}plan": to_json(plan),
        f"{METADATA}seed": str(plan.choices.seed),
        f"{METADATA}teacher": digest,
        f"{METADATA}version": __version__,
    }


def _verify_written(plan: Plan, model: Model, path: Path, options: RunOptions) -> Verification:
    """Read the written file back and hold it against the teacher."""
    with open_source(path) as source:
        document = parse_document(plan.student, "the student's spec")
        spec = to_spec(document)
        layout = layout_of(spec)
        wanted = {n: t.shape for n, t in layout.tensors.items() if n in source.tensors
                  or t.line.fill != "count"}  # fmt: skip
        written = {n: i.shape for n, i in source.tensors.items() if n not in layout.aliases}
        proof = prove(_width_proofs(plan), wanted, written)
        if not options.verify:
            return Verification(proof, (), "not asked for (--no-verify)")
        student = Model(source, document, spec, layout, "the plan")
        expected, given = expected_drift(plan, model, options), options.probe
        probes = probe_models(model, student, replace(given, device=options.device), expected)
        return Verification(proof, probes, None, remarks(probes, expected), not_finite(model))


def _width_proofs(plan: Plan) -> list[WidthProof]:
    found = []
    for o in plan.operations:
        if isinstance(o, Widen):
            key = f"{plan.choices.seed}/{o.width}"
            grown = expand(o.expansion, o.before, o.after, key)  # type: ignore[arg-type]
            columns = decode(grown, even_shares(grown))
            found.append(WidthProof(o.members[0], o.before, encode(grown), columns))
    return found


def expected_drift(plan: Plan, model: Model, options: RunOptions) -> Expected:
    """What the plan's operations round or estimate, for the tolerances."""
    moments = {o.moments for o in plan.operations if isinstance(o, Insert) and o.moments}
    rounding = any(isinstance(o, Rescale) for o in plan.operations) or bool(moments)
    cast = plan.choices.dtype is not None and plan.choices.dtype not in set(model.dtypes.values())
    same_batch = options.calibrate is not None and options.calibrate == options.probe.data
    inserted = "none" if not moments else "measured" if same_batch else "estimated"
    return Expected(rounding or cast, inserted, plan.choices.noise)  # type: ignore[arg-type]
