"""How a command is typed wrongly, and what is said: one style, the nearest name, exit 2."""

from __future__ import annotations

import json

import pytest

from tests.support.command import Net2Net

WRONG = [
    ("grwo", "no such command: grwo", "did you mean `grow`?"),
    ("frobnicate", "no such command: frobnicate", "see `net2net --help`"),
    ("grow --sepc x", "no such option: --sepc", "`--spec`"),
    ("-v plan", "no such option: -v", "options come after the command"),
    ("grow --seed x", "invalid value for `--seed`: `x`", "see `net2net grow --help`"),
    ("widen ckpt --layer fc1", "missing option `--to`", "see `net2net widen --help`"),
    ("widen", "missing argument `CKPT`", "see `net2net widen --help`"),
    ("diff a b c", "unexpected extra argument", "see `net2net diff --help`"),
    ("grow --expansion foo", "`foo` is not one of `auto`, `duplicate`", "--help"),
    ("grow --max-shard-size 5XB", "`5XB` is no size: write 5GB, 512MiB or 1000000", "--help"),
    ("grow --noise -1", "`-1` is no number of at least 0", "--help"),
    ("grow --noise nan", "`nan` is no number of at least 0", "--help"),
    ("verify a b --probes 0", "`0` is no whole number of at least 1", "--help"),
    ("grow --workers 0", "`0` is no whole number of at least 1", "--help"),
    ("verify a b --tolerance x", "`x` is no number of at least 0", "--help"),
    ("grow", "nothing says what to grow into", "--spec FILE"),
    ("grow --set fc1.out_features=9", "no checkpoint is named", "`source:`"),
    ("plan ckpt --set fc1", "--set fc1 is no key=value", "--set fc1.out_features=512"),
    ("plan ckpt --set a.b=1 --set a.b=2", "--set gives a.b twice", ""),
    ("plan ckpt --set fc1.out_features=32 --report r.pdf", "`r.pdf` is no name", ".svg"),
    ("diff ckpt ckpt --format mermaid", "diff has no network to draw", "pictures"),
    ("widen ckpt --layer nope --to 32", "there is no layer `nope`", "fc1"),
    ("widen ckpt --layer fc1 --to 16", "`fc1` is 16 wide already", "more than 16"),
    ("widen ckpt --layer fc1 --to 32 --device tpu", "no device `tpu`", "cuda:N"),
    ("widen ckpt --layer fc1 --to 32 --device cpu:1", "no device `cpu:1`", "cuda:N"),
    ("widen ckpt --layer fc1 --to 32 --device cuda:99", "no device `cuda:99` here", "--device cpu"),
    ("verify ckpt ckpt --device cuda:99", "no device `cuda:99` here", "--device cpu"),
    ("verify ckpt ckpt --device cuda:x", "no device `cuda:x`", "cuda:N"),
]


@pytest.mark.parametrize(("line", "message", "hint"), WRONG, ids=[w[0] for w in WRONG])
@pytest.mark.usefixtures("ckpt")
def test_wrong_usage_is_told_with_a_remedy(
    net2net: Net2Net, line: str, message: str, hint: str
) -> None:
    ended = net2net(*line.split(), code=2)
    assert ended.out == ""
    lines = [text for text in ended.err.splitlines() if not text.startswith("note:")]
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert hint in "\n".join(lines[1:])
    assert len(lines) <= 4


def test_without_a_command_help_is_shown_and_it_is_an_error(net2net: Net2Net) -> None:
    assert "Usage: net2net" in net2net(code=2).out


def test_a_usage_error_with_json_is_a_document_too(net2net: Net2Net) -> None:
    for line in ("grow --sepc x --json", "grow --sepc x --format json", "grwo --format=json"):
        ended = net2net(*line.split(), code=2)
        document = json.loads(ended.out)
        assert document["exit_code"] == 2
        assert document["diagnostics"][0]["severity"] == "error"
        assert document["diagnostics"][0]["hint"] in ended.err


@pytest.mark.usefixtures("ckpt")
def test_a_checkpoint_and_a_document_do_not_share_standard_output(net2net: Net2Net) -> None:
    for form in ("--json", "--format=markdown", "--format=mermaid"):
        ended = net2net(*["widen", "ckpt", "--layer", "fc1", "--to", "32", "-o", "-"], form, code=2)
        assert "both take standard output" in ended.err
        assert "--report" in ended.err


@pytest.mark.parametrize("command", ["", "inspect", "spec", "trace", "diff", "plan", "apply",
                                     "grow", "widen", "deepen", "shrink", "verify"])  # fmt: skip
def test_help_fits_a_screen(net2net: Net2Net, command: str) -> None:
    lines = net2net(*command.split(), "--help").out.splitlines()
    assert len(lines) <= 54
    assert max(map(len, lines)) <= 80
    assert not any(line.rstrip().endswith("...") for line in lines[1:])


def test_the_version_is_one_line(net2net: Net2Net) -> None:
    from net2net_cli import __version__

    assert net2net("--version").out == f"net2net {__version__}\n"


def test_completion_can_be_shown(net2net: Net2Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert "_NET2NET_COMPLETE" in net2net("--show-completion", "bash").out
