"""Expansions: the pair of matrices by which a width grows from n to m features.

    encode  E : m x n    new features = E . old features      (writers are multiplied by E)
    decode  D : n x m    with D . E = I                       (readers are multiplied by D)

Both are kept sparse, as for each new feature the old one that it copies. The rules and where each
is exact: Chen, Goodfellow, Shlens 2016 (arXiv 1511.05641), section 2.2, for duplicate; DESIGN,
section 2, for the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Kind = Literal["duplicate", "even", "fresh", "zero", "mean"]
Split = Literal["even", "dyadic", "random", "signed", "whole"]

KINDS: tuple[Kind, ...] = ("fresh", "duplicate", "even", "mean", "zero")
"""In the order in which ``auto`` prefers them: fresh units learn fast at any learning rate, and
round nothing (tests/benchmarks/results/learning.md)."""

SPLITS: tuple[Split, ...] = ("signed", "whole", "random", "dyadic", "even")
"""In the order in which students learn (tests/benchmarks/results/learning.md); the first is the
default."""

NEW = -1
"""The source index of a feature that copies none."""


@dataclass(frozen=True)
class Expansion:
    """A width's growth from ``before`` to ``after`` features.

    ``index`` gives, for each new feature, the old feature that it copies, or NEW; the first
    ``before`` are the old ones in their order. What NEW features are, ``kind`` says: freshly
    initialised, zero, or the mean of all old ones.
    """

    kind: Kind
    before: int
    after: int
    index: tuple[int, ...]


def expand(kind: Kind, before: int, after: int, key: str) -> Expansion:
    """The expansion of that kind; ``key`` (seed and name) decides which features are copied.

    duplicate copies every old feature equally often as far as that goes; which ones are copied
    once more is drawn from the key. Copies lie in the order of what they copy, so that they are
    written in long runs. even needs ``after`` to be a multiple of ``before``. Raises ValueError
    otherwise.
    """
    if after < before or before < 0 or (before == 0 and kind != "fresh"):
        raise ValueError(f"{kind} cannot take {before} features to {after}")
    if kind == "even" and after % before:
        raise ValueError(f"copies in equal number need a multiple of {before}, not {after}")
    old = tuple(range(before))
    count = after - before
    if kind in ("duplicate", "even"):
        chosen = tuple(_drawn(before, count % before, key))
        return Expansion(kind, before, after, old * (after // before) + chosen)
    return Expansion(kind, before, after, old + (NEW,) * count)


def unchanged(size: int) -> Expansion:
    """The expansion that changes nothing."""
    return Expansion("duplicate", size, size, tuple(range(size)))


def _drawn(size: int, count: int, key: str) -> list[int]:
    """Some of the old features, in order; which, depends on the key alone (on any platform)."""

    def rank(unit: int) -> bytes:
        return hashlib.blake2b(f"{key}/{unit}".encode(), digest_size=8).digest()

    return sorted(sorted(range(size), key=rank)[:count])


def encode(expansion: Expansion) -> list[dict[int, Fraction]]:
    """E's rows as {old feature: coefficient}; a fresh row is empty, as it may hold anything."""
    mean = {n: Fraction(1, expansion.before) for n in range(expansion.before)}
    return [
        {n: Fraction(1)} if n != NEW else mean if expansion.kind == "mean" else {}
        for n in expansion.index
    ]


def decode(expansion: Expansion, shares: Sequence[Fraction]) -> list[dict[int, Fraction]]:
    """D's columns as {old feature: coefficient}, given each new feature's share of its weight."""
    return [
        {n: share} if n != NEW else {} for n, share in zip(expansion.index, shares, strict=True)
    ]


def even_shares(expansion: Expansion) -> list[Fraction]:
    """The share of each feature where copies share alike (any split has the same sums)."""
    count = [0] * expansion.before
    for n in expansion.index:
        if n != NEW:
            count[n] += 1
    return [Fraction(1, count[n]) if n != NEW else Fraction(0) for n in expansion.index]


def is_inverse(expansion: Expansion, shares: Sequence[Fraction]) -> bool:
    """Whether D . E = I, in exact arithmetic."""
    found: list[dict[int, Fraction]] = [{} for _ in range(expansion.before)]
    rows, columns = encode(expansion), decode(expansion, shares)
    for row, column in zip(rows, columns, strict=True):
        for out, share in column.items():
            for old, coefficient in row.items():
                found[out][old] = found[out].get(old, Fraction(0)) + share * coefficient
    return all(
        {k: v for k, v in line.items() if v} == {at: Fraction(1)} for at, line in enumerate(found)
    )
