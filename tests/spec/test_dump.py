"""Documents written out: readable, stable, and the same network when read again."""

from __future__ import annotations

from textwrap import dedent

import pytest
import yaml

from net2net_cli.spec import Document, dump, parse_document, to_spec
from net2net_cli.spec.tree import scalar, with_entry
from tests.spec.texts import FILE, document, meaning

RESNET = """\
net2net: 1
source: ckpt.safetensors
rename: {fc: head}
input: [3, 32, 32]
layers:
  conv1: {type: Conv2d, out_channels: 64, kernel_size: 3, padding: [1, 2], bias: false}
  layer1:
    0:
      type: Add
      branches:
        - conv1: {type: Conv2d, out_channels: 64, kernel_size: 1, padding: same}
          bn1: {type: BatchNorm2d, eps: 1e-3}
        - {}
    relu: {type: ReLU}
  mixed:
    type: Concat
    dim: 1
    branches:
      b1:
        conv: {type: Conv2d, out_channels: 16, kernel_size: 1}
      b2: {}
      b3:
        inputs: conv1
        pool: {type: Identity}
  "yes": {type: Add, inputs: [mixed, mixed]}
  fc: {type: LayerNorm, share: {weight: layer1.0.bn1.weight}}
outputs: [fc, layer1.relu]
"""


def test_a_document_in_this_style_is_written_as_it_was_read() -> None:
    assert dump(parse_document(RESNET, FILE)) == RESNET


def test_other_styles_come_out_in_this_one() -> None:
    loose = """
        outputs:
          - b
        layers:
          a: # a comment
            out_features: 3
            type: "Linear"
          "b": {'type': ReLU}
        input:
          [ 3,
            4 ]
        net2net: 1
    """
    assert dump(parse_document(dedent(loose), FILE)) == dedent("""\
        net2net: 1
        input: [3, 4]
        layers:
          a: {type: Linear, out_features: 3}
          b: {type: ReLU}
        outputs: [b]
    """)


def test_anchors_and_merges_are_written_out() -> None:
    text = dump(document("a: &a {type: Linear, out_features: 3}\nb: {<<: *a, bias: false}"))
    assert "b: {type: Linear, out_features: 3, bias: false}" in text


def test_the_changes_of_a_target_are_written_too() -> None:
    text = dedent("""\
        net2net: 1
        extends: source
        layers:
          conv1: {out_channels: 128}
          layer1:
            0: {branches: {}}
            1:
              conv1: {out_channels: 128}
          conv2: {type: Conv2d, out_channels: 8, kernel_size: 3, after: conv1}
    """).replace("0: {branches: {}}", "2: {type: ReLU}")
    assert dump(parse_document(text, FILE)) == text


@pytest.mark.parametrize(
    "name",
    ["0", "10", "007", "1.5", "1e3", "1_0", "yes", "no", "on", "y", "true", "null", "~", "<<", "=",
     "-", "?", "a:b", "a#b", "#a", "*a", "&a", "!a", "[a]", "{a}", "a,b", "'a'", '"a"', "\\", "%a",
     "@a", "`a`", "|", ">", "type1", "größe", "名前", "🙂", "-1", "0x1f", "0o17",
     "2001-01-01", "12:30", "a/b", "a-b", "module._orig_mod", "x" * 255],
)  # fmt: skip
def test_any_name_is_read_back_as_it_is(name: str) -> None:
    quoted = "'" + name.replace("'", "''") + "'"
    doc = document(f"{quoted}: {{type: ReLU}}\nsum: {{type: Add, inputs: [{quoted}, input]}}")
    text = dump(doc)
    again = parse_document(text, FILE)
    assert meaning(to_spec(again)) == meaning(to_spec(doc))
    assert dump(again) == text
    assert len(yaml.safe_load(text)["layers"]) == 2


@pytest.mark.parametrize(
    "path", ["a b.pt", "with: colon", "~", "5", " x", "tab\there", "é\u2028", "\x7f\x85", "🙂"]
)
def test_any_text_is_read_back_as_it_is(path: str) -> None:
    doc = document("a: {type: ReLU}")
    root = with_entry(doc.root, "source", scalar(path, doc.place))
    assert parse_document(dump(Document(root, FILE)), FILE).source == path


def test_numbers_stay_as_they_were_written() -> None:
    text = dump(document("a: {type: BatchNorm2d, eps: 1e-05, momentum: 0.10}"))
    assert "eps: 1e-05, momentum: 0.10" in text
