"""YAML as it is read: lines, the traps of YAML 1.1, and texts made to do harm."""

from __future__ import annotations

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.spec.located import parse
from net2net_cli.spec.tree import Items, Node, Scalar, Table


def plain(node: Node | None) -> object:
    match node:
        case Table():
            return {key: plain(value) for key, value in node.entries.items()}
        case Items():
            return [plain(item) for item in node.items]
        case Scalar():
            return node.value
        case None:
            return None


def read(text: str) -> object:
    return plain(parse(text, "f.yaml"))


def refused(text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse(text, "f.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1E5", 1e5), ("1.", 1.0), (".5", 0.5), ("+1.5e+3", 1500.0),
        ("0123", 123), ("1_000", 1000), ("0x10", 16), ("0o17", 15), ("-3", -3), ("+3", 3),
        ("no", "no"), ("off", "off"), ("y", "y"), ("yes", "yes"), ("On", "On"),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
        ("'1'", "1"), ('"true"', "true"), ("!!str 5", "5"), ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"), ("-.inf", float("-inf")), ("none", "none"), ("1e", "1e"),
    ],
)  # fmt: skip
def test_scalars_are_what_they_look_like(text: str, value: object) -> None:
    found = read(f"x: {text}")["x"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_the_text_that_was_written() -> None:
    assert list(read("{0: a, 01: b, 1.0: c, yes: d, null: e, '5': f}")) == [
        "0", "01", "1.0", "yes", "null", "5",
    ]  # fmt: skip


def test_every_value_knows_its_line() -> None:
    tree = parse("a: 1\nb:\n  - x\n  -\n    c: 2\n", "f.yaml")
    assert isinstance(tree, Table)
    assert tree.at("b").line == 2
    items = tree.entries["b"]
    assert isinstance(items, Items)
    assert [item.place.line for item in items.items] == [3, 5]
    assert str(items.items[0].place) == "f.yaml:3"


def test_a_merge_fills_in_what_is_not_said() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {y: 3, <<: *b, z: 4}\n"
    assert read(text) == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "two": {"y": 3, "x": 1, "z": 4},
    }


def test_of_several_merged_mappings_the_first_wins() -> None:
    text = "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}"
    assert read(text)["c"] == {"x": 1, "y": 2}


def test_a_merged_key_keeps_the_line_of_its_anchor() -> None:
    tree = parse("a: &a {x: 1}\nb:\n  <<: *a\n", "f.yaml")
    assert isinstance(tree, Table)
    merged = tree.entries["b"]
    assert isinstance(merged, Table)
    assert merged.at("x").line == 1


def test_a_quoted_merge_key_is_a_name() -> None:
    assert read("{'<<': {a: 1}}") == {"<<": {"a": 1}}


def test_aliases_name_values_and_keys() -> None:
    assert read("a: &n conv\nb: *n\n*n : 3\n&k key: 1\nc: *k\n") == {
        "a": "conv", "b": "conv", "conv": 3, "key": 1, "c": "key",
    }  # fmt: skip


def test_an_empty_text_is_nothing() -> None:
    assert parse("", "f.yaml") is None
    assert parse("# only a comment\n---\n", "f.yaml") is None


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "second time"),
        ("a: {x: 1,\n x: 2}", 2, "second time"),
        ("a: 1\n'a': 2", 2, "second time"),
        ("0: 1\n'0': 2", 2, "second time"),
        ("a: &x {}\nb: {<<: *x, <<: *x}", 2, "second time"),
        ("a: [1, 2\nb: 3\n", 2, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: 'x\n\n", 3, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("\na: *nobody\n", 2, "no anchor"),
        ("a: &a [1, *a]\n", 1, "no anchor"),
        ("\nx: !!python/object/apply:os.system ['true']\n", 2, "tag"),
        ("x: !custom {a: 1}\n", 1, "tag"),
        ("x: !!set {a, b}\n", 1, "tag"),
        ("x: !!binary aGk=\n", 1, "tag"),
        ("? [a, b]\n: 1\n", 1, "key"),
        (": 1\n", 1, "key"),
        ("a: 1\nb: {<<: 3}\n", 2, "merges mappings"),
        ("a: 1\nb: {<<: [{}, 3]}\n", 2, "merges mappings"),
        ("a: 1\nb: 99999999999999999999\n", 2, "too large"),
        ("a: 1\nb: \x07\n", 2, "not text"),
        ("a: \ud800", 0, "not text"),
    ],
)
def test_bad_yaml_is_refused_with_its_line(text: str, line: int, word: str) -> None:
    error = refused(text)
    assert word in error.message
    assert error.where == (f"f.yaml:{line}" if line else "f.yaml")
    assert error.hint


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 5000, "- " * 5000 + "x", "[" * 150 + "]" * 150]
)
def test_deep_nesting_is_refused_and_not_a_stack_overflow(text: str) -> None:
    assert "deep" in refused(text).message or "depth" in refused(text).message


def test_nesting_through_aliases_counts_as_nesting() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 120))
    assert "deep" in refused(text).message


def test_an_alias_bomb_is_refused() -> None:
    text = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
    )
    assert "aliases" in refused(text).message


def test_a_merge_bomb_is_refused() -> None:
    keys = ", ".join(f"k{i}: 1" for i in range(2000))
    text = f"a: &a {{{keys}}}\n" + "".join(f"b{i}: {{<<: *a}}\n" for i in range(500))
    assert "aliases" in refused(text).message
