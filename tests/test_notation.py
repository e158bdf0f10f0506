"""The arrow notation: what a line says, and that nothing but a line of it parses."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.notation import (
    Count,
    Expression,
    Group,
    Line,
    Name,
    NotationError,
    names,
    parse,
)


def test_features_flow_from_the_read_axis_to_the_written_one() -> None:
    assert parse("out <- in").axes == ((Name("out"), "write"), (Name("in"), "read"))
    assert parse("in -> out").axes == ((Name("in"), "read"), (Name("out"), "write"))


def test_a_line_without_an_arrow_only_writes() -> None:
    assert parse("c").axes == ((Name("c"), "write"),)
    assert parse("").axes == ()


def test_one_side_of_an_arrow_may_be_empty_or_hold_several_axes() -> None:
    assert parse("-> out").axes == ((Name("out"), "write"),)
    assert [role for _, role in parse("a b <- c d").axes] == ["write", "write", "read", "read"]


def test_brackets_hold_products_or_sums() -> None:
    (product, _), (total, _) = parse("(kv group 8) <- (q + k + v)").axes
    assert product == Group((Name("kv"), Name("group"), Count(8)), plus=False)
    assert total == Group((Name("q"), Name("k"), Name("v")), plus=True)


def test_brackets_nest() -> None:
    ((axis, _),) = parse("(heads (q + k + v) head_dim)").axes
    inner = Group((Name("q"), Name("k"), Name("v")), plus=True)
    assert axis == Group((Name("heads"), inner, Name("head_dim")), plus=False)
    assert names(axis) == ("heads", "q", "k", "v", "head_dim")


def test_the_widths_of_a_role_are_those_named_on_its_axes() -> None:
    line = parse("(groups in) -> (groups out)")
    assert line.names("read") == {"groups", "in"}
    assert line.names("write") == {"groups", "out"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a <- b <- c", "more than one arrow"),
        ("a -> b <- c", "more than one arrow"),
        ("(a b", "not closed"),
        ("a b)", "out of place"),
        ("a + b", "out of place"),
        ("()", "empty"),
        ("(a + b c)", "brackets of their own"),
        ("(a b + c)", "brackets of their own"),
        ("(+ a b)", "brackets of their own"),
        ("(a b +)", "brackets of their own"),
        ("(a +)", "brackets of their own"),
        ("(a + + b c)", "brackets of their own"),
        ("a * b", "`*` has no meaning"),
        ("a - b", "`-` has no meaning"),
    ],
)
def test_what_does_not_parse_is_quoted(text: str, complaint: str) -> None:
    with pytest.raises(NotationError, match=r".") as caught:
        parse(text)
    assert complaint in str(caught.value)
    assert f"`{text}`" in str(caught.value)


ATOMS = st.one_of(
    st.from_regex(r"[a-z_][a-z_0-9]{0,5}", fullmatch=True).map(Name),
    st.integers(0, 999).map(Count),
)


def grouped(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.builds(Group, several, st.booleans())


EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(ATOMS, grouped, max_leaves=8)


def written(expression: Expression) -> str:
    match expression:
        case Name(name):
            return name
        case Count(size):
            return str(size)
        case Group(parts, plus):
            return f"({(' + ' if plus else ' ').join(written(part) for part in parts)})"


@given(st.lists(EXPRESSIONS, max_size=3), st.lists(EXPRESSIONS, max_size=3), st.sampled_from("<>"))
def test_a_line_means_what_it_was_written_from(
    left: list[Expression], right: list[Expression], points: str
) -> None:
    arrow, roles = ("<-", ("write", "read")) if points == "<" else ("->", ("read", "write"))
    text = f"{' '.join(map(written, left))} {arrow} {' '.join(map(written, right))}"
    said = [(axis, roles[0]) for axis in left] + [(axis, roles[1]) for axis in right]
    assert parse(text) == Line(tuple(said))


@given(st.text(alphabet="ab1()+<- >\n*é", max_size=12))
@example("1a")
@example("²")
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        line = parse(text)
    except NotationError as error:
        assert text in str(error)
    else:
        again = " ".join(written(axis) for axis, role in line.axes if role == "write")
        assert parse(again).names("write") == line.names("write")


LINES = [(kind, line) for kind in LAYER_TYPES.values() for line in kind.tensors if line.axes != "*"]


INNER = {"ids", "head_dim", "offsets", "pairs"}
"""Widths inside of a layer that no argument says: of tables, of a head, of a window."""


@pytest.mark.parametrize(("kind", "line"), LINES, ids=lambda x: x.name or "itself")
def test_a_tensor_speaks_of_its_layers_own_widths_only(kind, line) -> None:
    """Those that it reads and writes, and those that its arguments count."""
    said = [parse(text) for text in (kind.signature, *kind.sizes.values())]
    known = {name for part in said for role in ("read", "write") for name in part.names(role)}
    tensor = parse(line.axes)
    assert tensor.names("read") | tensor.names("write") <= known | INNER
