"""The proof: D . E = I for every width that grows, in exact arithmetic, without any weights.

Shares nothing with the surgery: it is given each width's matrices as plain tables and multiplies
them out. Completeness (every tensor of the target there, none in excess, shapes and dtypes right)
is proved from the written file's header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

Row = Mapping[int, Fraction]


@dataclass(frozen=True)
class WidthProof:
    """One width: E's rows (new features by old ones) and D's columns (old by new)."""

    name: str
    before: int
    encode: Sequence[Row]
    decode: Sequence[Row]


@dataclass(frozen=True)
class Proof:
    """What was proved. ``failed`` names the widths and tensors for which it does not hold."""

    widths: int
    tensors: int
    failed: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all of it holds."""
        return not self.failed


Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Names to dtypes and shapes."""


def prove(widths: Sequence[WidthProof], wanted: Tensors, written: Tensors) -> Proof:
    """Check D . E = I for each width, and that the tensors written are those wanted."""
    failed = [w.name for w in widths if not inverse(w)]
    failed += [n for n in sorted({*wanted, *written}) if wanted.get(n) != written.get(n)]
    return Proof(len(widths), len(wanted), tuple(failed))


def inverse(width: WidthProof) -> bool:
    """Whether D . E = I. A row of E that is empty stands for anything; D must not read it."""
    if len(width.encode) != len(width.decode):
        return False
    product: dict[tuple[int, int], Fraction] = {}
    for row, column in zip(width.encode, width.decode, strict=True):
        if not row and column:
            return False
        for out, share in column.items():
            for old, coefficient in row.items():
                product[out, old] = product.get((out, old), Fraction(0)) + share * coefficient
    entries = {at: value for at, value in product.items() if value}
    return entries == {(n, n): Fraction(1) for n in range(width.before)}
