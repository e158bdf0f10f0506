"""What a command did: the parts of its result, what was remarked on the way, the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from net2net_cli.errors import Net2NetError

if TYPE_CHECKING:
    from net2net_cli.diff import Difference
    from net2net_cli.families import LaidFamily
    from net2net_cli.layout import Layout
    from net2net_cli.optimizer import Carried
    from net2net_cli.plan import Plan
    from net2net_cli.rebuilding import Shrunk
    from net2net_cli.trainability import Finding
    from net2net_cli.verification import Verification


@dataclass(frozen=True)
class Diagnostic:
    """One remark: an error, a warning or a note, as a person reads it and as JSON holds it."""

    severity: Literal["error", "warning", "note"]
    message: str
    where: str | None = None
    hint: str | None = None

    def lines(self) -> list[str]:
        """As printed on standard error."""
        found = [f"{self.severity}: {self.message}"]
        if self.where:
            found.append(f"  --> {self.where}")
        if self.hint:
            found.append(f"hint: {self.hint}")
        return found


def from_error(error: Net2NetError) -> Diagnostic:
    """An error of the user's as a diagnostic."""
    return Diagnostic("error", error.message, error.where, error.hint)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that took part. ``digest`` covers every byte, where all were read;
    ``header_digest`` names, dtypes and shapes. ``provenance`` is what net2net noted in the file
    when it wrote it."""

    checkpoint: str
    spec: str | None = None
    digest: str | None = None
    header_digest: str | None = None
    tensors: int | None = None
    parameters: int | None = None
    nbytes: int | None = None
    dtypes: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """One run; parts that a command does not have are None.

    ``family`` is the teacher or what was inspected, where that is a transformer: for pictures.
    ``text_to`` is where a person's text goes: standard error where the result itself, a
    checkpoint, took standard output.
    """

    command: str
    exit_code: int = 0
    diagnostics: tuple[Diagnostic, ...] = ()
    teacher: Checkpoint | None = None
    student: Checkpoint | None = None
    inspected: Layout | None = None
    training: tuple[Finding, ...] | None = None
    family: LaidFamily | None = None
    spec: str | None = None
    code: str | None = None
    differences: tuple[Difference, ...] | None = None
    plan: Plan | None = None
    verification: Verification | None = None
    carried: Carried | None = None
    shrunk: Shrunk | None = None
    seconds: float | None = None
    written: Path | None = None
    text_to: Literal["stdout", "stderr"] = "stdout"
