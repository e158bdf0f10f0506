"""Surgery and probes on a GPU, beside what the way there and back allows.

    python -m tests.benchmarks.surgery.cuda [--gb 2] [--rounds 3]

A random Llama in bf16 (2 GB are a billion parameters) is grown twice as wide on the CPU and on the
GPU, and compared with one that has a quarter more blocks, in float64. The limit is what the bytes
that were copied would take at the rate of page-locked memory, both ways at once, measured in the
same run; the share is the limit over the time without start-up, which is that of a model of a
megabyte. Files lie in memory (/dev/shm) where there is room, so that no disk takes part. Writes
results/cuda.md, or another file, row by row; without a GPU it says so, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.surgery.cost import cost_of, python
from tests.benchmarks.surgery.growths import GROWTHS, deeper
from tests.benchmarks.surgery.models import TINY, Size, sized, write_model
from tests.benchmarks.surgery.results import FOLDER
from tests.benchmarks.surgery.table import gigabytes, seconds, table
from tests.support.command import command, environment

HEAD = ("what", "device", "GB there", "GB back", "start", "seconds", "limit", "share of the limit")
BLOCK = 2**28
"""Bytes that are copied at once where the rate is measured."""


@dataclass(frozen=True)
class Rate:
    """Bytes a second to the GPU and back, both at once."""

    there: float
    back: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gb", type=float, default=2.0, help="about the teacher's size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where models are written")
    parser.add_argument("--results", type=Path, default=FOLDER / "cuda.md")
    given = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("no GPU is here: nothing is measured")
        return
    rate = rate_of(torch.cuda.current_device())
    said = (
        f"{torch.cuda.get_device_name()}, medians of {given.rounds} rounds; page-locked memory goes"
        f" there at {rate.there / 1e9:.1f} and back at {rate.back / 1e9:.1f} GB/s, both at once."
    )
    rows = list[list[str]]()
    with tempfile.TemporaryDirectory(dir=given.folder or in_memory(given.gb)) as name:
        for one in measured(Path(name), sized(given.gb), rate, given.rounds):
            rows.append(one)
            given.results.write_text(f"# On a GPU\n\n{said}\n\n{table(HEAD, rows)}\n")
    print(given.results.read_text())


def in_memory(gb: float) -> str | None:
    """A folder in memory, if it has room for a teacher and a student four times as large; None:
    the system's folder for temporary files."""
    folder = Path("/dev/shm")
    room = shutil.disk_usage(folder).free if folder.is_dir() else 0
    return str(folder) if room > 6e9 * gb else None


def rate_of(device: int) -> Rate:
    """Of copies from and to page-locked memory, on a stream each, started together."""
    import torch

    there, back = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]
    hosts = [torch.empty(BLOCK, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
    own = [torch.empty(BLOCK, dtype=torch.uint8, device=device) for _ in range(2)]
    took: dict[str, list[float]] = {"there": [], "back": []}
    for _ in range(7):
        torch.cuda.synchronize(device)
        marks = {}
        for name, stream in (("there", there), ("back", back)):
            with torch.cuda.stream(stream):
                pair = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
                pair[0].record(stream)
                if name == "there":
                    own[0].copy_(hosts[0], non_blocking=True)
                else:
                    hosts[1].copy_(own[1], non_blocking=True)
                pair[1].record(stream)
                marks[name] = pair
        torch.cuda.synchronize(device)
        for name, (first, last) in marks.items():
            took[name].append(first.elapsed_time(last) / 1e3)
    return Rate(BLOCK / median(took["there"]), BLOCK / median(took["back"]))


def measured(folder: Path, size: Size, rate: Rate, rounds: int) -> Iterator[list[str]]:
    teachers = {size: folder / "teacher", TINY: folder / "tiny"}
    for one, path in teachers.items():
        write_model(path, one)
    out = folder / "out"
    for growth in GROWTHS:
        if growth.key in ("even", "signed", "zeros"):
            words = {
                one: ["grow", str(path), *growth.options(one), "-o", f"{out}/", "--no-verify", "-q"]
                for one, path in teachers.items()
            }
            for device in ("cpu", "cuda"):
                yield row(growth.title, device, words[size], words[TINY], rate, rounds, out)
    for one, path in teachers.items():
        grown = command("grow", path, f"--set=num_hidden_layers={deeper(one)}", "-o",
                        f"{path}-student/", "--no-verify", "-q")  # fmt: skip
        subprocess.run(grown, check=True, env=environment(), capture_output=True)
    words = {one: ["verify", str(path), f"{path}-student"] for one, path in teachers.items()}
    for device in ("cpu", "cuda"):
        title = f"float64 probe, {size.nbytes / 2e9:.1f} billion parameters"
        yield row(title, device, words[size], words[TINY], rate, rounds, out)


def row(
    title: str, device: str, words: Sequence[str], tiny: Sequence[str], rate: Rate, rounds: int,
    out: Path,
) -> list[str]:  # fmt: skip
    """One line of the table; on the CPU nothing is copied."""
    where = ("--device", device)
    start = median(took([*tiny, *where], out) for _ in range(rounds))
    wall = median(took([*words, *where], out) for _ in range(rounds))
    if device == "cpu":
        return [title, device, "–", "–", seconds(start), seconds(wall), "–", "–"]
    moved = copied([*words, *where], out)
    limit = max(moved["there"] / rate.there, moved["back"] / rate.back)
    return [
        title, device, gigabytes(moved["there"]), gigabytes(moved["back"]), seconds(start),
        seconds(wall), seconds(limit), f"{limit / max(wall - start, 1e-3):.0%}",
    ]  # fmt: skip


def took(words: Sequence[str], out: Path) -> float:
    """Seconds by the clock."""
    shutil.rmtree(out, ignore_errors=True)
    # transformers imports torchvision, which a build of torch may not load
    start = "from tests.support import vision; import sys, net2net_cli.cli.main as m;"
    return cost_of(python(f"{start} sys.exit(m.run({list(words)}))")).wall


def copied(words: Sequence[str], out: Path) -> dict[str, int]:
    """Bytes that went there and back, in a run of its own."""
    shutil.rmtree(out, ignore_errors=True)
    file = out.with_suffix(".json")
    line = [sys.executable, "-m", "tests.benchmarks.surgery.tallied", str(file), *words]
    subprocess.run(line, check=True, env=environment(), stdout=subprocess.DEVNULL)
    found: dict[str, int] = json.loads(file.read_text())
    return found


if __name__ == "__main__":
    main()
