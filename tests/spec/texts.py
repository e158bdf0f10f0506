"""Short ways to write a spec's text and to look at what it means."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.spec import Document, Spec, parse_document, to_spec

FILE = "net.yaml"
FIRST_LAYER_LINE = 4


def document(layers: str, *, shape: str = "[3, 32, 32]", tail: str = "") -> Document:
    """A document whose layers begin in line 4."""
    text = f"net2net: 1\ninput: {shape}\nlayers:\n{indent(dedent(layers).strip(chr(10)), '  ')}\n"
    return parse_document(text + dedent(tail), FILE)


def spec(layers: str, *, shape: str = "[3, 32, 32]", tail: str = "") -> Spec:
    return to_spec(document(layers, shape=shape, tail=tail))


def edges(found: Spec) -> dict[str, tuple[str, ...]]:
    return {layer.name: layer.inputs for layer in found.layers}


def meaning(found: Spec) -> list[object]:
    """All that a spec says, without the places where it says it."""
    layers = [(x.name, x.type, dict(x.args), x.inputs, dict(x.share)) for x in found.layers]
    inputs = [(x.name, x.shape, x.dtype, x.high) for x in found.inputs]
    return [inputs, layers, found.outputs, dict(found.rename)]


def refusal(text: str) -> SpecError:
    """The error of a whole text."""
    with pytest.raises(SpecError) as caught:
        to_spec(parse_document(text, FILE))
    return checked(caught.value)


def layer_refusal(layers: str, *, shape: str = "[3, 32, 32]", tail: str = "") -> SpecError:
    """The error of a text's layers."""
    with pytest.raises(SpecError) as caught:
        spec(layers, shape=shape, tail=tail)
    return checked(caught.value)


def checked(error: SpecError) -> SpecError:
    """An error that keeps to the contract: short lines, a place and a remedy."""
    assert error.where is not None
    assert error.where.startswith(FILE)
    assert error.hint
    assert 3 <= len(error.lines()) <= 4
    assert all("\n" not in line and len(line) < 200 for line in error.lines())
    return error
