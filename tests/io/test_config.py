"""JSON files beside a checkpoint: read with limits, and by the standard alone."""

from __future__ import annotations

import os

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.io import read_json
from net2net_cli.io.config import LIMIT


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


def test_an_object_is_read_with_every_kind_of_value(path):
    path.write_text('{"a": 1, "b": [1.5, 1e-5, null, true], "é": {"c": "x"}}', "utf-8")
    assert read_json(path, "x") == {"a": 1, "b": [1.5, 1e-5, None, True], "é": {"c": "x"}}


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (b"", "config.json is not valid JSON: Expecting value", ":1"),
        (b'{"a": 1,\n"b" 2}', "config.json is not valid JSON: Expecting ':'", ":2"),
        (b"[]", "config.json is not a JSON object", ""),
        (b'{"a": "\xff"}', "config.json is not UTF-8 (byte 7)", ""),
        (b'{"a": {"b": 1, "b": 1}}', "the key `b` is there twice", ""),
        (b'{"a\\u001b": 1, "a\\u001b": 2}', r"the key `a\x1b` is there twice", ""),
        (b'{"a": NaN}', "not valid JSON: `NaN` stands for no number", ""),
        (b'{"a": [-Infinity]}', "`-Infinity` stands for no number", ""),
        (b'{"a": 1e999}', "1e999 is beyond float64", ""),
        (b'{"a": ' + b"1" * 5000 + b"}", "not valid JSON", ""),
        (b'{"a": ' * 100_000, "nested too deeply", ""),
        (b" " * (LIMIT + 1), f"too long: more than {LIMIT} bytes", ""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_anything_else_is_refused_with_its_reason(path, text, message, line):
    path.write_bytes(text)
    with pytest.raises(SpecError) as refused:
        read_json(path, "config.json")
    assert message in refused.value.message
    assert refused.value.where == f"{path}{line}"
    assert all(part.isprintable() for part in refused.value.lines())


def test_the_longest_file_is_read(path):
    path.write_bytes(b"{}".ljust(LIMIT))
    assert read_json(path, "x") == {}


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(SpecError, match="x is no plain file"):
            read_json(tmp_path / name, "x")
    with pytest.raises(SpecError, match=r"cannot read .*No such file"):
        read_json(tmp_path / "none", "x")
