"""Arguments changed in place."""

from __future__ import annotations

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.spec import dump, parse_document, to_spec, with_args
from tests.spec.texts import FILE, document, meaning

LAYERS = """
stem: &conv {type: Conv2d, out_channels: 8, kernel_size: 3}
twin: *conv
block:
  type: Add
  branches:
    - {conv: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}}
    - {}
fc: {type: Linear, out_features: 2}
"""


def test_arguments_change_where_they_stand_and_nothing_else_does() -> None:
    before = dump(document(LAYERS)).splitlines()
    changed = with_args(document(LAYERS), {"block.conv": {"out_channels": 9}})
    after = dump(changed).splitlines()
    assert [line.strip() for line, old in zip(after, before, strict=True) if line != old] == [
        "- conv: {type: Conv2d, out_channels: 9, kernel_size: 3, padding: 1}"
    ]


def test_new_arguments_are_appended() -> None:
    doc = with_args(document(LAYERS), {"fc": {"in_features": 3, "bias": False}})
    assert "fc: {type: Linear, out_features: 2, in_features: 3, bias: false}" in dump(doc)


def test_what_shared_an_anchor_does_not_change_with_it() -> None:
    found = to_spec(with_args(document(LAYERS), {"stem": {"out_channels": 9}}))
    assert found.layer("stem").args["out_channels"] == 9
    assert found.layer("twin").args["out_channels"] == 8


def test_normalised_sizes_are_written_short() -> None:
    doc = with_args(document(LAYERS), {"stem": {"kernel_size": (5, 5), "stride": (1, 2)}})
    assert "kernel_size: 5, stride: [1, 2]" in dump(doc)


def test_a_change_can_be_read_back() -> None:
    doc = with_args(document(LAYERS), {"stem": {"out_channels": 9, "kernel_size": (5, 7)}})
    assert meaning(to_spec(parse_document(dump(doc), FILE))) == meaning(to_spec(doc))


def test_all_arguments_of_a_layer_can_be_written_back() -> None:
    found = to_spec(document(LAYERS))
    doc = with_args(document(LAYERS), {layer.name: layer.args for layer in found.layers})
    assert meaning(to_spec(doc)) == meaning(found)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"blok.conv": {"out_channels": 3}}, "blok.conv", "block.conv"),
        ({"fc": {"out_feature": 3}}, "out_feature", "out_features"),
    ],
)
def test_what_does_not_exist_cannot_change(
    changes: dict[str, dict[str, int]], message: str, hint: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        with_args(document(LAYERS), changes)
    assert hint in str(caught.value.hint)


def test_a_wrong_value_is_found_by_to_spec_at_the_layers_line() -> None:
    with pytest.raises(SpecError) as caught:
        to_spec(with_args(document(LAYERS), {"fc": {"out_features": -1}}))
    assert caught.value.where == "net.yaml:11"
