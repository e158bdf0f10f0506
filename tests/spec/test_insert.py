"""New layers put behind others: where they stand, and who reads them then."""

from __future__ import annotations

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.spec import Document, dump, insert_after, parse_document, to_spec
from tests.spec.texts import FILE, document, edges, meaning

RELU = {"type": "ReLU"}
LAYERS = """
stem: {type: ReLU}
layer1:
  0:
    type: Add
    branches:
      - {conv: {type: ReLU}, bn: {type: ReLU}}
      - {}
  1: {type: ReLU}
mixed:
  type: Concat
  branches:
    b1: {a: {type: ReLU}, b: {type: ReLU}}
    b2: {}
skip: {type: Add, inputs: [layer1, mixed]}
fc: {type: ReLU}
"""


def inserted(after: str, *names: str, layers: str = LAYERS, tail: str = "") -> Document:
    """A document with ReLUs inserted, its edges checked against the rule."""
    before = document(layers, tail=tail)
    doc = insert_after(before, after, dict.fromkeys(names, RELU))
    assert meaning(to_spec(parse_document(dump(doc), FILE))) == meaning(to_spec(doc))
    old, new = edges(to_spec(before)), edges(to_spec(doc))
    value = new[names[0]][0]
    for name, reads in old.items():
        assert new[name] == tuple(names[-1] if read == value else read for read in reads)
    assert [new[name] for name in names] == [(value,), *((name,) for name in names[:-1])]
    return doc


def lines(doc: Document) -> list[str]:
    return [line.strip() for line in dump(doc).splitlines()]


def test_a_layer_stands_behind_the_one_it_is_put_after() -> None:
    found = lines(inserted("stem", "new"))
    assert found[found.index("stem: {type: ReLU}") + 1] == "new: {type: ReLU}"


def test_several_layers_are_a_chain() -> None:
    found = lines(inserted("stem", "a", "b", "c"))
    start = found.index("a: {type: ReLU}")
    assert found[start : start + 3] == ["a: {type: ReLU}", "b: {type: ReLU}", "c: {type: ReLU}"]


def test_a_layer_of_a_group_stands_in_it() -> None:
    found = lines(inserted("layer1.1", "layer1.2"))
    assert found[found.index("1: {type: ReLU}") + 1] == "2: {type: ReLU}"


def test_a_layer_of_a_listed_branch_stands_in_it() -> None:
    found = lines(inserted("layer1.0.conv", "layer1.0.conv2"))
    assert found[found.index("- conv: {type: ReLU}") + 1] == "conv2: {type: ReLU}"


def test_a_branch_may_end_in_the_new_layer() -> None:
    assert edges(to_spec(inserted("layer1.0.bn", "layer1.0.bn2")))["layer1.0"][0] == "layer1.0.bn2"
    assert edges(to_spec(inserted("mixed.b1.b", "mixed.b1.c")))["mixed"][0] == "mixed.b1.c"


def test_behind_a_container_and_behind_a_group() -> None:
    inserted("mixed", "new")
    inserted("layer1", "new")
    inserted("layer1", "layer1.2")
    inserted("layer1.0", "layer1.new")


def test_a_reader_by_name_reads_the_new_layer() -> None:
    doc = inserted("layer1.1", "layer1.2")
    assert edges(to_spec(doc))["skip"] == ("layer1.2", "mixed")
    assert "skip: {type: Add, inputs: [layer1, mixed]}" in lines(doc)
    doc = inserted("layer1", "new")
    assert "skip: {type: Add, inputs: [new, mixed]}" in lines(doc)


def test_an_identity_branch_passes_the_new_layer_on() -> None:
    assert edges(to_spec(inserted("layer1", "new")))["mixed"] == ("mixed.b1.b", "new")


def test_the_outputs_become_the_new_layer() -> None:
    assert to_spec(inserted("fc", "new")).outputs == ("new",)
    assert to_spec(inserted("fc", "new", tail="outputs: [fc, stem]")).outputs == ("new", "stem")
    assert to_spec(inserted("stem", "new", tail="outputs: [fc, stem]")).outputs == ("fc", "new")


