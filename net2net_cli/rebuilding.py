"""Shrinking: the teacher written anew out of a student, from the plan in the student's metadata.

The inverse of ``applying``, tensor by tensor as there. What was only copied, cut up or added up
comes back byte for byte; what was scaled was rounded. The digest of the teacher, which the student
carries, tells which of the two it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from net2net_cli import families, shrinking
from net2net_cli.capacity import check_capacity
from net2net_cli.errors import CheckpointError
from net2net_cli.fits import check_fit
from net2net_cli.inverse import Shrink
from net2net_cli.io import (
    Copied,
    Rows,
    Source,
    TensorInfo,
    check_output,
    open_source,
    write_checkpoint,
)
from net2net_cli.io.tally import Tally
from net2net_cli.laying import layout_of
from net2net_cli.opening import ASSUMED_KEY, METADATA, SPEC_KEY, Model, SpecModel, family_model
from net2net_cli.plan import Plan, from_json, to_json
from net2net_cli.production import bytes_of, copied, counted
from net2net_cli.shrinking import Shrinking
from net2net_cli.spec import parse_document, to_spec
from net2net_cli.verification import Verification, require
from net2net_cli.verify.proof import Proof
from net2net_cli.writing import WriteOptions, folder_files, joint_of, output_name, prove_written


@dataclass(frozen=True)
class Student:
    """A checkpoint that net2net has written, and the plan that it carries. ``teacher_digest`` is
    the teacher's, where it was noted and can be compared."""

    model: Model
    plan: Plan
    teacher_digest: str | None


@dataclass(frozen=True)
class Shrunk:
    """What ``shrink`` did. ``written`` is None where the output is standard output.

    ``same``: every tensor is the teacher's, byte for byte; None where the student does not tell
    the teacher's digest. ``rounded`` names the tensors, out of ``tensors``, that making the
    student rounded; ``known`` says whether the dtypes are the teacher's. ``metadata`` is as in
    Written.
    """

    plan: Plan
    written: Path | None
    nbytes: int
    digest: str
    teacher_digest: str | None
    metadata: bool
    tensors: int
    rounded: tuple[str, ...]
    known: bool
    proof: Proof
    seconds: float

    @property
    def same(self) -> bool | None:
        """Whether this is the teacher, by its digest."""
        return None if self.teacher_digest is None else self.digest == self.teacher_digest

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know where it is not the teacher, byte for byte."""
        if self.same:
            return ()
        found = []
        if self.rounded:
            found.append(
                f"{len(self.rounded)} of {self.tensors} tensors were scaled or cast when the"
                " student was made, and are rounded: how far they are off, only the teacher tells"
            )
        if not self.known:
            found.append("the plan does not tell the teacher's dtypes: the student's are kept")
        sure = self.same is False and self.known and not self.rounded
        trained = "the student was trained or edited since" if sure else "if it was trained since"
        found.append(
            f"{trained}, this is not the teacher: of what was copied the first copy is taken, and"
            " what copies share is added up"
        )
        return tuple(found)


def open_student(checkpoint: str) -> Student:
    """Open a checkpoint that can be shrunk back.

    Reads headers only. Raises CheckpointError (exit 2) where it carries no plan or its tensors are
    not those of its plan, PlanError where the plan cannot be read.
    """
    source = open_source(checkpoint)
    try:
        plan = _plan(source)
        digest = source.metadata.get(f"{METADATA}teacher", "")
        return Student(_model(source, plan), plan, digest if digest.startswith("blake3:") else None)
    except BaseException:
        source.close()
        raise


def _plan(source: Source) -> Plan:
    text = source.metadata.get(f"{METADATA}plan")
    if text is None:
        raise CheckpointError(
            "the checkpoint carries no plan in its metadata",
            where=source.label,
            hint="only what net2net has written, as .safetensors or a folder of them, can be"
            " shrunk back",
        )
    return from_json(text, f"the plan in {source.label}")


def _model(source: Source, plan: Plan) -> Model:
    found, document = "embedded in its metadata", parse_document(plan.student, "the plan's specs")
    if document.of_family:
        return family_model(source, *families.whole(document), found)
    spec = to_spec(document)
    layout = layout_of(spec)
    check_fit(layout, source.tensors, source.label)
    return SpecModel(source, layout, found, (), document, spec, plan.assumed)


def shrink(student: Student, output: str, options: WriteOptions | None = None) -> Shrunk:
    """Write the teacher that a student was made of; a trained student's gives the network of that
    size whose weights are the first copies, and the sums of what copies share.

    Raises PlanError (exit 2) where the plan does not fit the student, OutputError for an output
    that cannot be written; then nothing is left behind.
    """
    options, started = options or WriteOptions(), time.monotonic()
    model, plan = student.model, student.plan
    source, output = model.source, output_name(model, output)
    target = check_output(output, source.files, overwrite=options.overwrite)
    work = shrinking.shrink_recipes(plan, source.tensors, source.label)
    check_capacity("the teacher", sum(info.nbytes for info in work.infos), target)
    proofs: list[Proof] = []

    def verified(path: Path) -> None:
        proofs.append(_proof(work, path))
        require(Verification(proofs[-1], ()))

    written = write_checkpoint(
        output,
        work.infos,
        {SPEC_KEY: plan.source} | ({ASSUMED_KEY: "1"} if plan.assumed else {}),
        _producer(work, source, options),
        overwrite=options.overwrite,
        sources=source.files,
        check=verified,
        files=folder_files(plan.source, model) if target.format == "folder" else {},
        shard_bytes=options.shard_bytes,
        workers=options.workers,
        joint=joint_of(options.team, source, "shrink", to_json(plan)),
    )
    proof = options.team.lead(lambda: proofs[-1])
    rounded = tuple(recipe.name for recipe in work.recipes if recipe.rounded)
    return Shrunk(
        plan, written.path, written.nbytes, written.digest, student.teacher_digest,
        written.metadata, len(work.recipes), rounded, work.known, proof,
        time.monotonic() - started,
    )  # fmt: skip


def _producer(
    work: Shrinking, source: Source, options: WriteOptions
) -> Callable[[TensorInfo], Copied | Rows]:
    by_name: dict[str, Shrink] = {recipe.name: recipe for recipe in work.recipes}
    own = options.team.share(work.infos)
    tally = Tally("shrinking", bytes_of(work.infos, own), options.progress)

    def produce(info: TensorInfo) -> Copied | Rows:
        recipe = by_name[info.name]
        if recipe.plain:
            return copied(source, recipe.source, tally)
        from net2net_cli.bases import Stored
        from net2net_cli.restore import first_of, restore

        student = Stored(source.tensors[recipe.source], source.read)
        first = first_of(recipe, student.info.shape)
        make = partial(restore, recipe, first, student)
        nbytes = info.nbytes // max(1, first.rows)
        return counted(Rows(nbytes, make), tally, source, None, info)

    return produce


def _proof(work: Shrinking, path: Path) -> Proof:
    """Read the header back: every tensor of the teacher's layout is there, and no other."""
    dtypes = {info.name: info.dtype for info in work.infos}
    with open_source(path) as source:
        return prove_written((), work.layout, dtypes, source.tensors)
