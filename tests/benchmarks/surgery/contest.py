"""The rounds in which one growth's contestants write the same output, one after the other."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from net2net_cli.io.room import memory
from tests.benchmarks.surgery.cost import Cost, cost_of
from tests.benchmarks.surgery.growths import Growth, others, own
from tests.benchmarks.surgery.models import TINY, Size
from tests.benchmarks.surgery.results import Contest
from tests.benchmarks.surgery.rivals import Mergekit, copied

OWN, COPY = "net2net", "cp"


@dataclass(frozen=True)
class Ring:
    """Where contestants meet: a folder that holds the teachers, and what they are given there."""

    folder: Path
    mergekit: Mergekit
    rounds: int

    def teacher(self, size: Size) -> Path:
        return self.folder / f"teacher-{size.hidden}-{size.blocks}"


@dataclass
class _Costs:
    """Contestant -> what each round cost; why the others are not there."""

    found: dict[str, list[Cost]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def hold(ring: Ring, growth: Growth, size: Size) -> Contest | str:
    """What every contestant's rounds cost; or why nothing was measured."""
    source, out = ring.teacher(size), ring.folder / "out"
    need = _output_bytes(ring, growth, size)
    if (free := shutil.disk_usage(ring.folder).free) < 2.05 * need:
        return f"needs {2.05 * need / 1e9:.0f} GB of disk, {free / 1e9:.0f} are free"
    words = {
        OWN: own(growth, size, source, out),
        **others(growth, size, source, out, ring.mergekit),
    }
    skipped = _unfit(words, ring, size.nbytes + need)
    reference = ring.folder / "reference"
    with _grown(words[OWN], out, reference):  # not counted: brings the source into memory
        nbytes = reference.stat().st_size
        words[COPY] = copied(reference, _file_in(out))
        running = [name for name in words if name not in skipped]
        costs: dict[str, list[Cost]] = {name: [] for name in running}
        for _ in range(ring.rounds):
            for name in running:
                read = reference if name == COPY else _file_in(source)
                costs[name].append(_alone(words[name], read, out, reference))
    tiny = ring.teacher(TINY)
    starting = own(growth, TINY, tiny, out)
    start = [_alone(starting, _file_in(tiny), out) for _ in range(ring.rounds)]
    return Contest(
        growth.key, growth.title, size.nbytes, nbytes, costs, tuple(c.wall for c in start), skipped
    )  # fmt: skip


def _output_bytes(ring: Ring, growth: Growth, size: Size) -> int:
    """By a plan alone, which writes nothing."""
    import json

    words = own(growth, size, ring.teacher(size), ring.folder / "out")
    told = subprocess.run([*words, "--dry-run", "--json"], capture_output=True, check=True)
    return int(json.loads(told.stdout)["plan"]["after"]["nbytes"])


def _half_memory() -> int:
    return (memory() or 0) // 2


def _unfit(words: dict[str, list[str]], ring: Ring, held: int) -> dict[str, str]:
    """Who cannot run here: the script holds source and output."""
    skipped = {}
    if held > 1.8 * _half_memory():
        skipped["load-edit-save"] = f"needs {held / 1e9:.0f} GB of memory"
    if "mergekit" in words and ring.mergekit.version() is None:
        skipped["mergekit"] = f"is not installed ({ring.mergekit.tool})"
    return skipped


def _file_in(folder: Path) -> Path:
    return folder / "model.safetensors"


@contextmanager
def _grown(words: Sequence[str], out: Path, reference: Path) -> Iterator[None]:
    """Has the output there, as one file, while the block runs."""
    shutil.rmtree(out, ignore_errors=True)
    cost_of(words)
    (file,) = out.glob("*.safetensors")
    file.rename(reference)
    shutil.rmtree(out)
    try:
        yield
    finally:
        reference.unlink()


def _alone(words: Sequence[str], read: Path, out: Path, reference: Path | None = None) -> Cost:
    """One process, with nothing left to be written by those before, as much memory at hand as the
    output takes, and what is ``read`` in the machine's cache; what it writes must be as large as
    the reference, and goes again."""
    if words[0] == "sh":
        out.mkdir()
    subprocess.run(["sync"], check=True)
    if reference is not None:
        _prime(reference, out.with_name("primed"))
    _warm(read)
    cost = cost_of(words, settling=True)
    written = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    assert reference is None or abs(written / reference.stat().st_size - 1) < 0.01, words
    shutil.rmtree(out)
    return cost


def _warm(file: Path) -> None:
    """Brings a file into the machine's cache, unless it takes more than half of all memory."""
    if file.stat().st_size > _half_memory():
        return
    with file.open("rb", buffering=0) as stream:
        piece = bytearray(2**24)
        while stream.readinto(piece):
            pass


def _prime(reference: Path, file: Path) -> None:
    """Leaves the machine with pages that it need not ask its host for, half its memory at most."""
    with reference.open("rb") as source, file.open("wb") as target:
        left = min(_half_memory(), os.fstat(source.fileno()).st_size)
        while left > 0 and (sent := os.sendfile(target.fileno(), source.fileno(), None, left)):
            left -= sent
    file.unlink()
