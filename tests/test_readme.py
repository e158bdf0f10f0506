"""The README's examples are run, in its order, and print what it says that they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import ROOT, environment

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[tuple[str, str]]:
    for found in BLOCK.finditer(README):
        yield found[1], found[2]


def plain(text: str) -> str:
    """Without what differs from one processor to another: rounding errors, and drawn weights."""
    text = re.sub(r"blake3:[0-9a-f]+", "blake3:…", text)
    return re.sub(r" +(0|\d\.\de-\d\d)", " …", text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which ``net2net`` is a command."""
    tool = tmp_path / "bin" / "net2net"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m net2net_cli "$@"\n')
    tool.chmod(0o755)
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def run(words: str, folder: Path) -> str:
    env = environment(PATH=f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}")
    ended = subprocess.run(
        ["sh", "-c", words], cwd=folder, env=env, text=True, capture_output=True, check=False
    )
    assert ended.returncode == 0, f"{words}\n{ended.stderr}"
    return ended.stdout


def test_the_examples_print_what_the_readme_says(folder: Path) -> None:
    for language, text in blocks():
        match language:
            case "python":
                run(f"{shlex.quote(sys.executable)} - <<'END'\n{text}\nEND", folder)
            case "yaml" if text.startswith("# "):
                (folder / text[2:].split("\n", 1)[0]).write_text(text)
            case "console":
                words, printed = text.removeprefix("$ ").split("\n", 1)
                assert plain(run(words, folder)) == plain(printed)
            case "sh" if text.startswith("net2net"):
                (folder / "a.safetensors").write_bytes((folder / "ckpt.safetensors").read_bytes())
                run(text, folder)


def test_every_command_and_exit_code_is_in_the_readme() -> None:
    from net2net_cli.cli.app import app

    for command in app.registered_commands:
        assert command.callback is not None
        assert f"`net2net {command.callback.__name__} " in README
    for code in (0, 1, 2, 3, 4, 5, 130, 141, 143):
        assert re.search(rf"^\|.*\b{code}\b", README, re.MULTILINE)


def test_the_links_of_the_readme_lead_somewhere() -> None:
    headings = [line.lstrip("# ").lower().replace(" ", "-") for line in README.splitlines()]
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        there = target[1:] in headings if target.startswith("#") else (ROOT / target).exists()
        assert there, target
