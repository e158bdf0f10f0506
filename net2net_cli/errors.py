"""One family of errors, each with the exit code of the contract (DESIGN: section 5).

An error is one to four lines for a person: what is wrong, where, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Place:
    """A position in a text that a user wrote; ``line`` counts from 1, 0 means the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Net2NetError(Exception):
    """Base of everything that a user can cause."""

    exit_code: ClassVar[int] = 2

    def __init__(
        self, message: str, *, where: Place | str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = str(where) if where is not None else None
        self.hint = hint

    def lines(self) -> list[str]:
        """The error as printed: ``error:``, ``  -->`` place, ``hint:``."""
        found = [f"error: {self.message}"]
        if self.where:
            found.append(f"  --> {self.where}")
        if self.hint:
            found.append(f"hint: {self.hint}")
        return found


class UsageError(Net2NetError):
    """Options that do not go together, a name that does not exist."""


class SpecError(Net2NetError):
    """A spec that cannot be read or does not describe a network."""


class TraceError(Net2NetError):
    """A module that no spec can describe: an operation without a layer type, a hidden choice."""


class CheckpointError(Net2NetError):
    """A checkpoint that cannot be read, or that does not fit its spec."""


class OutputError(Net2NetError):
    """An output that exists, is the input, or cannot be written."""


class PlanError(Net2NetError):
    """A plan that cannot be read or was made for another checkpoint."""


class UnreachableError(Net2NetError):
    """The target cannot be reached while preserving the function."""

    exit_code = 3


class DifferenceError(Net2NetError):
    """Teacher and student were compared and differ beyond the tolerance."""

    exit_code = 4


def closest(name: str, known: list[str], count: int = 3) -> str:
    """A hint naming the known names that are nearest to a mistyped one, or ``""``."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=count, cutoff=0.6)
    return f"did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else ""
