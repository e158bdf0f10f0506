"""Targets that say only what changes: factors, patterns, stages, and the same as options."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import yaml

from tests.fuzz.damage import TEXTS, structure, value, word, yaml_of
from tests.fuzz.valid import LARGER, Valid

FACTORS = (
    "x1.5", "x1.5", "x2", "x1", "x0", "x-1", "x", "xx", "1.5", "x1e308", "x1e9", "xnan", "xinf",
    "x1e-320", "x0.5", "X1.5", "x 1.5", "x1,5", "×1.5", "x1.0000000001", "x" + "9" * 400, "+1",
    "x1_0", "x١", "x0x2", "", "x1.5.5",
)  # fmt: skip
DEPTHS = (
    "+1", "+1", "layer1=+1", "layer1.1=+2", "+0", "+-1", "-1", "1", "+", "+99999999999", "+1e3",
    "+1.5", "layer1=+5000", "layer1=+1=+1", "=+1", "layer1=", "layer1", "no=+1", "*=+1", "**=+1",
    "layer1.*=+1", "layer1.relu0=+1", "fc=+1", "conv1=+1", "layer1=+1,conv1=+1", "layer1=x2",
    "layer1=+" + "9" * 300, "layer1.1.conv1=+1", "layer1=+٣",
)  # fmt: skip
PATTERNS = (
    "layer1.*.conv1", "layer1.*.conv2", "**.conv2", "**", "*", "*.*", "**.**.**.**.**.**.x",
    ".".join(["**"] * 200), "layer1.**.**.**", "", ".", "..", "*.", "layer1.*.relu", "layer1.*",
    "layer1", "layer*.0.conv1", "[a-z]*", "conv?", "***", "layer1.0.conv1", "fc", "conv1", "bn1",
    "*" * 3000, "a" * 3000 + "*",
)  # fmt: skip


def larger(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A target with factors, patterns and stages that no network has."""
    _teacher(valid, folder)
    if draw.random() < 0.3:
        text = yaml_of(LARGER, draw)
    else:
        document = yaml.safe_load(LARGER)
        for _ in range(draw.choice([1, 1, 2, 3])):
            _change(document, draw)
        if draw.random() < 0.2:
            document = structure(document, draw)
        text = yaml.safe_dump(document, sort_keys=False).encode("utf-8", "replace")
    (folder / "t.yaml").write_bytes(text)
    words = ["stages", "--spec", "t.yaml"]
    return draw.choice([["plan", *words], ["grow", *words, "-o", "out.safetensors"]])


def _change(document: dict[str, object], draw: Random) -> None:
    layers = document["layers"]
    assert isinstance(layers, dict)
    match draw.randrange(4):
        case 0:
            document["width"] = draw.choice([*FACTORS, value(draw)])
        case 1:
            said = draw.choice(DEPTHS)
            stage, _, count = said.rpartition("=")
            document["depth"] = {stage: count} if stage and draw.random() < 0.8 else said
        case 2:
            layers[draw.choice(PATTERNS)] = {"out_channels": draw.choice([*FACTORS, 7, 64, 2**40])}
        case _:
            layers[draw.choice(PATTERNS)] = draw.choice([value(draw), {"bias": "x1.5"}, {}, None])


def sizes(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """The same as options of the command."""
    _teacher(valid, folder)
    words = [draw.choice(["plan", "plan", "grow"]), "stages"]
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        if draw.random() < 0.3:
            words += draw.choice([["--width", "x1.5"], ["--depth", "layer1=+1"]])
            continue
        odd = word(draw.choice([value(draw), draw.choice(TEXTS)]))
        match draw.randrange(3):
            case 0:
                words += ["--width", draw.choice([*FACTORS, odd])]
            case 1:
                words += ["--depth", draw.choice([*DEPTHS, odd])]
            case _:
                key = f"{draw.choice(PATTERNS)}.{draw.choice(['out_channels', 'bias', 'type', ''])}"
                words += ["--set", f"{key}={draw.choice([*FACTORS, '7', '99999999999', odd])}"]
    return words if words[0] == "plan" else [*words, "-o", "out.safetensors"]


def _teacher(valid: Valid, folder: Path) -> None:
    for name in ("stages.safetensors", "stages.yaml"):
        shutil.copy(valid.folder / name, folder / name)
