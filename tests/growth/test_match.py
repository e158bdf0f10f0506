"""Which layer became which: by name, by alignment of numbers, and as ``rename:`` says."""

from __future__ import annotations

import random

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.match import match_layers
from net2net_cli.spec import Spec, parse_document, to_spec


def spec(layers: str, rename: str = "") -> Spec:
    tail = f"rename: {rename}\n" if rename else ""
    lines = "".join(f"  {line.strip()}\n" for line in layers.strip().splitlines())
    return to_spec(parse_document(f"net2net: 1\ninput: [4]\nlayers:\n{lines}{tail}", "net.yaml"))


def linears(*names: str, sizes: int = 4) -> str:
    return "\n".join(f"{name}: {{type: Linear, out_features: {sizes}}}" for name in names)


def matches(before: str, after: str, rename: str = "") -> dict[str, str]:
    """Target name -> source name."""
    return dict(match_layers(spec(before), spec(after, rename)))


def test_same_names_match():
    assert matches(linears("a", "b"), linears("a", "new", "b")) == {"a": "a", "b": "b"}


def test_numbers_are_aligned_by_what_they_are():
    before = "0: {type: ReLU}\n1: {type: Tanh}"
    after = "0: {type: ReLU}\n1: {type: GELU}\n2: {type: Tanh}"
    assert matches(before, after) == {"0": "0", "2": "1"}


def test_renames_hold_all_at_once():
    """1 -> 3 and 3 -> 5 move two layers, and 1 does not go on to 5."""
    found = matches(linears(*"0123"), linears(*"012345"), "{1: 3, 2: 4, 3: 5}")
    assert found == {"0": "0", "3": "1", "4": "2", "5": "3"}
    assert matches(linears("a", "b"), linears("a", "b"), "{a: b, b: a}") == {"b": "a", "a": "b"}


def test_a_rename_outweighs_what_looks_better():
    before = "0: {type: Linear, out_features: 4}\n1: {type: Linear, out_features: 8}"
    after = f"{before}\n2: {{type: Linear, out_features: 9}}"
    assert matches(before, after, "{1: 2}") == {"0": "0", "2": "1"}


def test_a_rename_keeps_its_neighbours_on_their_sides():
    found = matches(linears(*"0123"), linears(*"012345"), "{2: 4}")
    assert found == {"0": "0", "1": "1", "4": "2", "5": "3"}


def test_below_a_renamed_group_numbers_are_aligned():
    before = "g: {0: {type: ReLU}, 1: {type: Tanh}, a: {type: GELU}}"
    after = "h: {0: {type: ReLU}, 1: {type: ELU}, 2: {type: Tanh}, a: {type: GELU}}"
    assert matches(before, after, "{g: h}") == {"h.0": "g.0", "h.2": "g.1", "h.a": "g.a"}


@pytest.mark.parametrize("rename", ["{g: h, g.0: stem}", "{g.0: stem, g: h}"])
def test_a_layer_may_leave_its_renamed_group(rename: str):
    before, after = "g: {0: {type: ReLU}, 1: {type: ReLU}}", "stem: {type: ReLU}\nh.0: {type: ReLU}"
    assert matches(before, after, rename) == {"stem": "g.0", "h.0": "g.1"}


def test_a_rename_to_another_type_is_a_pair():
    """So that the message says what changed, and not that a layer is gone."""
    assert matches("0: {type: ReLU}", "0: {type: Tanh}\n1: {type: GELU}", "{0: 1}") == {"1": "0"}


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ("{a: c, b: c}", "makes two layers into `c`"),
        ("{x: c}", "names `x`, which the source"),
        ("{a: x}", "names `x`, which the target"),
    ],
)
def test_a_rename_that_cannot_be_is_refused(rename: str, message: str):
    with pytest.raises(SpecError, match=message):
        matches(linears("a", "b"), linears("c", "b"), rename)


@pytest.mark.parametrize("seed", range(30))
def test_any_insertion_that_is_said_is_found(seed: int):
    """Chains of layers that look alike, or do not, with new ones anywhere."""
    draw = random.Random(seed)
    kinds = draw.choice([["ReLU"], ["ReLU", "Tanh"]])
    old = [draw.choice(kinds) for _ in range(draw.randint(1, 6))]
    places = sorted(draw.sample(range(12), len(old)))
    new = [draw.choice(kinds) for _ in range(12)]
    for kind, place in zip(old, places, strict=True):
        new[place] = kind
    before, after = ("\n".join(f"{n}: {{type: {kind}}}" for n, kind in enumerate(side))
                     for side in (old, new))  # fmt: skip
    moved = {n: place for n, place in enumerate(places) if n != place}
    said = ", ".join(f"{n}: {place}" for n, place in moved.items())
    expected = {str(place): str(n) for n, place in enumerate(places)}
    assert matches(before, after, f"{{{said}}}" if said else "") == expected
