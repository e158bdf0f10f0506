"""What holds for every spec: drawn networks, drawn edits, drawn nonsense."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from net2net_cli.errors import SpecError
from net2net_cli.spec import (
    Document,
    dump,
    extend,
    insert_after,
    parse_document,
    to_spec,
)
from net2net_cli.spec.tree import Table, from_plain
from tests.spec.test_dump import RESNET
from tests.spec.texts import FILE, document, edges, meaning

NAMES = st.sampled_from(["a", "b", "c", "0", "1", "conv", "x.y"])
LAYERS = st.sampled_from(
    [
        {"type": "ReLU"},
        {"type": "Linear", "out_features": 4, "bias": False},
        {"type": "Conv2d", "out_channels": 3, "kernel_size": [1, 2], "padding": "same"},
    ]
)


def containers(chains: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    listed = st.lists(chains, min_size=2, max_size=3)
    named = st.dictionaries(st.sampled_from(["b1", "b2", "b3"]), chains, min_size=2, max_size=3)
    kinds = st.sampled_from(["Add", "Concat"])
    return st.builds(lambda k, b: {"type": k, "branches": b}, kinds, listed | named)


def chains(members: st.SearchStrategy[object], *, least: int) -> st.SearchStrategy[object]:
    return st.dictionaries(NAMES, members, min_size=least, max_size=4)


MEMBERS = st.recursive(
    LAYERS,
    lambda inner: chains(inner, least=1) | containers(chains(inner, least=0)),
    max_leaves=8,
)
NETWORKS = chains(MEMBERS, least=1)


def network(layers: object) -> Document:
    """A document of plain data; names that clash are drawn again."""
    doc = document("placeholder: {type: ReLU}")
    tree = from_plain({"net2net": 1, "input": [4], "layers": layers}, doc.place)
    assert isinstance(tree, Table)
    text = dump(Document(tree, FILE))
    try:
        doc = parse_document(text, FILE)
        to_spec(doc)
    except SpecError as error:
        assume("two layers" not in error.message)
        raise
    return doc


@settings(max_examples=100, deadline=None)
@given(NETWORKS)
def test_every_document_can_be_written_and_read(layers: object) -> None:
    doc = network(layers)
    text = dump(doc)
    again = parse_document(text, FILE)
    assert meaning(to_spec(again)) == meaning(to_spec(doc))
    assert dump(again) == text


@settings(max_examples=200, deadline=None)
@given(NETWORKS, st.data())
def test_an_insertion_moves_exactly_the_readers_of_its_value(
    layers: object, data: st.DataObject
) -> None:
    doc = network(layers)
    before = to_spec(doc)
    value = data.draw(st.sampled_from([layer.name for layer in before.layers] + ["input"]))
    prefixes = {""} | {value.rsplit(".", cut)[0] + "." for cut in range(1, value.count(".") + 1)}
    prefix = data.draw(st.sampled_from(sorted(prefixes)))
    new = [f"{prefix}{name}" for name in data.draw(st.sampled_from([["new"], ["n1", "n2"]]))]
    try:
        doc = insert_after(doc, value, {key: {"type": "Tanh"} for key in new})
    except SpecError as error:
        assert "cannot stand" in error.message
        assert prefix != value.rpartition(".")[0] + "."
        return
    after = to_spec(parse_document(dump(doc), FILE))
    assert meaning(after) == meaning(to_spec(doc))
    expected = {
        layer.name: tuple(new[-1] if read == value else read for read in layer.inputs)
        for layer in before.layers
    }
    expected |= {new[0]: (value,)} | dict(zip(new[1:], [(name,) for name in new], strict=False))
    assert edges(after) == expected
    assert after.outputs == tuple(new[-1] if out == value else out for out in before.outputs)


@settings(max_examples=100, deadline=None)
@given(NETWORKS, st.data())
def test_a_target_that_extends_gives_what_an_insertion_gives(
    layers: object, data: st.DataObject
) -> None:
    doc = network(layers)
    names = [layer.name for layer in to_spec(doc).layers]
    value = data.draw(st.sampled_from(names))
    assume(not any(name.endswith(f".{value}") for name in names))  # a nearer name would be meant
    name = f"{value.rpartition('.')[0]}.new".lstrip(".")
    text = f"net2net: 1\nextends: source\nlayers: {{{name}: {{type: Tanh, after: '{value}'}}}}"
    grown = extend(parse_document(text, "t.yaml"), doc)
    assert dump(grown) == dump(insert_after(doc, value, {name: {"type": "Tanh"}}))


PIECES = (
    "", "{", "}", "[", "]", ":", ": ", "\n", "  ", "&a ", "*a", "null", "0", "-", "'", '"', "<<: ",
    "type", "#", "\t", "1e9",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_a_damaged_text_is_read_or_refused_but_never_crashes(seed: int) -> None:
    draw = random.Random(seed)
    text = RESNET
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(text))
        piece = draw.choice([*PIECES, text[at : at + 20]])
        text = text[:at] + piece + text[at + draw.randint(0, 8) :]
    try:
        to_spec(parse_document(text, FILE))
    except SpecError as error:
        assert str(error.where).startswith(FILE)
        assert error.hint
        assert 3 <= len(error.lines()) <= 4
