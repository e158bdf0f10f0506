"""A checkpoint together with its own spec: found, laid out, and checked against each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from net2net_cli.errors import CheckpointError, PlanError, SpecError
from net2net_cli.fits import check_fit
from net2net_cli.io import Source, open_source
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.plan import Plan
from net2net_cli.recognise import CARRIED_NOTE, NOTE, assumed_layers, recognise
from net2net_cli.spec import (
    Document,
    Spec,
    parse_document,
    read_document,
    resolve,
    to_spec,
    without_keys,
)

METADATA = "net2net."
"""Prefix of what a student's metadata says: spec, plan, teacher, seed, version, assumed."""

SPEC_KEY = "net2net.spec"
"""Where a checkpoint's metadata holds its spec."""

ASSUMED_KEY = "net2net.assumed"
"""Where it says, by ``1``, that the spec was recognised and that nobody has confirmed it."""


@dataclass(frozen=True)
class Model:
    """A checkpoint and its spec. ``found`` says where the spec comes from; ``assumed`` that parts
    of it are guesses."""

    source: Source
    document: Document
    spec: Spec
    layout: GraphLayout
    found: str
    notes: tuple[str, ...] = ()
    assumed: bool = False

    @property
    def guesses(self) -> tuple[str, ...]:
        """The layers of a recognised chain that its tensors do not show."""
        return assumed_layers(self.spec) if self.assumed else ()

    @property
    def dtypes(self) -> dict[str, str]:
        """Each tensor's dtype, by name."""
        return {name: info.dtype for name, info in self.source.tensors.items()}


def open_model(checkpoint: str, source_spec: str | None = None) -> Model:
    """Open a checkpoint and find its spec: the file given, the one embedded in its metadata, a
    YAML file of its name beside it, or its tensors themselves where they are a plain chain.

    Reads headers only. Raises CheckpointError or SpecError (exit 2) where there is none, or where
    checkpoint and spec do not fit.
    """
    source = open_source(checkpoint)
    try:
        return with_spec(source, source_spec)
    except BaseException:
        source.close()
        raise


def with_spec(source: Source, source_spec: str | None = None) -> Model:
    """As ``open_model``, for a checkpoint that is open already."""
    said, found = _find(source, source_spec)
    document = without_keys(said, "rename")  # which is about what this network was grown from
    spec = to_spec(document)
    layout = layout_of(spec)
    check_fit(layout, source.tensors, source.label)
    notes = _assumptions(source, found)
    return Model(source, document, spec, layout, found, notes, bool(notes))


def open_planned(plan: Plan, checkpoint: str) -> Model:
    """Open the checkpoint of a plan, with the spec that the plan holds: no other has to be found.

    Raises PlanError (exit 2) where the plan was made for another checkpoint.
    """
    document = parse_document(plan.source, "the plan's source spec")
    spec = to_spec(document)
    source = open_source(checkpoint)
    model = Model(source, document, spec, layout_of(spec), "the plan", assumed=plan.assumed)
    try:
        check_plan(plan, model)
    except BaseException:
        source.close()
        raise
    return model


def check_plan(plan: Plan, model: Model) -> None:
    """Raise PlanError where a plan was made for another checkpoint."""
    if plan.teacher.header_digest != model.source.header_digest():
        raise PlanError(
            f"the plan was made for another checkpoint ({plan.teacher.label})",
            where=model.source.label,
            hint="make a plan for this one with `net2net plan`",
        )


def expect_teacher(model: Model, digest: str | None) -> None:
    """Raise CheckpointError where a digest is another than expected; None expects any."""
    if digest is None:
        return
    found = model.source.digest()
    if digest.removeprefix("sha256:") != found.removeprefix("sha256:"):
        raise CheckpointError(
            f"the checkpoint's digest is {found}, expected was {digest}", where=model.source.label
        )


_RECOGNISED = "recognised from its tensors"
_EMBEDDED = "embedded in its metadata"


def _assumptions(source: Source, found: str) -> tuple[str, ...]:
    """What to say of a spec that is a guess, or was one when it was embedded."""
    if found == _RECOGNISED:
        return (NOTE,)
    if found == _EMBEDDED and source.metadata.get(ASSUMED_KEY) == "1":
        return (CARRIED_NOTE,)
    return ()


def _find(source: Source, source_spec: str | None) -> tuple[Document, str]:
    if source_spec is not None:
        path = Path(source_spec)
        return resolve(read_document(path), None), str(path)
    if SPEC_KEY in source.metadata:
        label = f"the spec in {source.label}"
        return parse_document(source.metadata[SPEC_KEY], label), _EMBEDDED
    for path in _beside(source):
        if path.is_file():
            return resolve(read_document(path), None), str(path)
    _refuse_family(source)
    recognised = recognise(source.tensors)
    if recognised is None:
        raise CheckpointError(
            "the checkpoint has no spec: none embedded, none beside it, and its tensors are no"
            " plain chain of Linear or Conv layers",
            where=source.label,
            hint="describe the network in YAML and give it with --source-spec FILE",
        )
    return recognised, _RECOGNISED


def _beside(source: Source) -> list[Path]:
    if source.path is None:
        return []
    if source.path.is_dir():
        return [source.path / "spec.yaml"]
    return [source.path.with_suffix(ending) for ending in (".yaml", ".yml")]


def _refuse_family(source: Source) -> None:
    """Say plainly that a Hugging Face folder's transformer is not one of ours yet."""
    folder = source.path if source.path and source.path.is_dir() else None
    if folder is None or not (folder / "config.json").is_file():
        return
    try:
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = None
    raise SpecError(
        f"transformer families (here `{kind}`) are not supported yet",
        where=str(folder / "config.json"),
        hint="describe the network as layers in YAML and give it with --source-spec FILE",
    )
