"""``--width`` and ``--depth`` of transformers: the sizes that they come to, and that what the
transformers library opens then computes the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.families.growing import config_of, first_of
from tests.support.command import Net2Net
from tests.support.families import make_teacher

FAMILIES = ("llama", "gpt2", "bert", "t5", "bloom")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("made")
    for family in FAMILIES:
        make_teacher(first_of(family), root / family)
    return {name: root / name for name in FAMILIES}


@pytest.mark.parametrize(
    ("family", "asked", "sizes"),
    [
        ("llama", ("--width", "x1.5", "--depth", "+1"),
         {"hidden_size": 36, "intermediate_size": 60, "num_key_value_heads": 3}),
        ("gpt2", ("--width", "x1.3"), {"n_embd": 32, "n_head": 4, "n_inner": 26}),
        ("bert", ("--width", "x1.5", "--depth", "encoder.layer=+1"),
         {"hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 30}),
        ("t5", ("--width", "x1.34", "--depth", "decoder.block=+1"),
         {"d_model": 32, "num_heads": 4, "d_kv": 6}),
    ],
)  # fmt: skip
def test_a_transformer_grows_as_asked(
    net2net: Net2Net, folder: Path, made: Mapping[str, Path], family: str,
    asked: tuple[str, ...], sizes: Mapping[str, int],
) -> None:  # fmt: skip
    ended = net2net("grow", made[family], *asked, "-o", "out", "--json")
    assert json.loads(ended.out)["verification"]["passed"]
    config = config_of(folder / "out")
    assert {key: config[key] for key in sizes} == sizes
    assert (blocks(config) != blocks(config_of(made[family]))) == ("--depth" in asked)


def blocks(config: Mapping[str, object]) -> dict[str, object]:
    counts = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers")
    return {key: config[key] for key in counts if key in config}


def test_what_a_family_does_not_allow_stays_with_the_reason(
    net2net: Net2Net, folder: Path, made: Mapping[str, Path]
) -> None:
    said = net2net("plan", made["bert"], "--width", "x1.25").err
    assert "`hidden_size` stays: `hidden_size` cannot grow from 24 to 30" in said


def test_a_setting_overrules_the_factor(
    net2net: Net2Net, folder: Path, made: Mapping[str, Path]
) -> None:
    asked = ("--width", "x1.5", "--set", "intermediate_size=41", "--json")
    plan = json.loads(net2net("plan", made["llama"], *asked).out)["plan"]
    grown = {o["label"]: o["after"] for o in plan["operations"] if o["kind"] == "widen"}
    assert (grown["hidden_size"], grown["intermediate_size"]) == (36, 41)


@pytest.mark.parametrize(
    ("family", "asked", "code", "said"),
    [
        ("llama", ("--width", "1.5"), 2, "hint: write x1.5"),
        ("llama", ("--width", "x0.5"), 3, "`width: x0.5` shrinks the network"),
        ("bloom", ("--width", "x1.5", "--depth", "g=+1"), 2, "there are no blocks `g`"),
        ("llama", ("--depth", "layer=+1"), 2, "did you mean `layers`?"),
        ("llama", ("--depth", "2"), 2, "hint: write +2"),
        ("t5", ("--depth", "+1"), 2, "blocks are encoder.block, decoder.block"),
        ("bert", ("--width", "x1"), 0, ""),
    ],
)
def test_wrong_values_are_told(
    net2net: Net2Net, folder: Path, made: Mapping[str, Path], family: str,
    asked: tuple[str, ...], code: int, said: str,
) -> None:  # fmt: skip
    assert said in net2net("plan", made[family], *asked, code=code).err
