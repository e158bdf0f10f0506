"""Every layer type, grown by every expansion that it bears and every split, computes the same."""

from __future__ import annotations

import pytest

from net2net_cli.api import Choices
from net2net_cli.errors import UnreachableError
from net2net_cli.expansion import KINDS, SPLITS
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec import parse_document, to_spec
from tests.growth.attention_nets import ATTENTION_NETS
from tests.growth.held_nets import HELD_NETS
from tests.growth.joined_nets import JOINED_NETS
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.moved_nets import MOVED_NETS
from tests.growth.nets import EXACT, Net, teacher_of, worst
from tests.growth.recurrent_nets import RECURRENT_NETS

BEFORE, UNEVEN, DOUBLE = 4, 7, 8
NETS = {
    net.name: net
    for net in (
        *LAYER_NETS,
        *MOVED_NETS,
        *HELD_NETS,
        *ATTENTION_NETS,
        *RECURRENT_NETS,
        *JOINED_NETS,
    )
}
READERS = ("Linear", "Conv", "Embedding", "Flatten", "Concat", "Add", "Multiply", "share", "Layer")


def splits(net: Net) -> tuple[str, ...]:
    """Every split where the net has a reader of its own kind; elsewhere one, each in its turn."""
    if net.name.startswith(READERS) or net.name == "BatchNorm2d":
        return SPLITS
    return (SPLITS[list(NETS).index(net.name) % len(SPLITS)],)


def ways(net: Net):
    """(choices, new width) of every growth that the net bears."""
    for kind in KINDS:
        if kind not in net.bears:
            continue
        if kind not in ("duplicate", "even"):
            yield Choices(kind), UNEVEN
            continue
        to = DOUBLE if kind == "even" or "fresh" not in net.bears else UNEVEN
        for split in splits(net):
            yield Choices(kind, split), to


def kinds_of(net: Net) -> set[str]:
    """The layer types of a net."""
    spec = to_spec(parse_document(net.spec(BEFORE), net.name))
    return {layer.type for layer in spec.layers}


def test_every_layer_type_is_tried():
    tried = {kind for net in NETS.values() for kind in kinds_of(net)}
    assert tried == set(LAYER_TYPES) - {"Softmax2d"}  # which no width passes: see test_refusals


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", NETS)
def test_growth_preserves(name, tmp_path):
    """By every expansion that the layers bear, in evaluation and in training mode."""
    net = NETS[name]
    teacher, batch = teacher_of(net, tmp_path, BEFORE), net.batch()
    for choices, to in ways(net):
        plan = teacher.plan(net.spec(to), choices)
        assert plan.changes
        student = teacher.apply(plan)
        error = worst(teacher.module, student.into(net.module(to)), batch)
        assert error <= EXACT, (choices, to, error)


@pytest.mark.parametrize("name", NETS)
def test_what_is_not_borne_is_refused(name, tmp_path):
    net = NETS[name]
    teacher = teacher_of(net, tmp_path, BEFORE)
    for kind in KINDS:
        if kind in net.bears:
            continue
        with pytest.raises(UnreachableError) as refused:
            teacher.plan(net.spec(DOUBLE if kind == "even" else UNEVEN), Choices(kind))
        assert refused.value.exit_code == 3
