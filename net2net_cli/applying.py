"""Carrying a plan out: recipes to a file that is written, read back and verified.

Tensor by tensor: those that are copied go as bytes and need no torch; all others are made by
``execute``. The file appears under its name only once proof and probe have passed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from net2net_cli import __version__, diff, families, making, planning, recipe
from net2net_cli.calibration import measured
from net2net_cli.capacity import check_capacity, check_maps, check_memory
from net2net_cli.devices import device_for
from net2net_cli.errors import PlanError
from net2net_cli.expansion import decode, encode, even_shares, expand
from net2net_cli.family_plans import growth_of, recipes_of
from net2net_cli.fits import check_aliases, check_fit
from net2net_cli.io import (
    ALONE,
    Joint,
    MemorySource,
    Source,
    Target,
    Team,
    TensorInfo,
    check_output,
    open_source,
    write_checkpoint,
)
from net2net_cli.io.dcp import wrapped
from net2net_cli.laying import layout_of
from net2net_cli.layout import Layout
from net2net_cli.opening import (
    ASSUMED_KEY,
    METADATA,
    SPEC_KEY,
    FamilyModel,
    Model,
    SpecModel,
    check_plan,
    family_model,
)
from net2net_cli.optimizer import Carried, StateOptions, StateRun, module_order, state_run
from net2net_cli.plan import (
    FORMAT_VERSION,
    Insert,
    Operation,
    Plan,
    Rescale,
    Widen,
    to_data,
    to_json,
)
from net2net_cli.production import Production
from net2net_cli.recipe import Recipe
from net2net_cli.spec import parse_document, to_spec
from net2net_cli.verification import (
    Expected,
    ProbeOptions,
    Verification,
    not_finite,
    probe_models,
    remarks,
    require,
    verification_data,
)
from net2net_cli.verify.proof import WidthProof
from net2net_cli.writing import WriteOptions, folder_files, joint_of, output_name, prove_written

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.execute import Measured
    from net2net_cli.io.tensor_file import Training


@dataclass(frozen=True)
class RunOptions(WriteOptions):
    """How a plan is carried out. ``calibrate`` is a file of inputs for the statistics of inserted
    BatchNorms and of fresh channels, ``state`` says which optimizer's state is carried along, None:
    none."""

    device: str = "auto"
    calibrate: Path | None = None
    state: StateOptions | None = None
    verify: bool = True
    probe: ProbeOptions = field(default_factory=ProbeOptions)


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
    carried: Carried | None = None


def apply_plan(plan: Plan, model: Model, output: str, options: RunOptions | None = None) -> Grown:
    """Carry a plan out: write the student and verify it before it appears under its name.

    Raises PlanError (exit 2) for a checkpoint that the plan was not made for, OutputError for an
    output that cannot be written, NotPreservedError (exit 4) with what was found where the student
    does not preserve the function; then nothing is left behind.
    """
    options = options or RunOptions()
    started = time.monotonic()
    check_plan(plan, model.source)
    output = output_name(model, output)
    target = check_output(output, model.source.files, overwrite=options.overwrite)
    check_capacity("the student", plan.after.nbytes, target)
    _check_maps(plan)
    work = _work(plan, model)
    recipes = work.recipes
    recipe.check(recipes, work.source, work.target, tuple(model.source.tensors))
    check_aliases(work.source, model.source)
    found: list[Verification] = []
    infos = [TensorInfo(r.name, r.dtype, r.shape) for r in recipes]
    if target.format == "torch":  # whose readers may go by the order
        places = {name: at for at, name in enumerate(module_order(model, recipes, work.target))}
        infos.sort(key=lambda info: places[info.name])
    state = state_run(
        options.state, plan, model, recipes, (work.source, work.target), target,
        overwrite=options.overwrite,
    )  # fmt: skip
    measure, joint = _shared(recipes, plan, model, options)
    production = Production(
        recipes,
        model.source,
        measure,
        device=device_for("weights", options.device),
        workers=options.workers,
        progress=options.progress,
        own=options.team.share(infos),
    )

    with state.writing() if state and options.team.rank == 0 else nullcontext() as way:

        def verified(path: Path) -> None:
            production.close()
            team = options.team if target.divisible else Team()
            found.append(_verify_written(plan, model, work, path, options, team))
            require(found[-1])
            if state and way:
                state.write(way, path, measure, overwrite=options.overwrite)

        into_folder = target.format == "folder"
        also = state.files if state else {}
        written = write_checkpoint(
            output,
            infos,
            _metadata(plan, NO_DIGEST),
            production,
            overwrite=options.overwrite,
            sources=model.source.files,
            check=verified,
            files={**folder_files(plan.student, model), **also} if into_folder else {},
            shard_bytes=options.shard_bytes,
            finish=(lambda: _folder_notes(plan, model, found[-1])) if into_folder else None,
            final=lambda: _metadata(plan, _teacher_digest(plan, model)),
            workers=options.workers,
            joint=joint,
            training=_training(model, target, state, measure),
        )
        if way:
            way.keep()
    verification, digest = options.team.lead(lambda: (found[-1], model.source.digest()))
    return Grown(
        plan, written.path, written.nbytes, written.digest, digest, written.metadata,
        verification, time.monotonic() - started, state.summary(way) if state and way else None,
    )  # fmt: skip


def apply_in_memory(
    plan: Plan, model: Model, options: RunOptions
) -> tuple[Model, dict[str, Tensor]]:
    """Carry a plan out without a file: the student as a model, and its tensors by name.

    Raises NotPreservedError (exit 4) where the student does not preserve the function.
    """
    from net2net_cli.execute import Executor
    from net2net_cli.lanes import lanes_to

    check_memory("the student", plan.after.nbytes)
    _check_maps(plan)
    work = _work(plan, model)
    recipe.check(work.recipes, work.source, work.target, tuple(model.source.tensors))
    check_aliases(work.source, model.source)
    found = measured(work.recipes, plan, model, options.calibrate)
    lanes = lanes_to(device_for("weights", options.device))
    executor = Executor(model.source, found, lanes)
    state = {made.name: executor.make(made) for made in work.recipes}
    with MemorySource(state, "the student") as source:
        require(_verified(plan, model, work, source, options, Team()))
    return _student(plan, model, MemorySource(state, "the student")), state


def _check_maps(plan: Plan) -> None:
    check_maps((o.name, o.after) for o in plan.operations if isinstance(o, Widen))


@dataclass(frozen=True)
class _Work:
    """What a plan comes to: recipes between two layouts. ``dtypes`` are what the student's tensors
    are to have."""

    recipes: tuple[Recipe, ...]
    source: Layout
    target: Layout
    dtypes: Mapping[str, str]


def _work(plan: Plan, model: Model) -> _Work:
    if isinstance(model, FamilyModel):
        growth = growth_of(plan, model)
        dtypes = families.student_dtypes(growth, model.dtypes, plan.choices.dtype)
        return _Work(recipes_of(plan, model, growth), model.layout, growth.target.layout, dtypes)
    source = layout_of(to_spec(parse_document(plan.source, "the plan's source spec")))
    target = layout_of(to_spec(parse_document(plan.target, "the plan's target spec")))
    check_fit(source, model.source.tensors, model.source.label)
    comparison = diff.compare(source, target)
    if not planning.leads(plan, comparison):
        raise plan.misled()
    dtypes = making.student_dtypes(comparison, model.dtypes, plan.choices.dtype)
    return _Work(making.make_recipes(comparison, plan, model.dtypes), source, target, dtypes)


def _folder_notes(plan: Plan, model: Model, found: Verification) -> dict[str, bytes]:
    """net2net.json: how the student came to be, for whoever finds the folder."""
    notes = {
        "format_version": FORMAT_VERSION,
        "version": __version__,
        "teacher": model.source.digest(),
        "plan": to_data(plan),
        "verification": verification_data(found),
    }
    text = json.dumps(notes, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return {"net2net.json": text.encode()}


def _training(
    model: Model, target: Target, state: StateRun | None, measure: Callable[[], Measured]
) -> Training | None:
    """What is written with the weights: nothing, unless the state is."""
    wrap = partial(wrapped, model.source)
    joined = state if state and state.place.joined else None
    if target.format == "dcp":
        return wrap if joined is None else lambda weights: joined.folder(weights, measure, wrap)
    return None if joined is None else lambda weights: joined.file(weights, measure)


NO_DIGEST = "blake3:" + "0" * 64
"""Holds the place of the teacher's digest, which is known once all of it was read."""