def test_in_front_of_everything() -> None:
    assert lines(inserted("input", "new"))[3] == "new: {type: ReLU}"
    assert edges(to_spec(inserted("input", "new")))["stem"] == ("new",)


def test_in_front_of_a_group_that_comes_first() -> None:
    layers = (
        "features: {0: {type: ReLU}, 1: {type: ReLU}}\nsum: {type: Add, inputs: [input, features]}"
    )
    doc = inserted("input", "features.new", layers=layers)
    assert lines(doc)[3:5] == ["features:", "new: {type: ReLU}"]
    assert "sum: {type: Add, inputs: [features.new, features]}" in lines(doc)


def test_a_name_from_elsewhere_says_its_inputs() -> None:
    doc = inserted("layer1.0", "new")
    assert "new: {type: ReLU, inputs: layer1.0}" in lines(doc)
    assert "1: {type: ReLU, inputs: new}" in lines(doc)
    doc = inserted("mixed.b1.a", "new")
    assert "b: {type: ReLU, inputs: new}" in lines(doc)


def test_a_branch_cannot_end_in_a_layer_that_its_name_puts_elsewhere() -> None:
    with pytest.raises(SpecError, match=r"new cannot stand after mixed\.b1\.b") as caught:
        inserted("mixed.b1.b", "new")
    assert "`mixed.b1.`" in str(caught.value.hint)


def test_a_name_that_is_taken_is_refused() -> None:
    for name in ("fc", "layer1", "mixed.b1", "layer1.0.bn", "input"):
        with pytest.raises(SpecError, match=r"exists already|input"):
            insert_after(document(LAYERS), "stem", {name: RELU})


def test_a_value_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        insert_after(document(LAYERS), "stam", {"new": RELU})
    assert "`stem`" in str(caught.value.hint)


def test_groups_and_containers_can_be_inserted() -> None:
    doc = insert_after(
        document(LAYERS),
        "stem",
        {
            "layer0": {"0": RELU, "1": {"type": "Softmax", "dim": 1}},
            "res": {
                "type": "Add",
                "branches": [
                    {"c": {"type": "Conv2d", "out_channels": 3, "kernel_size": (3, 3)}},
                    {},
                ],
            },
        },
    )
    found = edges(to_spec(doc))
    assert found["layer0.1"] == ("layer0.0",)
    assert found["res"] == ("res.c", "layer0.1")
    assert found["layer1.0"] == ("layer1.0.bn", "res")
    assert "- c: {type: Conv2d, out_channels: 3, kernel_size: 3}" in lines(doc)


def test_a_new_container_may_read_the_value_and_others() -> None:
    new = {"type": "Add", "inputs": ["layer1", "stem"]}
    found = edges(to_spec(insert_after(document(LAYERS), "layer1", {"join": new})))
    assert found["join"] == ("layer1.1", "stem")
    assert found["skip"] == ("join", "mixed")


def test_behind_one_of_several_inputs() -> None:
    from tests.spec.texts import document as doc_of

    base = doc_of(
        "a: {type: ReLU, inputs: x}\nb: {type: Add, inputs: [a, y]}", shape="{x: [4], y: [4]}"
    )
    found = edges(to_spec(insert_after(base, "y", {"new": RELU})))
    assert found == {"new": ("y",), "a": ("x",), "b": ("a", "new")}


def test_nothing_to_insert_changes_nothing() -> None:
    doc = document(LAYERS)
    assert insert_after(doc, "stem", {}) is doc


def test_a_name_that_hides_what_others_read_is_refused_or_right() -> None:
    layers = "a: {type: ReLU}\ng: {b: {type: ReLU}, c: {type: Add, inputs: [a, b]}}"
    with pytest.raises(SpecError, match=r"g\.a cannot stand"):
        insert_after(document(layers), "g.b", {"g.a": RELU})
