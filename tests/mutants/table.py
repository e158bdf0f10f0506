"""The share of mutants that proof and probe catch, as the table of SECURITY.md:
python -m tests.mutants.table (about four minutes)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.judged import NETS, Mutant, mutants
from tests.mutants.pretrained import FAMILIES, family_mutants

HEADINGS = ("mistake", "mutants", "caught", "by the proof", "by the probe", "without effect")


def every_mutant() -> Iterator[Mutant]:
    """Those of all networks of layers, then those of all families."""
    for name in NETS:
        yield from mutants(name)
    for name in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            yield from family_mutants(name, Path(folder))


def main() -> None:
    """Print the table, and what was missed."""
    found = list(every_mutant())
    counts = {h: Counter[str]() for h in HEADINGS[1:]}
    for m in found:
        counts["without effect"][m.kind] += m.harmless
        counts["mutants"][m.kind] += not m.harmless
        counts["by the proof"][m.kind] += m.proof
        counts["by the probe"][m.kind] += m.probe
        counts["caught"][m.kind] += m.proof or m.probe
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    for kind in dict.fromkeys(m.kind for m in found):
        print(f"| {kind} | {' | '.join(str(counts[h][kind]) for h in HEADINGS[1:])} |")
    print(f"| all | {' | '.join(str(counts[h].total()) for h in HEADINGS[1:])} |")
    for m in found:
        if not (m.harmless or m.proof or m.probe):
            print(f"missed: {m.kind} in {m.where} of {m.network}, {m.growth}")


if __name__ == "__main__":
    main()
