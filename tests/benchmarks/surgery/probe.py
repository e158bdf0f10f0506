"""What the probe costs, in float64 on the CPU: seconds, and memory beside its bound.

    python -m tests.benchmarks.surgery.probe [--gb 2] [--memory 128MB 512MB] [--rounds 3]

A random Llama of that size and one with a quarter more blocks, and a chain of Linear layers of half
that size and one with a wider layer, are compared by `net2net verify`. The bound holds what inputs,
results and outputs take; what lies above it is Python with its libraries, which hold as much in the
same command on models of a megabyte. Writes results/probe.md.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.surgery.cost import Cost, cost_of, python
from tests.benchmarks.surgery.growths import deeper
from tests.benchmarks.surgery.models import TINY, Size, sized, write_model
from tests.benchmarks.surgery.results import FOLDER
from tests.benchmarks.surgery.table import megabytes, seconds, table
from tests.support.command import command, environment

HEAD = (
    "pair",
    "GB",
    "--probe-memory",
    "seconds",
    "CPU seconds",
    "anonymous MB",
    "above the libraries'",
)
LAYERS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0, help="about the teacher's size")
    parser.add_argument("--memory", nargs="+", default=["128MB", "512MB"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to write")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        llama(folder / "llama", sized(given.gb))
        llama(folder / "tiny-llama", TINY)
        chain(folder / "chain", given.gb / 2)
        chain(folder / "tiny-chain", 0.001)
        rows = [row for kind in ("llama", "chain") for row in rows_of(folder, kind, given)]
    text = f"# The probe, measured\n\nMedians of {given.rounds} rounds.\n\n{table(HEAD, rows)}\n"
    (FOLDER / "probe.md").write_text(text)
    print(text)


def rows_of(folder: Path, kind: str, given: argparse.Namespace) -> Iterator[list[str]]:
    for memory in given.memory:
        empty = median(c.anonymous for c in compared(folder / f"tiny-{kind}", memory, given.rounds))
        found = compared(folder / kind, memory, given.rounds)
        held = median(c.anonymous for c in found)
        nbytes = sum(file.stat().st_size for file in folder.rglob("*") if f"/{kind}" in str(file))
        yield [
            kind, f"{nbytes / 1e9:.1f}", memory, seconds(median(c.wall for c in found)),
            seconds(median(c.cpu for c in found)), megabytes(held), megabytes(held - empty),
        ]  # fmt: skip


def compared(teacher: Path, memory: str, rounds: int) -> list[Cost]:
    words = ["verify", str(teacher), f"{teacher}-student", "--probe-memory", memory]
    # transformers imports torchvision, which a CPU build of torch may not load
    start = (
        "import sys; from tests.support import vision; import net2net_cli.cli.main as m;"
        f" sys.exit(m.run({words}))"
    )
    return [cost_of(python(start)) for _ in range(rounds)]


def llama(folder: Path, size: Size) -> None:
    """The pair, with a quarter more blocks."""
    write_model(folder, size)
    grown("grow", folder, f"--set=num_hidden_layers={deeper(size)}")


def chain(path: Path, gb: float) -> None:
    """The pair: Linear layers, one of them a quarter wider."""
    width = round((gb * 1e9 / 4 / LAYERS) ** 0.5)
    draw = (
        "import torch; from safetensors.torch import save_file;"
        f" save_file({{f'fc{{i}}.weight': torch.randn({width}, {width}) / {width**0.5}"
        f" for i in range({LAYERS})}}, '{path}')"
    )
    subprocess.run(python(draw), check=True, env=environment())
    grown("widen", path, "--layer=fc1", f"--to={width * 5 // 4}")


def grown(how: str, teacher: Path, *options: str) -> None:
    words: Sequence[str] = command(
        how, teacher, *options, "-o", f"{teacher}-student", "--no-verify"
    )
    subprocess.run(words, check=True, capture_output=True, env=environment())


if __name__ == "__main__":
    main()
