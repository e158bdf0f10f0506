"""Very many spoilt inputs, and what must hold for every one: python -m tests.fuzz.campaign.

The command runs in the process of a worker, since starting Python a hundred thousand times would
take a day; a worker that dies takes the input with it that killed it. For each run: the exit code
is one of the contract's but 1; nothing but text reaches the terminal; no error has more than four
lines; nothing but the output named is made, nothing of the input changed; ten seconds, and a
gigabyte above what the process had, are enough.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.subjects import SUBJECTS, Valid
from tests.support.command import environment

SECONDS, MEMORY = 10, 2**30
CODES = (0, 2, 3, 4, 5)
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that a terminal acts upon, but for the line's end and the tab."""


@dataclass(frozen=True)
class Found:
    """An input that was not met as it should be. ``seed`` makes it again."""

    subject: str
    seed: int
    words: list[str]
    problem: str


class TooSlowError(BaseException):
    """Nothing in a run may catch it as an error of its own."""


class Bench:
    """Folders and streams for runs in this process."""

    def __init__(self, root: Path) -> None:
        self.valid = Valid(root / "valid")
        self.valid.folder.mkdir()
        self.valid.make()
        self.folder = root / "run"
        self.out = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the bench)
        self.err = tempfile.TemporaryFile()  # noqa: SIM115
        self._prepare()

    def _prepare(self) -> None:
        here = self.valid.folder
        growth = ["--set", "fc1.out_features=9", "--set", "conv.out_channels=6"]
        for words in (
            ["plan", "ckpt.safetensors", *growth, "-o", "plan.json"],
            ["grow", "ckpt.safetensors", *growth, "-o", "student.safetensors"],
        ):
            code, _, err = self.run(words, here)
            assert code == 0, err

    def try_one(self, subject: str, seed: int) -> Found | None:
        """Make one input, run the command on it, and say what was wrong."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        words = SUBJECTS[subject](self.valid, Random(f"{subject}/{seed}"), self.folder)
        before = _content(self.folder)
        problem = self._problem(words, before)
        return Found(subject, seed, words, problem) if problem else None

    def _problem(self, words: list[str], before: dict[str, bytes]) -> str:
        try:
            code, out, err = self.run(words, self.folder)
        except TooSlowError:
            return f"more than {SECONDS} s"
        if code not in CODES:
            return f"exit {code}: {err[-500:]}"
        if "the memory is used up" in err:
            return f"more than {MEMORY >> 20} MB"
        if "Traceback" in err and "--debug" not in words:
            return f"a traceback: {err[-500:]}"
        if found := OBEYED.search(out + err):
            return f"{found[0]!r} reaches the terminal"
        if code == 2 and "error:" not in err and "--json" not in words and "-q" not in words:
            return f"exit 2 without a word: {err[-300:]}"
        lines = err[err.index("error:") :].splitlines() if "error:" in err else []
        if len(lines) > 4 and "--debug" not in words:
            return f"an error of {len(lines)} lines"
        return self._strewn(before, words)

    def _strewn(self, before: dict[str, bytes], words: list[str]) -> str:
        after = _content(self.folder)
        if changed := [n for n in before if after.get(n) != before[n] and n not in words]:
            return f"changed {changed}"
        made = {n.split("/")[0] for n in after.keys() - before.keys()}
        if strange := [n for n in made if n not in words and not n.startswith(("out", "ckpt-"))]:
            return f"made {strange}"
        return ""

    def run(self, words: list[str], folder: Path) -> tuple[int, str, str]:
        """Exit code and what was printed."""
        from net2net_cli.cli.main import run

        for stream in (self.out, self.err):
            stream.seek(0)
            stream.truncate()
        os.chdir(folder)
        signal.signal(signal.SIGALRM, _too_slow)
        signal.alarm(SECONDS)
        try:
            with _standard(self.out.fileno(), self.err.fileno()):
                code = run(words)
        finally:
            signal.alarm(0)
        texts = []
        for stream in (self.out, self.err):
            stream.seek(0)
            texts.append(stream.read(2**20).decode("utf-8", "replace"))
        return code, texts[0], texts[1]


@contextmanager
def _standard(*files: int) -> Iterator[None]:
    """Standard output and error as a process of its own would have them."""
    kept, streams = [os.dup(1), os.dup(2)], (sys.stdout, sys.stderr)
    sys.stdout.flush()
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file, number)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", encoding="utf-8") for n in (1, 2))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.close()
        sys.stdout, sys.stderr = streams
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise TooSlowError


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def inputs(first: int, count: int) -> Iterator[tuple[str, int]]:
    """Subjects in turn, seeds counted up."""
    names = list(SUBJECTS)
    for number in range(first, first + count):
        yield names[number % len(names)], number // len(names)


def work(first: int, count: int) -> None:
    """A worker: prints a line before each run, so that a death names its input, and one for each
    thing found."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root))
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (limit + MEMORY, limit + MEMORY))
        for subject, seed in inputs(first, count):
            print(json.dumps(["try", subject, seed]), flush=True)
            found = bench.try_one(subject, seed)
            if found:
                print(json.dumps(["found", *vars(found).values()]), flush=True)
        os.chdir("/")


def campaign(first: int, count: int, workers: int) -> tuple[Counter[str], list[Found]]:
    """Divide the inputs among workers; one that dies is replaced, behind what it died of."""
    tried: Counter[str] = Counter()
    found: list[Found] = []
    share = -(-count // workers)
    spans = [(first + i * share, min(share, count - i * share)) for i in range(workers)]
    running = [(_start(*span), *span) for span in spans if span[1] > 0]
    while running:
        process, begun, left = running.pop(0)
        assert process.stdout is not None
        last: tuple[str, int] | None = None
        done = 0
        for line in process.stdout:
            kind, *rest = json.loads(line)
            if kind == "try":
                last, done = (rest[0], rest[1]), done + 1
                tried[rest[0]] += 1
            else:
                found.append(Found(*rest))
        if process.wait() and last is not None:
            found.append(Found(*last, [], f"the process died ({process.returncode})"))
            if left > done:
                running.append((_start(begun + done, left - done), begun + done, left - done))
    return tried, found


def _start(first: int, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.fuzz.campaign", "--work", str(first), str(count)]
    env = environment(OMP_NUM_THREADS="1")
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)


def main() -> None:
    """Run a campaign, and list what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(*args.work)
        return
    started = time.monotonic()
    tried, found = campaign(args.first, args.count, args.workers)
    for subject in SUBJECTS:
        print(f"{subject:28} {tried[subject]:7} inputs")
    for item in found:
        print(f"{item.subject} {item.seed}: {item.problem}")
        print(f"    net2net {' '.join(item.words)[:200]!r}")
    seconds = time.monotonic() - started
    print(f"{tried.total()} inputs in {seconds:.0f} s, {len(found)} not met as they should be")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
