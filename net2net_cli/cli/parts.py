"""The parts of an outcome, from what the api gives."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from net2net_cli.report import Checkpoint, Diagnostic

if TYPE_CHECKING:
    from net2net_cli.api import Grown, Model, Shrunk, Verification
    from net2net_cli.families import LaidFamily

TOLD = ("teacher", "seed", "version")
"""What a student's metadata says of its making and fits on a line."""


def checkpoint_part(model: Model, digest: str | None = None) -> Checkpoint:
    """What is said of a checkpoint that was read; ``digest`` where all of it was."""
    from net2net_cli.api import METADATA
    from net2net_cli.report.inspection import count_parameters

    source = model.source
    return Checkpoint(
        source.label,
        model.found,
        digest,
        source.header_digest(),
        len(source.tensors),
        count_parameters(model.layout),
        sum(tensor.nbytes for tensor in source.tensors.values()),
        tuple(sorted({tensor.dtype for tensor in source.tensors.values()})),
        {key: source.metadata[METADATA + key] for key in TOLD if METADATA + key in source.metadata},
    )


def family_part(model: Model) -> LaidFamily | None:
    """A checkpoint as its family of transformers lays it out, where it is one."""
    from net2net_cli.opening import FamilyModel

    return model.laid if isinstance(model, FamilyModel) else None


def student_part(grown: Grown) -> Checkpoint:
    """What is said of the checkpoint that was written."""
    return _written(grown, grown.plan.after.parameters)


def shrunk_part(shrunk: Shrunk) -> Checkpoint:
    """What is said of a teacher that was written anew."""
    return _written(shrunk, shrunk.plan.before.parameters)


def _written(made: Grown | Shrunk, parameters: int) -> Checkpoint:
    label = "standard output" if made.written is None else str(made.written)
    return Checkpoint(
        label,
        "embedded in its metadata" if made.metadata else None,
        made.digest,
        parameters=parameters,
        nbytes=made.nbytes,
    )


def told(verification: Verification) -> tuple[Diagnostic, ...]:
    """What a verification has to say beside its figures."""
    return (*warnings(verification.warnings), *remarks(verification.notes))


def warnings(*groups: Iterable[str]) -> tuple[Diagnostic, ...]:
    """Warnings as diagnostics, each once."""
    return tuple(Diagnostic("warning", text) for text in dict.fromkeys(chain(*groups)))


def remarks(*groups: Iterable[str]) -> tuple[Diagnostic, ...]:
    """Notes as diagnostics, each once."""
    return tuple(Diagnostic("note", note) for note in dict.fromkeys(chain(*groups)))
