"""Drawn networks: the exported file computes what the spec says, and is tidy."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from net2net_cli.network import Spec
from net2net_cli.spec import to_spec
from net2net_cli.spec.names import join
from tests.export.modules import check
from tests.properties.claims import examples
from tests.support.draws import Draws
from tests.support.graphs import network

GROUPS = (
    "", "", "a", "a.b", "a.b.c", "a.0", "a.1", "0", "1", "0.0", "0.class", "blocks.0", "blocks.1",
    "blocks.2", "type", "a.type", "conv-1", "_x", "__y", "blocks.0.forward", "x.keys",
)  # fmt: skip
LEAVES = (
    "conv", "relu", "0", "1", "2", "3", "class", "type", "forward", "x", "out", "self", "nn",
    "conv-1", 'a"b', "a'b", "a\\b", "_modules", "_own", "__z", "é", "add", "torch", "weight",
)  # fmt: skip
"""Names that are attributes, numbers, Python's words, torch's own, and none of these."""

COUNT = 500 if os.environ.get("NET2NET_ALL") == "1" else 25


def renamed(d: Draws, spec: Spec) -> Spec:
    """The network with its layers anywhere in a tree of groups, whatever flows where."""
    names = {given.name: given.name for given in spec.inputs}
    taken: set[str] = set(names)
    groups: set[str] = set()
    for layer in spec.layers:
        name = join(d.pick(GROUPS), d.pick(LEAVES))
        while not _free(name, taken, groups):
            name = join(d.pick(GROUPS), f"{d.pick(LEAVES)}{len(taken)}")
        names[layer.name] = name
        taken.add(name)
        groups.update(name[:at] for at, letter in enumerate(name) if letter == ".")
    layers = tuple(
        replace(
            layer,
            name=names[layer.name],
            inputs=tuple(names[value] for value in layer.inputs),
            share={own: _tensor(full, names) for own, full in layer.share.items()},
        )
        for layer in spec.layers
    )
    return replace(spec, layers=layers, outputs=tuple(names[value] for value in spec.outputs))


def _free(name: str, taken: set[str], groups: set[str]) -> bool:
    below = any(name.startswith(f"{other}.") for other in taken)
    return name not in taken and name not in groups and not below


def _tensor(full: str, names: dict[str, str]) -> str:
    if full in names:
        return names[full]
    layer, _, own = full.rpartition(".")
    return join(names[layer], own)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_drawn_networks(tmp_path: Path) -> None:
    texts: set[str] = set()

    @examples(COUNT)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        d = Draws(data.draw)
        drawn = network(d)
        note(repr(drawn))
        spec = to_spec(drawn.document)
        texts.add(check(renamed(d, spec) if d.flag() else spec, doubled=d.flag()))

    holds()
    assert len(texts) > COUNT / 2
    for count, text in enumerate(sorted(texts)):
        (tmp_path / f"drawn_{count}.py").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
