"""Numbered layers of drawn sequences keep their partners, whatever is put between them.

How names, numbers and ``rename`` are read is tested in tests/growth/test_match.py; here it is that
growth can go on from what was matched.
"""

from __future__ import annotations

from hypothesis import given, note, settings
from hypothesis import strategies as st

from net2net_cli.match import changed_arguments, match_layers
from net2net_cli.spec import Document, dump, to_spec
from tests.support.draws import Draws, Entry
from tests.support.memory import EXACT, Judge, described, teacher_of

SHAPE = (3, 4, 4)
KINDS: tuple[Entry, ...] = (
    {"type": "Conv2d", "kernel_size": 3, "padding": 1}, {"type": "Conv2d", "kernel_size": 1},
    {"type": "BatchNorm2d"}, {"type": "ReLU"}, {"type": "PReLU"},
)  # fmt: skip
NEW: tuple[list[Entry], ...] = (
    [{"type": "PReLU"}],
    [{"type": "Conv2d", "kernel_size": 5, "padding": 2}],
    [{"type": "Conv2d", "kernel_size": 1}, {"type": "BatchNorm2d"}, {"type": "PReLU"}],
    [{"type": "BatchNorm2d"}],
)


def sequence(entries: list[Entry]) -> Document:
    """An nn.Sequential within a group, as torchvision's ``features`` are."""
    numbered: dict[str, object] = {str(i): entry for i, entry in enumerate(entries)}
    return described({"features": numbered}, input=list(SHAPE))


def drawn_sequence(d: Draws, channels: int) -> list[Entry]:
    found = [dict(d.pick(KINDS)) for _ in range(d.number(1, 5))]
    for entry in found:
        if entry["type"] == "Conv2d":
            entry["out_channels"] = channels
    return [*found, {"type": "Conv2d", "kernel_size": 1, "out_channels": 2}]


def widened(entries: list[Entry], channels: int) -> list[Entry]:
    return [e | {"out_channels": channels} if e["type"] == "Conv2d" else e for e in entries]


def inserted(d: Draws, entries: list[Entry], channels: int) -> list[Entry]:
    """The same, with new layers somewhere before the last one."""
    at = d.number(0, len(entries) - 1)
    size = channels if any(e["type"] == "Conv2d" for e in entries[:at]) else SHAPE[0]
    return [*entries[:at], *widened(d.pick(NEW), size), *entries[at:]]


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_every_layer_of_a_sequence_finds_a_partner_in_order(data: st.DataObject) -> None:
    d = Draws(data.draw)
    old = drawn_sequence(d, 4)
    new = inserted(d, old, 4)
    source, target = to_spec(sequence(old)), to_spec(sequence(new))
    pairs = match_layers(source, target)
    note(f"{dump(sequence(old))}\n{dump(sequence(new))}\n{pairs}")
    assert sorted(pairs.values()) == sorted(layer.name for layer in source.layers)
    places = [int(name.split(".")[1]) for name in pairs.values()]
    assert [int(name.split(".")[1]) for name in pairs] == sorted(
        int(name.split(".")[1]) for name in pairs
    )
    assert places == sorted(places)
    for name, other in pairs.items():
        assert not changed_arguments(source.layer(other), target.layer(name))


@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_a_sequence_grows_deeper_and_wider_at_once(data: st.DataObject) -> None:
    d = Draws(data.draw)
    old = drawn_sequence(d, 4)
    wide = [*widened(old[:-1], 6), old[-1]]
    new = inserted(d, wide, 6)
    note(f"{dump(sequence(old))}\n{dump(sequence(new))}")
    judge = Judge(teacher_of(sequence(old)))
    assert judge.errors(judge.grow(sequence(new)))["evaluation"] <= EXACT
