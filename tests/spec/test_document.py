"""The top of a spec: its keys, its version, and files that are no specs."""

from __future__ import annotations

from pathlib import Path

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.spec import network_only, parse_document, read_document
from tests.spec.texts import refusal

WHOLE = """\
net2net: 1
source: ckpt.safetensors
output: out/student.safetensors
rename: {new: old, "1": 0}
input: [4]
layers: {fc: {type: Linear, out_features: 2}}
outputs: [fc]
"""


def test_the_fields_of_a_document() -> None:
    doc = parse_document(WHOLE, "net.yaml")
    assert (doc.source, doc.output) == ("ckpt.safetensors", "out/student.safetensors")
    assert doc.rename == {"new": "old", "1": "0"}
    assert doc.extends is None
    assert list(doc.layers.entries) == ["fc"]


def test_network_only_leaves_out_what_is_about_files() -> None:
    doc = network_only(parse_document(WHOLE, "net.yaml"))
    assert list(doc.root.entries) == ["net2net", "input", "layers", "outputs"]
    assert (doc.source, doc.output, doc.rename) == (None, None, {})


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("", 0, "empty", "net2net: 1"),
        ("# nothing\n", 0, "empty", "net2net: 1"),
        ("- a\n- b\n", 1, "a list", "net2net: 1"),
        ("hello\n", 1, "hello", "net2net: 1"),
        ("input: [3]\n", 1, "version", "net2net: 1"),
        ("\nnet2net: 2\n", 2, "`2`", "net2net: 1"),
        ("net2net: '1'\n", 1, "version", "net2net: 1"),
        ("net2net: true\n", 1, "`true`", "net2net: 1"),
        ("net2net: [1]\n", 1, "a list", "net2net: 1"),
        ("net2net: 1\nlayrs: {}\n", 2, "layrs", "`layers`"),
        ("net2net: 1\nfc1: {type: Linear}\n", 2, "fc1", "layers"),
        ("net2net: 1\nfamily: llama\nlayers: {}\n", 3, "not both", "config"),
        ("net2net: 1\nconfig: {}\ninput: [3]\n", 3, "not both", "config"),
        ("net2net: 1\ninput: [3]\n", 1, "no `layers`", "layers"),
        ("net2net: 1\ninput: [3]\nlayers: 5\n", 3, "`5`", "fc1"),
        ("net2net: 1\ninput: [3]\nlayers:\n", 3, "nothing", "fc1"),
        ("net2net: 1\ninput: [3]\nlayers: {}\n", 3, "no layers", "fc1"),
        ("net2net: 1\nextends: 3\n", 2, "text", "source"),
        ("net2net: 1\nextends: source\nsource: [a]\n", 3, "a list", "checkpoint"),
        ("net2net: 1\nextends: source\nrename: [a]\n", 3, "a list", "new_name"),
        ("net2net: 1\nextends: source\nrename: {a: [b]}\n", 3, "a list", "old_name"),
        ("net2net: 1\nextends: source\nrename:\n  a b: c\n", 4, "a b", "spaces"),
    ],
)
def test_a_text_that_is_no_spec_says_where_and_what_to_do(
    text: str, line: int, message: str, hint: str
) -> None:
    error = refusal(text)
    assert message in error.message
    assert hint in str(error.hint)
    assert error.where == (f"net.yaml:{line}" if line else "net.yaml")


def test_a_spec_that_extends_is_no_network_by_itself() -> None:
    error = refusal("net2net: 1\nextends: source\n")
    assert error.where == "net.yaml:2"


def test_a_file_is_read_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert read_document(path).file == str(path)


def test_a_missing_file_names_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "bigger.yaml").write_text(WHOLE)
    with pytest.raises(SpecError) as caught:
        read_document(tmp_path / "biger.yaml")
    assert caught.value.where == str(tmp_path / "biger.yaml")
    assert "bigger.yaml" in str(caught.value.hint)


@pytest.mark.parametrize("missing", ["no/such/folder/net.yaml", "net.yaml"])
def test_a_missing_file_is_an_error_of_the_user(tmp_path: Path, missing: str) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_document(tmp_path / missing)


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read_document(tmp_path)


def test_bytes_are_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(b"\x80\x81\xff")
    with pytest.raises(SpecError, match="not text"):
        read_document(path)


def test_a_checkpoint_given_as_a_spec_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(SpecError) as caught:
        read_document(path)
    assert "checkpoint" in str(caught.value.hint)
