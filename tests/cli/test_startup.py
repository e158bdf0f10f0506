"""What is imported when: start-up time is a promise, and imports are what it is made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import environment

PROBE = """
import sys
from net2net_cli.cli.main import run
code = run(sys.argv[1:])
sys.stdout.flush()
print(code, *sorted(sys.modules), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a run has imported at its end."""
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], env=environment(), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    code, *modules = ended.stderr.splitlines()[-1].split()
    assert code == "0", ended.stderr
    return set(modules)


def test_the_version_needs_nothing() -> None:
    assert not imported("--version") & {"typer", "rich", "yaml", "torch", "dataclasses"}


@pytest.mark.parametrize("command", ["", "grow", "inspect"])
def test_help_imports_nothing_heavy(command: str) -> None:
    heavy = {"rich", "yaml", "torch", "numpy", "safetensors", "net2net_cli.api"}
    assert not imported(*command.split(), "--help") & heavy


@pytest.mark.parametrize(
    "line",
    [
        "inspect ckpt",
        "inspect ckpt --json",
        "spec ckpt",
        "export ckpt",
        "diff ckpt ckpt.yaml",
        "plan ckpt --set fc1.out_features=20 -o plan.json --report plan.html",
        "grow ckpt --set fc1.out_features=20 --dry-run",
    ],
)
@pytest.mark.usefixtures("ckpt")
def test_what_reads_headers_only_needs_no_torch(line: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "net2net_cli", "spec", "ckpt", "-o", "ckpt.yaml"],
        env=environment(), check=True, capture_output=True,
    )  # fmt: skip
    assert not imported(*line.split()) & {"torch", "numpy"}


def test_the_package_itself_imports_nothing(folder: Path) -> None:
    probe = "import sys; n = len(sys.modules); import net2net_cli; print(len(sys.modules) - n)"
    ended = subprocess.run(
        [sys.executable, "-c", probe], env=environment(), capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) == 1
