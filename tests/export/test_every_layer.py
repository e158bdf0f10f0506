"""Every layer type of the table, exported: the same state dict, and bit for bit the same values."""

from __future__ import annotations

import subprocess
import sys

import pytest

from net2net_cli.export.written import HELPERS
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Spec
from net2net_cli.spec import parse_document, to_spec
from tests.export.modules import check
from tests.growth.attention_nets import ATTENTION_NETS
from tests.growth.held_nets import HELD_NETS
from tests.growth.joined_nets import JOINED_NETS
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.moved_nets import MOVED_NETS
from tests.growth.recurrent_nets import RECURRENT_NETS

NETS = {
    net.name: net
    for net in (
        *LAYER_NETS,
        *MOVED_NETS,
        *HELD_NETS,
        *JOINED_NETS,
        *ATTENTION_NETS,
        *RECURRENT_NETS,
    )
}


def spec_of(name: str) -> Spec:
    return to_spec(parse_document(NETS[name].spec(4), name))


def test_helpers_are_tidy() -> None:
    text = "\n\n".join(HELPERS.values())
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", "-"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout


def test_every_layer_type_is_tried() -> None:
    tried = {layer.type for name in NETS for layer in spec_of(name).layers}
    assert tried == set(LAYER_TYPES) - {"Softmax2d"}  # which is one more of the softmaxes


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", NETS)
def test_a_layer_computes_the_same(name: str) -> None:
    spec = spec_of(name)
    check(spec)
    if any(layer.share for layer in spec.layers):
        check(spec, doubled=True)
