"""What a probe found, as plain data. Knows no torch, so that reports need none.

Errors are maxima of absolute values: signed errors that cancel in a sum are a published mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROBES = 8
"""How many inputs are drawn where nothing else is asked for."""

Mode = Literal["evaluation", "training"]
"""Training mode is that of the norms: batch statistics in place of running ones, dropout off."""


@dataclass(frozen=True)
class OutputDifference:
    """One output of two networks, over all probes; ``name`` is the teacher's.

    ``relative_error`` is max |a - b| / max |a|, over entries that are finite in both; infinite
    where the teacher gives nothing but zeros and the student does not.
    ``argmax_agreement`` is the share of predictions that agree; None without two classes.
    ``nan_equal``: NaN meets NaN everywhere, and each infinity its like.
    ``compared``: the share of entries that are finite in both.
    ``spread``: how far an entry moves from probe to probe, the farthest, over max |a|; near 0, the
    probes say little.
    """

    name: str
    max_error: float
    relative_error: float
    argmax_agreement: float | None
    nan_equal: bool
    compared: float
    spread: float


@dataclass(frozen=True)
class Parting:
    """Where two networks first compute something else: a layer, or a block of a transformer, and
    how far its value is off, relative. ``read`` are the values that it reads and that agree still.
    """

    layer: str
    relative_error: float
    read: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"they part at `{self.layer}`, by {self.relative_error:.1e}"
        if not self.read:
            return where
        names = " and ".join(f"`{name}`" for name in self.read[:2])
        return f"{where}; {names} {'agree' if len(self.read) > 1 else 'agrees'}"


@dataclass(frozen=True)
class Comparison:
    """Two networks compared in one mode: the worst over ``outputs``, which has each alone.

    A ``spread`` below the tolerance means that the probes cannot tell the networks apart: a random
    deep network may give the same output for every input, up to a hair.
    """

    mode: Mode
    probes: int
    dtype: str
    max_error: float
    relative_error: float
    argmax_agreement: float | None
    nan_equal: bool
    spread: float
    outputs: tuple[OutputDifference, ...]

    def within(self, tolerance: float) -> bool:
        """Whether the student computes what the teacher does, up to a relative error."""
        return self.nan_equal and self.relative_error <= tolerance


def summarize(
    mode: Mode, probes: int, dtype: str, outputs: tuple[OutputDifference, ...]
) -> Comparison:
    """The comparison whose figures are the worst of its outputs'."""
    agreements = [o.argmax_agreement for o in outputs if o.argmax_agreement is not None]
    return Comparison(
        mode,
        probes,
        dtype,
        max_error=max(o.max_error for o in outputs),
        relative_error=max(o.relative_error for o in outputs),
        argmax_agreement=min(agreements, default=None),
        nan_equal=all(o.nan_equal for o in outputs),
        spread=min(o.spread for o in outputs),
        outputs=outputs,
    )
