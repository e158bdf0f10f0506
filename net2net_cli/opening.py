"""A checkpoint together with its own spec: found, laid out, and checked against each other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from net2net_cli import families
from net2net_cli.errors import CheckpointError, PlanError, SpecError
from net2net_cli.families import Config, Family, LaidFamily
from net2net_cli.fits import check_fit, refuse_quantised
from net2net_cli.io import Source, open_source, read_json, strays
from net2net_cli.io.digest import has_header
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout, Layout
from net2net_cli.plan import Plan
from net2net_cli.recognise import CARRIED_NOTE, NOTE, assumed_layers, recognise
from net2net_cli.spec import (
    Document,
    Spec,
    dump,
    parse_document,
    read_document,
    to_spec,
    without_keys,
)
from net2net_cli.targets import whole

METADATA = "net2net."
"""Prefix of what a student's metadata says: spec, plan, teacher, seed, version, assumed."""

SPEC_KEY = "net2net.spec"
"""Where a checkpoint's metadata holds its spec."""

ASSUMED_KEY = "net2net.assumed"
"""Where it says, by ``1``, that the spec was recognised and that nobody has confirmed it."""


@dataclass(frozen=True)
class Model:
    """A checkpoint and its layout. ``found`` says where its spec comes from."""

    source: Source
    layout: Layout
    found: str
    notes: tuple[str, ...]

    @property
    def dtypes(self) -> dict[str, str]:
        """Each tensor's dtype, by name."""
        return {name: info.dtype for name, info in self.source.tensors.items()}

    @property
    def text(self) -> str:
        """Its spec as YAML."""
        raise NotImplementedError


@dataclass(frozen=True)
class SpecModel(Model):
    """A checkpoint that a layer spec describes; ``assumed`` says that parts of it are guesses."""

    layout: GraphLayout
    document: Document
    spec: Spec
    assumed: bool = False

    @property
    def guesses(self) -> tuple[str, ...]:
        """The layers of a recognised chain that its tensors do not show."""
        return assumed_layers(self.spec) if self.assumed else ()

    @property
    def text(self) -> str:
        """Its spec as YAML."""
        return dump(self.document)


@dataclass(frozen=True)
class FamilyModel(Model):
    """A transformer's checkpoint, described by its family and config.json."""

    laid: LaidFamily

    @property
    def text(self) -> str:
        """Family and config as YAML."""
        return families.dump(self.laid.family, self.laid.config)

    @property
    def folder(self) -> Path | None:
        """The Hugging Face folder that it is, if it is one."""
        path = self.source.path
        return path if path and (path / families.CONFIG).is_file() else None


def open_model(
    checkpoint: str, source_spec: str | None = None, family_file: Path | None = None
) -> Model:
    """Open a checkpoint and find its spec: the file given, a YAML file of its name beside it, the
    one embedded in its metadata, a config.json, or its tensors themselves where they are a plain
    chain. ``family_file`` describes a family of transformers that the package does not know.

    Reads headers only. Raises CheckpointError or SpecError (exit 2) where there is none, or where
    checkpoint and spec do not fit.
    """
    source = open_source(checkpoint)
    try:
        return with_spec(source, source_spec, family_file)
    except BaseException:
        source.close()
        raise


def with_spec(
    source: Source, source_spec: str | None = None, family_file: Path | None = None
) -> Model:
    """As ``open_model``, for a checkpoint that is open already."""
    own = families.read_family(family_file) if family_file else None
    said, found = _find(source, source_spec, own)
    if not isinstance(said, Document):
        return family_model(source, *said, found)
    document = without_keys(said, "rename")  # which is about what this network was grown from
    spec = to_spec(document)
    layout = layout_of(spec)
    check_fit(layout, source.tensors, source.label)
    notes = _assumptions(source, found)
    return SpecModel(source, layout, found, notes, document, spec, bool(notes))


def family_model(source: Source, family: Family, config: Config, found: str) -> FamilyModel:
    """A transformer's checkpoint, checked against its config.

    Raises CheckpointError where they do not fit, or where weights are quantised.
    """
    refuse_quantised(config, source)
    shapes = {name: info.shape for name, info in source.tensors.items()}
    laid = families.lay_out(family, config, source.tensors, source.label, shapes=shapes)
    families.check_tensors(laid, source.tensors, source.label)
    model = FamilyModel(source, laid.layout, found, (), laid)
    return replace(model, notes=_strays(model.folder)) if model.folder else model


def _strays(folder: Path) -> tuple[str, ...]:
    return tuple(
        f"`{name}` is a link that leads out of the folder, and is not carried along"
        for name in strays(folder)
    )


