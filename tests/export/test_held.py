"""Tensors that no input feeds: written out, packed, under names that torch's modules have."""

from __future__ import annotations

import struct

import pytest

from net2net_cli.layers.constants import packed
from net2net_cli.spec import parse_document, to_spec
from tests.export.modules import check

DATA = packed(struct.pack("<6f", 1, 2, 3, 0.5, 0.25, 0.1))

SPEC = f"""
net2net: 1
input: [2, 3]
layers:
  g:
    NAME: {{type: Constant, shape: [2, 3], data: "{DATA}"}}
    times: {{type: Multiply, inputs: [input, NAME]}}
    plus: {{type: Constant, value: 0.1}}
    shifted: {{type: Add, inputs: [times, moved]}}
    moved: {{type: Parameter, shape: [2, 3]}}
    unread: {{type: Buffer, shape: [4], dtype: int64}}
    norm: {{type: LayerNorm, inputs: shifted}}
"""


@pytest.mark.parametrize("name", ["mask", "type", "class", "0", "forward"])
def test_a_packed_constant(name: str) -> None:
    text = check(to_spec(parse_document(SPEC.replace("NAME", name), "held.yaml")))
    assert "import base64\nimport zlib\n\nimport torch\n" in text


def test_a_parameter_laid_beside_the_examples() -> None:
    text = """
net2net: 1
input: [2, 3]
layers:
  token: {type: Parameter, shape: [1, 1, 3], batched: true}
  both: {type: Concat, inputs: [token, input]}
  mixed: {type: Einsum, equation: "bij,bkj->bik", inputs: [both, token]}
"""
    assert "self.token.expand(x.shape[0], -1, -1)" in check(to_spec(parse_document(text, "a.yaml")))
