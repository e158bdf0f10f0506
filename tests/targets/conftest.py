"""A folder with a teacher in it, the command, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from net2net_cli.laying import layout_of
from net2net_cli.spec import read_document, to_spec
from tests.support.command import Net2Net
from tests.support.zoo import random_state

Teach = Callable[[str], None]

EXACT = 1e-10


def target(body: str) -> str:
    """Writes a target that extends the checkpoint's own spec; returns its name."""
    Path("t.yaml").write_text(f"net2net: 1\nextends: source\n{body}", encoding="utf-8")
    return "t.yaml"


def grown(net2net: Net2Net, *arguments: object) -> dict[str, list[int]]:
    """Grows and verifies; returns the shapes of the student's weights by layer."""
    ended = net2net("grow", "net", *arguments, "-o", "out.safetensors", "--json")
    document = json.loads(ended.out)
    assert document["verification"]["passed"]
    estimated = any(o.get("moments") for o in document["plan"]["operations"])
    for probe in document["verification"]["probes"]:
        if probe["mode"] == "evaluation" or not estimated:
            assert probe["relative_error"] <= EXACT
    with safe_open("out.safetensors", "pt") as file:
        names = [name for name in file.keys() if name.endswith(".weight")]  # noqa: SIM118
        return {n.removesuffix(".weight"): file.get_slice(n).get_shape() for n in names}


def notes(net2net: Net2Net, *arguments: object) -> list[str]:
    """What a plan notes."""
    found = json.loads(net2net("plan", "net", *arguments, "--json").out)["diagnostics"]
    return [item["message"] for item in found if item["severity"] == "note"]


@pytest.fixture
def teach(folder: Path) -> Teach:
    """Writes a teacher, `net.safetensors` with `net.yaml` beside it: all random, in float64."""

    def write(spec: str) -> None:
        (folder / "net.yaml").write_text(spec, encoding="utf-8")
        layout = layout_of(to_spec(read_document(folder / "net.yaml")))
        save_file(random_state(layout), folder / "net.safetensors")

    return write
