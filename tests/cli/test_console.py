"""What the terminal is shown: colours for people only, nothing cut, nothing that steers it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from net2net_cli.console import escape
from tests.support.command import command, environment, process


def on_terminal(*arguments: object, columns: int = 120, **env: str) -> str:
    """What a run shows on a terminal of its own."""
    master, slave = pty.openpty()
    os.set_blocking(master, True)
    changes = {"TERM": "xterm-256color", "COLUMNS": str(columns), **env}
    run = subprocess.Popen(
        command(*arguments), env=environment(**changes), stdout=slave, stderr=slave,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    run.wait(timeout=60)
    os.close(master)
    return shown.decode()


def coloured(text: str) -> bool:
    return "\x1b[" in text


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "--no-color"]])
def test_a_terminal_gets_colours_unless_it_is_told_otherwise(
    ckpt: Path, arguments: list[str]
) -> None:
    shown = on_terminal("plan", ckpt, "--set", "fc1.out_features=20", *arguments[1:])
    assert coloured(shown) == (len(arguments) == 1)


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"CI": "true"}, {"GITHUB_ACTIONS": "true"}, {"TERM": "dumb"}]
)
def test_the_environment_turns_colours_off(ckpt: Path, env: dict[str, str]) -> None:
    shown = on_terminal("plan", ckpt, "--set", "fc1.out_features=20", **env)
    assert not coloured(shown)


def test_an_empty_no_color_and_ci_false_do_not(ckpt: Path) -> None:
    shown = on_terminal("plan", ckpt, "--set", "fc1.out_features=20", NO_COLOR="", CI="false")
    assert coloured(shown)


def test_a_pipe_gets_no_colours_even_where_they_are_forced(ckpt: Path) -> None:
    env = environment(FORCE_COLOR="1", GITHUB_ACTIONS="1", TERM="xterm-256color")
    ended = process("plan", ckpt, "--set", "fc1.out_features=20", env=env)
    assert b"\x1b" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("env", [{}, {"COLUMNS": "40"}, {"CI": "true"}])
def test_nothing_is_cut_where_no_terminal_bounds_it(ckpt: Path, env: dict[str, str]) -> None:
    ended = process("plan", ckpt, "--set", "fc1.out_features=20", env=environment(**env))
    (row,) = (line for line in ended.stdout.decode().splitlines() if "widen fc1" in line)
    assert row.endswith("their readers' weights start at zero")
    assert len(row) > 100


def test_lines_do_not_end_in_blanks(ckpt: Path) -> None:
    text = process("inspect", ckpt).stdout.decode()
    assert not re.search(r" $", text, re.MULTILINE)


def test_a_locale_without_arrows_gets_ascii(ckpt: Path) -> None:
    env = environment(PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    ended = process("plan", ckpt, "--set", "fc1.out_features=20", env=env)
    assert ended.returncode == 0, ended.stderr
    assert b"16 -> 20" in ended.stdout
    assert b"(x1." in ended.stdout
    assert ended.stdout.isascii()


NASTY = "fc\x1b[31m\n\u202e[red]:smile:é"


def test_names_cannot_steer_the_terminal(ckpt: Path) -> None:
    process("spec", "ckpt", "-o", "nasty.yaml", cwd=ckpt.parent)
    state = load_file(ckpt) | {f"fc1.{NASTY}": torch.zeros(2)}
    save_file(state, ckpt.parent / "nasty.safetensors")
    for arguments in ([], ["--json"], ["--format=markdown"], ["--debug"]):
        ended = process("inspect", "nasty", *arguments, cwd=ckpt.parent)
        shown = ended.stdout + ended.stderr
        assert ended.returncode == 2
        assert b"\x1b" not in shown
        assert "\u202e" not in shown.decode()
        assert "[red]:smile:" in shown.decode()


def test_a_file_name_cannot_steer_the_terminal(folder: Path) -> None:
    ended = process("inspect", "\x1b[2Jx\ny", cwd=folder)
    assert ended.returncode == 2
    assert b"\x1b" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größe→", "größe→"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202e\u2028\x7f\x9b", "\\u202e\\u2028\\x7f\\x9b"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_is_not_printable_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert escape(text) == shown