def _teacher_digest(plan: Plan, model: Model) -> str:
    """The digest of the teacher, all of which was read; PlanError where the plan's is another."""
    digest, wanted = model.source.digest(), plan.teacher.digest
    if wanted is not None and wanted.startswith("sha256:"):
        raise PlanError(
            "the plan names its checkpoint's weights by sha256, which are not compared any more",
            where=model.source.label,
            hint="make the plan again with `net2net plan`",
        )
    if wanted is not None and wanted != digest:
        raise PlanError(
            "the plan was made for a checkpoint with other weights", where=model.source.label
        )
    return digest


def _shared(
    recipes: tuple[Recipe, ...], plan: Plan, model: Model, options: RunOptions
) -> tuple[Callable[[], Measured], Joint]:
    """How statistics are measured, and who writes together. Among several processes the first one
    measures, since others may round differently."""
    team = options.team

    @cache
    def measure() -> Measured:
        return measured(recipes, plan, model, options.calibrate)

    if team.size == 1:
        return measure, ALONE
    found = team.lead(measure)
    values = {name: [part.tolist() for part in parts] for name, parts in found.values.items()}
    fresh = {key: value.tolist() for key, value in found.fresh.items()}
    return lambda: found, joint_of(team, model.source, to_json(plan), values, fresh)


