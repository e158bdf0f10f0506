"""Very many spoilt inputs: python -m tests.fuzz.campaign.

The command runs in the process of a worker, since starting Python a hundred thousand times would
take a day; a worker that dies takes the input with it that killed it. What was tried is added up in
a file as it goes, so that a campaign that was ended goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.bench import Bench
from tests.fuzz.limits import MEMORY
from tests.fuzz.results import Kind, Results, table
from tests.fuzz.subjects import SUBJECTS
from tests.support.command import environment

ROUND = 100
"""So many seeds of each subject are tried by one worker, before the sums are written."""

Input = tuple[str, int]


def inputs(results: Results, count: int) -> Iterator[list[Input]]:
    """Rounds of what is still to be tried, so that each subject has its share of ``count``."""
    share, more = divmod(count, len(SUBJECTS))
    wanted = {name: share + (at < more) for at, name in enumerate(SUBJECTS)}
    done = {name: results.kinds.get(name, Kind()).inputs for name in SUBJECTS}
    while any(done[name] < wanted[name] for name in SUBJECTS):
        part: list[Input] = []
        for name in SUBJECTS:
            end = min(wanted[name], done[name] + ROUND)
            part += [(name, seed) for seed in range(done[name], end)]
            done[name] = max(done[name], end)
        yield part


def work() -> None:
    """A worker: says each input before it is tried, so that a death names it, and what became of
    it."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root))
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (limit + MEMORY, limit + MEMORY))
        for subject, seed in json.loads(sys.stdin.readline()):
            print(json.dumps([subject, seed]), flush=True)
            print(json.dumps(asdict(bench.try_one(subject, seed))), flush=True)
        os.chdir("/")


def tried(part: Sequence[Input]) -> Results:
    """One round by a worker, and by another behind what the first one died of."""
    results = Results()
    left = list(part)
    while left:
        code, lines = _worked(left)
        for place, line in zip(left, lines[1::2], strict=False):
            results.add(*place, **json.loads(line))
        done = len(lines) // 2
        if code and done < len(left):
            results.died(*left[done], code)
            print(results.found[-1], file=sys.stderr)
            done += 1
        elif code:
            raise RuntimeError(f"a worker ended with {code}")
        left = left[done:]
    return results


def _worked(part: Sequence[Input]) -> tuple[int, list[str]]:
    words, given = [sys.executable, "-m", "tests.fuzz.campaign", "--work"], json.dumps(part) + "\n"
    env = environment(OMP_NUM_THREADS="1", PYTHONFAULTHANDLER=None)
    done = subprocess.run(
        words,
        input=given,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def main() -> None:
    """Run a campaign, and print its table and what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, help="where the sums are kept; goes on from there")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work()
        return
    results = Results.read(args.results) if args.results else Results()
    if results.inputs >= args.count:
        results = Results()  # that one is complete
    with ThreadPoolExecutor(args.workers) as pool:
        for one in pool.map(tried, inputs(results, args.count)):
            results.merge(one)
            if args.results:
                results.write(args.results)
            print(f"{results.inputs} inputs, {len(results.found)} found", file=sys.stderr)
    print(table(results))
    for item in results.found:
        print(item)
    sys.exit(bool(results.found))


if __name__ == "__main__":
    main()
