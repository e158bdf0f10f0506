"""The README's figures about large checkpoints, made from results/surgery.json.

    python -m tests.benchmarks.surgery.page

What 405 billion parameters take is worked out, not measured: bytes over the rate of the largest
teacher that was measured, start-up left out, for as many hosts like that machine, which write their
own shares of one output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.surgery.results import FOLDER, Contest, Results, read
from tests.benchmarks.surgery.table import megabytes, seconds, table, times_of
from tests.support.command import ROOT

HOSTS = (1, 8, 64)
STORE = 10e9
"""Bytes a second of a shared file system, for an example."""

BUSY = 0.75
"""The share of the processors' time from which on they are what bounds."""

PLACE = re.compile(r"(<!-- surgery: made by [^>]*-->\n).*?(<!-- surgery: end -->)", re.DOTALL)


@dataclass(frozen=True)
class Llama:
    """Sizes of a Llama; its parameters, norms left out, which are a millionth."""

    hidden: int = 16_384
    inner: int = 53_248
    blocks: int = 126
    keys: int = 1_024
    vocabulary: int = 128_256

    @property
    def nbytes(self) -> int:
        attention = 2 * self.hidden * (self.hidden + self.keys)
        block = attention + 3 * self.hidden * self.inner
        return 2 * (self.blocks * block + 2 * self.vocabulary * self.hidden)


TEACHER = Llama()
STUDENTS = {
    "depth": Llama(blocks=157),
    "even": Llama(hidden=32_768, inner=106_496, keys=2_048),
    "signed": Llama(hidden=32_768, inner=106_496, keys=2_048),
}


def largest(contests: Iterable[Contest]) -> list[Contest]:
    """Of each growth the one with the largest teacher."""
    found = {one.key: one for one in sorted(contests, key=lambda one: one.source_bytes)}
    return list(found.values())


PAGE = """\
On {machine} and one virtual disk, with --no-verify, `make bench`
gave this, in medians of {rounds} rounds, from a warm cache. fsync is included; the last two do not
wait for the disk, in brackets they do ([all figures](tests/benchmarks/results/surgery.md)):

{measured}

{small}

![What growing takes beside cp, mergekit and a script](tests/benchmarks/results/surgery.png)

Worked out from these rates, not measured: 405 billion parameters in bf16, {size:.0f} GB, on hosts
like that machine, with one file system for all:

{large}

These are bytes over rate and hosts; starting and the probe come on top. With many hosts the shared
file system bounds all of it: one that takes {store:.0f} GB/s in all needs {least} for the
{traffic:.1f} TB of the first row, however many hosts there are."""


def page(results: Results) -> str:
    """Both tables and what is to be said of them."""
    rows = largest(results.contests)
    taken = [one for one in rows if one.key in STUDENTS]
    machine = results.machine["machine"]
    return PAGE.format(
        machine=machine,
        rounds=results.machine["rounds"],
        measured=table(MEASURED, map(_measured, rows)),
        small=_small(min(results.contests, key=lambda one: (one.key != "even", one.source_bytes))),
        size=TEACHER.nbytes / 1e9,
        large=table(LARGE, (_large(one, int(machine.split()[0])) for one in taken)),
        store=STORE / 1e9,
        least=duration(_traffic(taken[0]) / STORE),
        traffic=_traffic(taken[0]) / 1e12,
    )


def _small(one: Contest) -> str:
    """What the least of them takes."""
    return (
        f"Of small models torch's import takes the most: {one.title}, of"
        f" {one.source_bytes / 1e9:.2f} GB takes {seconds(one.middle('net2net', 'wall'))} s,"
        f" {seconds(one.starting)} s of them for starting, the script"
        f" {seconds(one.middle('load-edit-save', 'wall'))} s, and cp of the output"
        f" {seconds(one.middle('cp', 'wall'))} s."
    )


MEASURED = ("growth", "GB", "seconds", "start-up", "× cp and fsync", "memory: anonymous, all",
            "mergekit", "load, edit, save")  # fmt: skip


def _measured(one: Contest) -> list[str]:
    ratio = one.times("cp", started=False)
    return [
        one.title, f"{one.source_bytes / 1e9:.2f} → {one.output_bytes / 1e9:.2f}",
        seconds(one.middle("net2net", "wall")), seconds(one.starting), f"{ratio:.2f}",
        _memory(one, "net2net"), _other(one, "mergekit"), _other(one, "load-edit-save"),
    ]  # fmt: skip


def _memory(one: Contest, name: str) -> str:
    held = (one.middle(name, what) for what in ("anonymous", "resident"))
    return ", ".join(f"{megabytes(nbytes)} MB" for nbytes in held)


def _other(one: Contest, name: str) -> str:
    if name not in one.costs:
        return one.skipped.get(name, "–")
    return f"{times_of(one, name)} s, {_memory(one, name)}"


LARGE = ("growth", "output", *(f"{n} host{'s' * (n > 1)}" for n in HOSTS), "bounded on one by",
         "64 hosts read and write")  # fmt: skip


def _large(one: Contest, cores: int) -> list[str]:
    student, alone = STUDENTS[one.key], _alone(one)
    cpu = one.middle("net2net", "cpu")
    wall = one.middle("net2net", "wall")
    assert cpu is not None
    assert wall is not None
    return [
        one.title, f"{student.nbytes / 1e12:.1f} TB", *(duration(alone / n) for n in HOSTS),
        "its processors" if cpu > BUSY * cores * wall else "its disk",
        f"{_traffic(one) * HOSTS[-1] / alone / 1e9:.0f} GB/s",
    ]  # fmt: skip


def _alone(one: Contest) -> float:
    """Seconds of one host."""
    return STUDENTS[one.key].nbytes / (one.output_bytes / one.work())


def _traffic(one: Contest) -> int:
    """Bytes read and written."""
    return TEACHER.nbytes + STUDENTS[one.key].nbytes


def duration(spent: float) -> str:
    """``22 s``, ``3.4 min``, ``5.9 h``."""
    if spent < 100:
        return f"{spent:.0f} s"
    return f"{spent / 60:.2g} min" if spent < 6000 else f"{spent / 3600:.1f} h"


def put(text: str, made: str) -> str:
    """A README's text with what was made in its place."""
    assert PLACE.search(text)
    return PLACE.sub(lambda found: f"{found[1]}{made}\n{found[2]}", text)


def main(files: Sequence[Path] = (ROOT / "README.md",)) -> None:
    made = page(read(FOLDER / "surgery.json"))
    for file in files:
        file.write_text(put(file.read_text(), made))


if __name__ == "__main__":
    main()