def _metadata(plan: Plan, digest: str) -> dict[str, str]:
    guessed = {ASSUMED_KEY: "1"} if plan.assumed else {}
    return guessed | {
        SPEC_KEY: plan.student,
        f"{METADATA}plan": to_json(plan),
        f"{METADATA}seed": str(plan.choices.seed),
        f"{METADATA}teacher": digest,
        f"{METADATA}version": __version__,
    }


def _verify_written(
    plan: Plan, model: Model, work: _Work, path: Path, options: RunOptions, team: Team
) -> Verification:
    """Read the written file back and hold it against the teacher, which a team does together."""
    with open_source(path) as source:
        return _verified(plan, model, work, source, options, team)


def _verified(
    plan: Plan, model: Model, work: _Work, source: Source, options: RunOptions, team: Team
) -> Verification:
    student = _student(plan, model, source)
    proof = prove_written(_width_proofs(plan), work.target, work.dtypes, source.tensors)
    if not options.verify:
        return Verification(proof, (), "not asked for (--no-verify)")
    if options.progress:
        options.progress("probing", 0, 0)
    expected, given = expected_drift(plan, model, options), options.probe
    given = replace(given, device=options.device)
    probed = probe_models(model, student, given, expected, team, options.progress)
    notes = (*remarks(probed.judged, expected), *probed.notes)
    warnings = not_finite((model,), team, options.progress)
    return Verification(proof, probed.judged, probed.skipped, notes, warnings)


def _student(plan: Plan, model: Model, source: Source) -> Model:
    document = parse_document(plan.student, "the student's spec")
    if isinstance(model, FamilyModel):
        return family_model(source, *families.whole(document), "the plan")
    spec = to_spec(document)
    return SpecModel(source, layout_of(spec), "the plan", (), document, spec)


def _width_proofs(plan: Plan) -> list[WidthProof]:
    found = []
    for o in plan.operations:
        if isinstance(o, Widen):
            key = f"{plan.choices.seed}/{o.width}"
            grown = expand(o.expansion, o.before, o.after, key)  # type: ignore[arg-type]
            columns = decode(grown, even_shares(grown))
            found.append(WidthProof(o.name, o.before, encode(grown), columns))
    return found


def _scales(operation: Operation) -> bool:
    """Whether a transformer's weights are scaled by something, which rounds them."""
    return isinstance(operation, Widen) and operation.expansion in ("zero", "mean", "even")


def expected_drift(plan: Plan, model: Model, options: RunOptions) -> Expected:
    """What the plan's operations round or estimate, for the tolerances."""
    moments = any(o.undoes for o in plan.operations if isinstance(o, Insert))
    rounding = any(isinstance(o, Rescale) for o in plan.operations) or moments
    drift = 0.0
    if isinstance(model, FamilyModel):
        rounding = rounding or any(_scales(o) for o in plan.operations)
        if any(isinstance(o, Insert) and o.type == "block" for o in plan.operations):
            drift = families.drift(model.laid.family, model.laid.config)
    cast = plan.choices.dtype is not None and plan.choices.dtype not in set(model.dtypes.values())
    same_batch = options.calibrate is not None and options.calibrate == options.probe.data
    same_batch = same_batch and plan.choices.mode == "training"
    inserted = "none" if not moments else "measured" if same_batch else "estimated"
    return Expected(rounding or cast, inserted, plan.choices.noise, drift)  # type: ignore[arg-type]
