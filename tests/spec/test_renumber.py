"""Layers put into a chain of numbers: they are numbered, and what follows moves up."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from net2net_cli.errors import SpecError
from net2net_cli.spec import (
    Document,
    Renames,
    Spec,
    dump,
    insert_numbered,
    parse_document,
    renamed,
    to_spec,
    with_args,
)
from tests.spec.test_any_spec import NETWORKS, network
from tests.spec.texts import FILE, document, edges, meaning

TANH = {"type": "Tanh"}
FLAT = "0: {type: ReLU}\n1: {type: Sigmoid}\n2: {type: GELU}\n"


def inserted(layers: str, after: str, count: int = 1, tail: str = "") -> Document:
    """A document with Tanhs inserted, which says the same when it is written and read."""
    found = insert_numbered(document(layers, tail=tail), after, [TANH] * count)
    assert found is not None
    doc, names = found
    assert meaning(to_spec(parse_document(dump(doc), FILE))) == meaning(to_spec(doc))
    assert [to_spec(doc).layer(name).type for name in names] == ["Tanh"] * count
    return doc


def types(doc: Document) -> dict[str, str]:
    return {layer.name: layer.type for layer in to_spec(doc).layers}


def lines(doc: Document) -> list[str]:
    return [line.strip() for line in dump(doc).splitlines()]


def test_a_new_layer_takes_the_next_number() -> None:
    doc = inserted(FLAT, "0")
    assert types(doc) == {"0": "ReLU", "1": "Tanh", "2": "Sigmoid", "3": "GELU"}
    assert edges(to_spec(doc)) == {"0": ("input",), "1": ("0",), "2": ("1",), "3": ("2",)}
    assert doc.rename == {"1": "2", "2": "3"}


def test_several_new_layers_take_the_next_numbers() -> None:
    doc = inserted(FLAT, "1", 3)
    assert list(types(doc)) == ["0", "1", "2", "3", "4", "5"]
    assert types(doc)["5"] == "GELU"
    assert doc.rename == {"2": "5"}


def test_behind_the_last_one_nothing_moves() -> None:
    doc = inserted(FLAT, "2")
    assert list(types(doc)) == ["0", "1", "2", "3"]
    assert (doc.rename, to_spec(doc).outputs) == ({}, ("3",))


@pytest.mark.parametrize(
    "layers",
    [
        "features: {0: {type: ReLU}, 1: {type: GELU}}\nhead: {type: Sigmoid}",
        "features.0: {type: ReLU}\nfeatures.1: {type: GELU}\nhead: {type: Sigmoid}",
        "features: {0: {type: ReLU}}\nfeatures.1: {type: GELU}\nhead: {type: Sigmoid}",
    ],
)
def test_a_sequence_is_one_by_its_names_however_they_are_written(layers: str) -> None:
    doc = inserted(layers, "features.0")
    assert list(types(doc)) == ["features.0", "features.1", "features.2", "head"]
    assert edges(to_spec(doc))["features.2"] == ("features.1",)
    assert doc.rename == {"features.1": "features.2"}


def test_what_stands_below_a_member_moves_with_it() -> None:
    layers = """
    0: {type: ReLU}
    1:
      type: Add
      branches:
        - {conv: {type: ReLU}, act: {type: GELU}}
        - {}
    2:
      a: {type: ReLU}
      b.c: {type: Sigmoid}
    """
    doc = inserted(layers, "0", 2)
    assert list(types(doc)) == ["0", "1", "2", "3.conv", "3.act", "3", "4.a", "4.b.c"]
    assert edges(to_spec(doc))["3"] == ("3.act", "2")
    assert edges(to_spec(doc))["4.b.c"] == ("4.a",)


def test_a_sequence_in_a_sequence_moves_only_what_is_its_own() -> None:
    block = "{0: {type: ReLU}, 1: {type: GELU}}"
    doc = inserted(f"0: {block}\n1: {block}\n2: {block}", "1.0")
    assert list(types(doc)) == ["0.0", "0.1", "1.0", "1.1", "1.2", "2.0", "2.1"]
    assert doc.rename == {"1.1": "1.2"}


def test_behind_a_group_of_a_sequence() -> None:
    block = "{0: {type: ReLU}, 1: {type: GELU}}"
    doc = inserted(f"0: {block}\n1: {block}", "0")
    assert types(doc) == {"0.0": "ReLU", "0.1": "GELU", "1": "Tanh", "2.0": "ReLU", "2.1": "GELU"}


REFERRED = """
0: {type: ReLU}
1: {type: Linear, out_features: 4}
2: {type: Linear, out_features: 4, share: 1}
3: {type: Linear, out_features: 4, share: {weight: 1.weight, bias: 2.bias}}
4: {type: Add, inputs: [3, 1]}
5: {0: {type: ReLU, inputs: 4}, 1: {type: Add, inputs: [0, 2]}}
6: {inputs: 5, a: {type: ReLU}}
7: {type: Add, inputs: 6, branches: {x: {a: {type: ReLU}}, y: {inputs: 3}}}
"""


def test_all_that_refers_to_a_moved_layer_follows() -> None:
    doc = inserted(REFERRED, "0", tail="outputs: [7, 2, 5.1]\n")
    spec = to_spec(doc)
    assert edges(spec)["5"] == ("4", "2")
    assert edges(spec)["6.0"] == ("5",)
    assert edges(spec)["6.1"] == ("6.0", "3")
    assert edges(spec)["7.a"] == ("6.1",)
    assert edges(spec)["8.x.a"] == ("7.a",)
    assert edges(spec)["8"] == ("8.x.a", "4")
    assert spec.outputs == ("8", "3", "6.1")
    assert spec.layer("3").share == {"weight": "2.weight", "bias": "2.bias"}
    assert spec.layer("4").share == {"weight": "2.weight", "bias": "2.bias"}
    assert "1: {type: Add, inputs: [0, 3]}" in lines(doc), "a relative name stays one"


def test_what_read_the_layer_reads_the_new_one() -> None:
    doc = inserted(REFERRED, "3")
    assert edges(to_spec(doc))["5"] == ("4", "1")


def test_a_gap_stays_one() -> None:
    """Numbers that a spec leaves out are layers that compute nothing, such as Dropout."""
    doc = inserted("0: {type: ReLU}\n2: {type: GELU}", "0")
    assert list(types(doc)) == ["0", "1", "3"]


@pytest.mark.parametrize(
    ("layers", "after"),
    [
        ("0: {type: ReLU}\nhead: {type: GELU}", "0"),
        ("1: {type: ReLU}\n0: {type: GELU}", "1"),
        ("00: {type: ReLU}\n01: {type: GELU}", "00"),
        ("c.0: {type: ReLU}\nn.0: {type: GELU}\nc.1: {type: ReLU}\nn.1: {type: GELU}", "c.0"),
        ("0: {conv: {type: ReLU}, 1: {type: GELU}}", "0.conv"),
        ("0: {type: ReLU}", "input"),
    ],
)
def test_what_is_no_chain_of_numbers_is_left_alone(layers: str, after: str) -> None:
    assert insert_numbered(document(layers), after, [TANH]) is None


def test_a_spec_keeps_its_paths_out_and_its_places_in() -> None:
    doc = inserted(FLAT, "0", tail="source: a.pt\nrename: {1: 0}\n")
    assert (doc.source, doc.rename) == (None, {"1": "2", "2": "3"})
    place = to_spec(doc).layer("3").place
    assert place is not None
    assert str(place) == f"{FILE}:6"


def test_members_may_swap_their_names() -> None:
    doc = document("a: {type: ReLU}\nb: {type: GELU}\nc: {type: Add, inputs: [a, b]}",
                   tail="rename: {x: a}\noutputs: a\n")  # fmt: skip
    found = renamed(doc, Renames("", {"a": "b", "b": "a"}))
    assert types(found) == {"b": "ReLU", "a": "GELU", "c": "Add"}
    assert edges(to_spec(found))["c"] == ("b", "a")
    assert (found.rename, to_spec(found).outputs) == ({"x": "b"}, ("b",))


def test_branches_can_be_renamed() -> None:
    branches = "{p: {a: {type: ReLU}}, q: {inputs: p.a}}"
    layers = f"m: {{type: Add, branches: {branches}}}\nn: {{type: Add, inputs: [m.p, m.q]}}"
    found = renamed(document(layers), Renames("m", {"p": "q", "q": "r"}))
    assert edges(to_spec(found)) == {"m.q.a": ("input",), "m": ("m.q.a", "m.q.a"),
                                     "n": ("m.q.a", "m.q.a")}  # fmt: skip
    assert "q.a" in dump(found), "a name relative to the container stays one"


@pytest.mark.parametrize(
    ("layers", "members"),
    [
        ("a: {type: ReLU}\nb: {type: GELU}", {"a": "b"}),
        ("a: {type: ReLU}\nb.c: {type: GELU}\nd.c: {type: GELU}", {"b": "d"}),
        ("a: {type: ReLU}", {"a": "input"}),
    ],
)
def test_a_name_that_is_taken_is_refused(layers: str, members: dict[str, str]) -> None:
    with pytest.raises(SpecError, match=r"two layers|names an input"):
        renamed(document(layers), Renames("", members))


def test_a_name_that_is_hidden_is_said_in_full_or_refused() -> None:
    layers = "a: {type: ReLU}\ng: {x: {type: GELU}, y: {type: Add, inputs: [x, a]}}"
    with pytest.raises(SpecError, match=r"`a` would mean another layer"):
        renamed(document(layers), Renames("g", {"x": "a"}))
    layers = "g: {a: {type: ReLU}, h: {x: {type: GELU}, y: {type: Add, inputs: [x, a]}}}"
    found = renamed(document(layers), Renames("g.h", {"x": "a"}))
    assert edges(to_spec(found))["g.h.y"] == ("g.h.a", "g.a")


def expected(before: Spec, renames: Renames) -> list[object]:
    """What a network means under its new names."""
    layers = [
        (
            renames.of(x.name),
            x.type,
            dict(x.args),
            tuple(map(renames.of, x.inputs)),
            {line: renames.of(tensor) for line, tensor in x.share.items()},
        )
        for x in before.layers
    ]
    inputs = [(x.name, x.shape, x.dtype, x.high) for x in before.inputs]
    return [inputs, layers, tuple(map(renames.of, before.outputs)), {}]


def referring(doc: Document, data: st.DataObject) -> Document:
    """The document with references drawn: to earlier layers, by their full names or a part."""
    for _ in range(data.draw(st.integers(0, 4))):
        layers = to_spec(doc).layers
        at = data.draw(st.integers(0, len(layers) - 1))
        key = data.draw(st.sampled_from(["inputs", "share"]))
        alike = [x.name for x in layers[: at + 1] if key == "inputs" or x.type == layers[at].type]
        parts = data.draw(st.sampled_from(alike)).split(".")
        text = ".".join(parts[data.draw(st.integers(0, len(parts) - 1)) :])
        try:
            changed = with_args(doc, {layers[at].name: {key: text}})
            to_spec(changed)
        except SpecError:
            continue
        doc = changed
    return doc


def test_a_branch_does_not_take_the_name_of_an_empty_one():
    doc = network({"a": {"type": "Add", "branches": {"b1": {}, "b2": {"r": {"type": "ReLU"}}}}})
    with pytest.raises(SpecError, match="two layers or groups named"):
        renamed(doc, Renames("a", {"b2": "b1"}))


@settings(max_examples=300, deadline=None)
@given(NETWORKS, st.data())
def test_a_renamed_network_is_the_same_network(layers: object, data: st.DataObject) -> None:
    doc = referring(network(layers), data)
    before = to_spec(doc)
    layer = data.draw(st.sampled_from([layer.name for layer in before.layers]))
    parts = layer.split(".")
    depth = data.draw(st.integers(0, len(parts) - 1))
    group, member = ".".join(parts[:depth]), parts[depth]
    renames = Renames(group, {member: data.draw(st.sampled_from(["new", "a", "b", "0", "b1"]))})
    try:
        found = renamed(doc, renames)
    except SpecError as error:
        assume("two layers" not in error.message and "another layer" not in error.message)
        raise
    assert meaning(to_spec(parse_document(dump(found), FILE))) == expected(before, renames)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.just({"type": "ReLU"}), lambda inner: st.lists(inner, min_size=1, max_size=4)
       .map(lambda m: dict(zip("0123", m, strict=False))), max_leaves=10), st.data())  # fmt: skip
def test_insertions_in_a_row_leave_sequences(layers: object, data: st.DataObject) -> None:
    assume("type" not in layers)
    doc = network(layers)
    for _ in range(3):
        spec = to_spec(doc)
        at = data.draw(st.integers(0, len(spec.layers) - 1))
        found = insert_numbered(doc, spec.layers[at].name, [TANH] * data.draw(st.integers(1, 3)))
        assert found is not None
        doc, names = found
        kinds = [layer.type for layer in spec.layers]
        kinds[at + 1 : at + 1] = ["Tanh"] * len(names)
        after = to_spec(doc)
        assert [layer.type for layer in after.layers] == kinds
        chain = ["input", *(layer.name for layer in after.layers)]
        assert [layer.inputs for layer in after.layers] == [(name,) for name in chain[:-1]]
        for group in {layer.name.rpartition(".")[0] for layer in after.layers}:
            prefix = f"{group}." if group else ""
            inner = [n[len(prefix) :] for n in chain[1:] if n.startswith(prefix)]
            members = list(dict.fromkeys(n.partition(".")[0] for n in inner))
            assert members == [str(number) for number in range(len(members))]