def open_planned(plan: Plan, checkpoint: str) -> Model:
    """Open the checkpoint of a plan, with the spec that the plan holds: no other has to be found.

    Raises PlanError (exit 2) where the plan was made for another checkpoint.
    """
    document = parse_document(plan.source, "the plan's source spec")
    source = open_source(checkpoint)
    try:
        check_plan(plan, source)
        if document.of_family:
            return family_model(source, *families.whole(document), "the plan")
        spec = to_spec(document)
        layout = layout_of(spec)
        return SpecModel(source, layout, "the plan", (), document, spec, plan.assumed)
    except BaseException:
        source.close()
        raise


def check_plan(plan: Plan, source: Source) -> None:
    """Raise PlanError where a plan was made for another checkpoint."""
    if not has_header(source.tensors.values(), plan.teacher.header_digest):
        raise PlanError(
            f"the plan was made for another checkpoint ({plan.teacher.label})",
            where=source.label,
            hint="make a plan for this one with `net2net plan`",
        )


def expect_teacher(model: Model, digest: str | None) -> None:
    """Raise CheckpointError where a digest is another than expected; None expects any."""
    if digest is None:
        return
    where = model.source.label
    if digest.startswith("sha256:"):
        raise CheckpointError(
            "digests are blake3's now: one of sha256 cannot be compared",
            where=where,
            hint=f"`net2net inspect -v {where}` prints the digest to expect",
        )
    found = model.source.digest()
    if digest.removeprefix("blake3:") != found.removeprefix("blake3:"):
        raise CheckpointError(
            f"the checkpoint's digest is {found}, expected was {digest}", where=where
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


def _find(
    source: Source, source_spec: str | None, own: Family | None
) -> tuple[Document | tuple[Family, Config], str]:
    if source_spec is not None:
        return read_said(Path(source_spec), own), source_spec
    embedded, config = _embedded(source), _config_beside(source)
    if isinstance(embedded, Document):
        return embedded, _EMBEDDED
    for path in _beside(source):
        if path.is_file():
            return read_said(path, own), str(path)
    if config is not None:  # what transformers reads is what counts
        return read_said(config, own or _embedded_own(embedded)), str(config)
    if embedded is not None:
        return embedded, _EMBEDDED
    recognised = recognise(source.tensors)
    if recognised is None:
        in_folder = source.path is not None and source.path.is_dir()
        beside = "put a transformer's config.json into the folder, or " if in_folder else ""
        raise CheckpointError(
            "the checkpoint has no spec: none embedded, none beside it, no config.json, and its"
            " tensors are no plain chain of Linear or Conv layers",
            where=source.label,
            hint=f"{beside}describe the network in YAML and give it with --source-spec FILE",
        )
    return recognised, _RECOGNISED


def read_said(path: Path, own: Family | None) -> Document | tuple[Family, Config]:
    """The network of a spec or a config.json; ``own`` is a family given for it.

    Raises SpecError where it describes none.
    """
    if path.suffix == ".json":
        config = read_json(path, "the config")
        kind = config.get("model_type")
        if own is None and not isinstance(kind, str):
            raise SpecError(
                "the config has no `model_type`, which tells the family",
                where=str(path),
                hint="write it there, or give the network's own spec with --source-spec FILE",
            )
        return own or families.family_of(str(kind), str(path)), config
    document = read_document(path)
    if not document.of_family:
        return whole(document)
    return (own, families.described(document).config) if own else families.whole(document)


def _embedded(source: Source) -> Document | tuple[Family, Config] | None:
    if SPEC_KEY not in source.metadata:
        return None
    document = parse_document(source.metadata[SPEC_KEY], f"the spec in {source.label}")
    return families.whole(document) if document.of_family else document


def _embedded_own(embedded: tuple[Family, Config] | None) -> Family | None:
    """A family of the user's own, which lies in the metadata alone."""
    return embedded[0] if embedded and embedded[0].text else None


def _beside(source: Source) -> list[Path]:
    if source.path is None:
        return []
    if source.path.is_dir():
        return [source.path / "spec.yaml"]
    return [source.path.with_suffix(ending) for ending in (".yaml", ".yml")]


def _config_beside(source: Source) -> Path | None:
    """The config.json of a folder, or beside a file that is named as Hugging Face does."""
    path = source.path
    if path is None:
        return None
    if not path.is_dir() and not re.fullmatch(r"(pytorch_)?model.*\.(safetensors|bin)", path.name):
        return None
    found = (path if path.is_dir() else path.parent) / families.CONFIG
    return found if found.is_file() else None
