"""The parts of an outcome, from what the api gives."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from net2net_cli.report import Checkpoint, Diagnostic

if TYPE_CHECKING:
    from net2net_cli.api import Grown, Model, Verification

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


def student_part(grown: Grown) -> Checkpoint:
    """What is said of the checkpoint that was written."""
    label = "standard output" if grown.written is None else str(grown.written)
    return Checkpoint(
        label,
        "embedded in its metadata" if grown.metadata else None,
        grown.digest,
        parameters=grown.plan.after.parameters,
        nbytes=grown.nbytes,
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
