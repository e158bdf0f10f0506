"""What a campaign of faults has found, as a file and as a table: python -m tests.faults.results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = Path(__file__).with_name("results.json")
"""The last whole campaign."""


@dataclass
class Results:
    """How often each fault was made to happen, by scenario; how many signals were ``sent`` at
    random moments and how many ``met`` a run that had not ended; what was not as it must be."""

    faults: dict[str, dict[str, int]] = field(default_factory=dict)
    random: dict[str, dict[str, int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def signals(self) -> int:
        """All that were sent at random moments."""
        return sum(sums["sent"] for sums in self.random.values())

    @property
    def at_calls(self) -> int:
        """All faults at calls that change the file system, and by limits."""
        return sum(count for kinds in self.faults.values() for count in kinds.values())

    @classmethod
    def read(cls, file: Path) -> Results:
        """From a file; empty where there is none."""
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def write(self, file: Path) -> None:
        """To a file, whole or not at all."""
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")
        temporary.replace(file)


def table(results: Results) -> str:
    """As Markdown: a row for each scenario, and one for each signal."""
    kinds = list(dict.fromkeys(kind for counts in results.faults.values() for kind in counts))
    rows = [["what is run", *kinds], ["---"] * (1 + len(kinds))]
    rows += [
        [name, *(str(counts.get(kind, "–")) for kind in kinds)]
        for name, counts in results.faults.items()
    ]
    rows += [[], ["at random", "sent", "met a run"], ["---"] * 3]
    rows += [[name, str(n["sent"]), str(n["met"])] for name, n in results.random.items()]
    return "\n".join(f"| {' | '.join(row)} |" if row else "" for row in rows)


if __name__ == "__main__":
    print(table(Results.read(FILE)))
