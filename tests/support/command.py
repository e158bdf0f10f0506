"""The command line as tests call it: in this process (quick), or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from net2net_cli.cli.main import run

ROOT = Path(__file__).parents[2]

NOT_PASSED_ON = (
    "CI", "NO_COLOR", "GITHUB_ACTIONS", "FORCE_COLOR", "COLUMNS", "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str


class Net2Net:
    """Calls ``net2net`` in a folder; ``net2net("widen", "ckpt", "--to", 8)``."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(self, *arguments: object, code: int | None = 0) -> Ended:
        """Run in this process; ``code`` is the exit code that is expected (None: any)."""
        self.capfd.readouterr()
        ended = run([str(argument) for argument in arguments])
        captured = self.capfd.readouterr()
        if code is not None:
            assert ended == code, captured.err
        return Ended(ended, captured.out, captured.err)


def command(*arguments: object) -> list[str]:
    """The words that start net2net as a process of its own."""
    return [sys.executable, "-m", "net2net_cli", *map(str, arguments)]


def environment(**changes: str | None) -> dict[str, str]:
    """This process' environment with ``changes``, without what would change colours, or when output
    is written: as users have it. Modules are compiled once, and not by each process anew; they are
    found where this process finds them."""
    found = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    folders = [str(ROOT), found.get("PYTHONPATH")]
    found["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if folder)
    for name, value in changes.items():
        found.pop(name, None)
        if value is not None:
            found[name] = value
    return found


def process(
    *arguments: object,
    cwd: Path | None = None,
    given: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run as a process of its own; the output is bytes."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        env=env or environment(),
        capture_output=True,
        check=False,
        timeout=120,
    )
