"""What a person sees of a transformer's plan, as it is kept in ``__snapshots__``; after a change
that is meant, ``pytest tests/cli/test_families_printed.py --snapshot-update`` keeps the new."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.families.growing import first_of
from tests.support.command import Net2Net
from tests.support.families import make_teacher

GROWTHS = {
    "llama": (
        "hidden_size=36", "intermediate_size=53", "num_hidden_layers=5", "num_attention_heads=9",
        "num_key_value_heads=3", "vocab_size=67",
    ),
    "gpt2": ("n_embd=60", "n_head=5", "n_inner=53", "n_layer=5", "vocab_size=67"),
}  # fmt: skip


@pytest.mark.parametrize("family", GROWTHS)
def test_a_plan_is_printed(
    net2net: Net2Net, folder: Path, family: str, snapshot: SnapshotAssertion
) -> None:
    make_teacher(first_of(family), folder / family)
    settings = [word for pair in GROWTHS[family] for word in ("--set", pair)]
    ended = net2net("plan", family, *settings)
    assert ended.err + ended.out == snapshot


@pytest.mark.parametrize("family", GROWTHS)
def test_a_folder_is_inspected(
    net2net: Net2Net, folder: Path, family: str, snapshot: SnapshotAssertion
) -> None:
    make_teacher(first_of(family), folder / family)
    assert net2net("inspect", family).out == snapshot
