"""What a campaign has found, as a file and as a table: python -m tests.fuzz.results."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("results.json")
"""The last whole campaign."""

HEADINGS = ("kind", "inputs", "refused: 2", "refused: 3", "done: 0", "4, 5", "slowest", "memory")


@dataclass
class Kind:
    """The inputs of one subject: how many ended in which exit code, the longest that one took, and
    the most memory that the process had."""

    inputs: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Found:
    """An input that was not met as it should be. Subject and seed make it again."""

    subject: str
    seed: int
    words: list[str]
    problem: str

    def __str__(self) -> str:
        said = f"net2net {' '.join(self.words)}"[:200]
        return f"{self.subject} {self.seed}: {self.problem}\n    {said!r}"


@dataclass
class Results:
    """Sums by subject, and all that was found."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """How many there were."""
        return sum(kind.inputs for kind in self.kinds.values())

    def add(
        self,
        subject: str,
        seed: int,
        code: int | None,
        seconds: float,
        memory: int,
        words: list[str],
        problem: str,
    ) -> None:
        """One input."""
        kind = self.kinds.setdefault(subject, Kind())
        kind.inputs += 1
        kind.codes[str(code)] += 1
        kind.seconds, kind.memory = max(kind.seconds, seconds), max(kind.memory, memory)
        if problem:
            self.found.append(Found(subject, seed, words, problem))

    def died(self, subject: str, seed: int, code: int) -> None:
        """An input that ended the process."""
        self.add(subject, seed, None, 0.0, 0, [], f"the process ended with {code}")

    def merge(self, other: Results) -> None:
        """Add another's sums."""
        for name, more in other.kinds.items():
            kind = self.kinds.setdefault(name, Kind())
            kind.inputs += more.inputs
            kind.codes += more.codes
            kind.seconds = max(kind.seconds, more.seconds)
            kind.memory = max(kind.memory, more.memory)
        self.found += other.found

    @classmethod
    def read(cls, file: Path) -> Results:
        """From a file; empty where there is none."""
        data: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        kinds = {
            name: Kind(**{**kind, "codes": Counter(kind["codes"])})
            for name, kind in data.get("kinds", {}).items()
        }
        return cls(kinds, [Found(**item) for item in data.get("found", ())])

    def write(self, file: Path) -> None:
        """To a file, whole or not at all."""
        kinds = {
            name: {**vars(kind), "codes": dict(kind.codes)} for name, kind in self.kinds.items()
        }
        data = {"kinds": kinds, "found": [asdict(item) for item in self.found]}
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(data, indent=1) + "\n")
        temporary.replace(file)


def table(results: Results) -> str:
    """As Markdown, with sums below."""
    rows = [_row(name, kind) for name, kind in results.kinds.items()]
    total = Results(kinds={})
    for kind in results.kinds.values():
        total.merge(Results({"all": kind}))
    rows += [_row(name, kind) for name, kind in total.kinds.items()]
    lines = [HEADINGS, ["---"] * len(HEADINGS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, kind: Kind) -> list[str]:
    of = kind.codes
    return [
        name, f"{kind.inputs:,}", f"{of['2']:,}", f"{of['3']:,}", f"{of['0']:,}",
        f"{of['4'] + of['5']:,}", f"{kind.seconds:.1f} s", f"{kind.memory / 1e6:.0f} MB",
    ]  # fmt: skip


if __name__ == "__main__":
    print(table(Results.read(FILE)))
