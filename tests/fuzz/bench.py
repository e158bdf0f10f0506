"""One spoilt input after the other, and what must hold for each.

The exit code is one of the contract's but 1; nothing but text reaches the terminal; no error has
more than four lines; nothing but the output named is made, nothing of the input changed; a program
that is written has no more in it than a network; ten seconds, and a gigabyte, are enough.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.limits import MEMORY, SECONDS, Clock, TooSlowError, forget_peak, limited, peak
from tests.fuzz.subjects import SUBJECTS
from tests.fuzz.training import RAN
from tests.fuzz.valid import Valid

CODES = (0, 2, 3, 4, 5)
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that a terminal acts upon, but for the line's end and the tab."""

NO_MEMORY = ("the memory is used up", "MemoryError", "bad_alloc", "allocate")
IMPORTS = {"collections", "torch", "__future__", "math"}
PROGRAMS = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Expr, ast.Assign)
"""What may stand at the top of a file that ``export`` writes."""


@dataclass(frozen=True)
class Tried:
    """How a run went: ``problem`` is empty where all was as it must be. The exit code is None where
    there was none."""

    code: int | None
    seconds: float
    memory: int
    words: list[str]
    problem: str


class Bench:
    """Folders and streams for runs in this process."""

    def __init__(self, root: Path) -> None:
        self.valid = Valid(root / "valid")
        self.valid.folder.mkdir()
        self.valid.make()
        self.folder = root / "run"
        self.out = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the bench)
        self.err = tempfile.TemporaryFile()  # noqa: SIM115
        sys.dont_write_bytecode = True  # a traced module's would lie beside it
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

    def try_one(self, subject: str, seed: int) -> Tried:
        """Make one input, run the command on it, and judge."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        words = SUBJECTS[subject](self.valid, Random(f"{subject}/{seed}"), self.folder)
        before = _content(self.folder)
        forget_peak()
        had, code = peak(), None
        out = err = problem = ""
        clock = Clock()
        try:
            with limited(clock):
                code, out, err = self.run(words, self.folder)
        except TooSlowError:
            problem = f"more than {SECONDS:.0f} s"
        seconds, memory = clock.seconds, peak()
        if code is not None:
            problem = problem or self._problem(words, before, code, out, err)
        if seconds > SECONDS:
            problem = problem or f"{seconds:.0f} s"
        if memory - had > MEMORY:
            problem = problem or f"{(memory - had) >> 20} MB"
        return Tried(code, seconds, memory, words, problem)

    def _problem(
        self, words: list[str], before: dict[str, bytes], code: int, out: str, err: str
    ) -> str:
        if code not in CODES:
            return f"exit {code}: {err[-500:]}"
        if any(said in err for said in NO_MEMORY) and not _by_the_module(words, err):
            return f"more than {MEMORY >> 20} MB: {err[-500:]}"
        if "Traceback" in err and "--debug" not in words:
            return f"a traceback: {err[-500:]}"
        if found := OBEYED.search(out + err):
            return f"{found[0]!r} reaches the terminal"
        if (
            code == 2
            and words
            and "error:" not in err
            and "--json" not in words
            and "-q" not in words
        ):
            return f"exit 2 without a word: {err[-300:]}"
        lines = err[err.index("error:") :].splitlines() if "error:" in err else []
        if len(lines) > 4 and "--debug" not in words:
            return f"an error of {len(lines)} lines"
        if words[:1] == ["export"] and code == 0 and (found := _more_than_a_network(self.folder)):
            return found
        return self._strewn(before, words)

    def _strewn(self, before: dict[str, bytes], words: list[str]) -> str:
        after = _content(self.folder)
        if RAN in after and RAN not in words:
            return "code of the input was run"
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
        paths = list(sys.path)
        try:
            with _standard(self.out.fileno(), self.err.fileno()):
                code = run(words)
        finally:
            sys.path[:] = paths
        texts = []
        for stream in (self.out, self.err):
            stream.seek(0)
            texts.append(stream.read(2**20).decode("utf-8", "replace"))
        return code, texts[0], texts[1]


def _by_the_module(words: list[str], err: str) -> bool:
    """Whether it was the traced module's own code that wanted so much memory."""
    return words[:1] == ["trace"] and "` raised RuntimeError" in err and "nets.py:" in err


def _more_than_a_network(folder: Path) -> str:
    """What a program that ``export`` wrote holds beside imports of torch, classes and their kin."""
    for file in folder.glob("out*.py"):
        try:
            tree = ast.parse(file.read_text())
        except (SyntaxError, ValueError) as error:
            return f"{file.name} is no Python: {error}"
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=names) if {n.name.split(".")[0] for n in names} - IMPORTS:
                    return f"{file.name} imports {names[0].name}"
                case ast.ImportFrom(module=name) if str(name).split(".")[0] not in IMPORTS:
                    return f"{file.name} imports {name}"
        if strange := [n for n in tree.body if not isinstance(n, PROGRAMS)]:
            return f"{file.name} holds {ast.unparse(strange[0])}"
    return ""


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


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
