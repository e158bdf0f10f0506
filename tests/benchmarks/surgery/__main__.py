"""Measures, and writes what was found: see the package."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import tests.benchmarks.surgery as package
from net2net_cli import __version__
from tests.benchmarks.surgery import contest, plot, results, table
from tests.benchmarks.surgery.cost import cost_of, python
from tests.benchmarks.surgery.growths import GROWTHS, deeper
from tests.benchmarks.surgery.models import TINY, Size, sized, write_model
from tests.benchmarks.surgery.results import Contest, Planning, Results
from tests.benchmarks.surgery.rivals import Mergekit
from tests.support.command import ROOT, command, environment


def main() -> None:
    given = arguments()
    growths = [growth for growth in GROWTHS if growth.key in given.growths]
    found, planning, left_out = list[Contest](), list[Planning](), list[str]()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        ring = contest.Ring(Path(name), Mergekit(given.mergekit), given.rounds)
        write_model(ring.teacher(TINY), TINY)
        for size in map(sized, given.gb):
            write_model(ring.teacher(size), size)
            for growth in growths:
                measured = contest.hold(ring, growth, size)
                if isinstance(measured, Contest):
                    found.append(measured)
                    say(measured)
                else:
                    left_out.append(f"{growth.title}, {table.gigabytes(size.nbytes)}: {measured}")
            planning.append(planned(ring, size))
            for file in ring.teacher(size).iterdir():
                file.unlink()
    mine = Results(
        told(given),
        machine(ring.mergekit, given.rounds), tuple(found), tuple(planning), tuple(left_out),
    )  # fmt: skip
    keep(mine, given.results, add=given.add)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.surgery", description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    keys = [growth.key for growth in GROWTHS]
    add = parser.add_argument
    add("--gb", type=float, nargs="+", default=[0.5, 2.0, 8.0], help="sizes of the teachers")
    add("--rounds", type=int, default=5)
    add("--growths", nargs="+", choices=keys, default=keys)
    add("--folder", help="where to write; the system's folder for temporary files if left out")
    add("--results", type=Path, default=results.FOLDER, help="where the figures go")
    add("--add", action="store_true", help="to the figures that are there, in place of its like")
    add("--mergekit", type=Path, default=ROOT / ".venv-mergekit/bin/mergekit-yaml")
    return parser.parse_args()


def told(given: argparse.Namespace) -> str:
    """The command, without where it wrote."""
    sizes = " ".join(f"{gb:g}" for gb in given.gb)
    words = f"--gb {sizes} --rounds {given.rounds} --growths {' '.join(given.growths)}"
    return f"python -m tests.benchmarks.surgery {words}"


def planned(ring: contest.Ring, size: Size) -> Planning:
    """Planning to grow deeper and wider."""
    words = ["plan", str(ring.teacher(size)), f"--set=num_hidden_layers={deeper(size)}",
             f"--set=hidden_size={2 * size.hidden}"]  # fmt: skip
    looks = (
        f"import sys, net2net_cli.cli.main as m; m.run({words}); sys.exit('torch' in sys.modules)"
    )
    imports = subprocess.run(python(looks), env=environment(), capture_output=True, check=False)
    runs = {"plan": command(*words), "python": python("pass"), "torch": python("import torch")}
    costs = {name: [cost_of(line) for _ in range(ring.rounds)] for name, line in runs.items()}
    return Planning(size.nbytes, imports.returncode != 0, **costs)


def say(one: Contest) -> None:
    """What was found so far, on standard error."""
    took = {name: [round(cost.wall, 2) for cost in costs] for name, costs in one.costs.items()}
    print(f"{one.title}, {table.gigabytes(one.source_bytes)}: {took}", file=sys.stderr, flush=True)


def keep(mine: Results, folder: Path, *, add: bool) -> None:
    """The figures, the table and the plot."""
    file = folder / "surgery.json"
    folder.mkdir(parents=True, exist_ok=True)
    if add and file.exists():
        mine = results.read(file).adding(mine)
    results.write(mine, file)
    text = table.document(mine)
    file.with_suffix(".md").write_text(text)
    plot.draw(mine, file.with_suffix(".png"))
    print(text)


def machine(mergekit: Mergekit, rounds: int) -> dict[str, str]:
    """What the figures depend on."""
    named = [line for line in lines("/proc/cpuinfo") if line.startswith("model name")]
    cpu = named[0].split(":")[1].strip() if named else platform.machine()
    memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    kernel = platform.release().partition("-")[0]
    return {
        "machine": f"{os.cpu_count()} cores ({cpu}), {memory}, Linux {kernel}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "rounds": str(rounds),
        "net2net": f"{__version__}, commit {commit()}",
        "others": f"Python {platform.python_version()}, torch {version('torch')},"
                  f" mergekit {mergekit.version() or 'not installed'}",
    }  # fmt: skip


def lines(file: str) -> Sequence[str]:
    return Path(file).read_text().splitlines()


def commit() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
