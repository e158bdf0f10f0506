"""Digests depend on names, types, shapes and bytes, and on nothing else."""

from __future__ import annotations

import hashlib
import json

import torch
from safetensors.torch import save_file

from net2net_cli.io import TensorInfo, open_source
from net2net_cli.io.digest import header_digest, tree_digest
from tests.support.checkpoints import state

W = TensorInfo("w", "float32", (2, 3))
V = TensorInfo("v", "int64", ())


def test_the_digest_can_be_computed_from_its_description():
    lines = '["v","int64",[],"bb"]\n["w","float32",[2,3],"aa"]\n'
    assert tree_digest({W: "aa", V: "bb"}) == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    lines = "".join(
        json.dumps(x, separators=(",", ":")) + "\n"
        for x in (["v", "int64", []], ["w", "float32", [2, 3]])
    )
    assert header_digest([W, V]) == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def test_order_does_not_count_and_everything_else_does():
    assert header_digest([W, V]) == header_digest([V, W])
    assert tree_digest({W: "aa", V: "bb"}) == tree_digest({V: "bb", W: "aa"})
    others = [
        TensorInfo("x", "float32", (2, 3)),
        TensorInfo("w", "int32", (2, 3)),
        TensorInfo("w", "float32", (3, 2)),
    ]
    assert len({header_digest([t]) for t in [W, *others]}) == 4
    assert tree_digest({W: "aa"}) != tree_digest({W: "ab"})


def test_a_checkpoint_has_one_digest_in_every_format(tmp_path):
    save_file(state(), tmp_path / "a.safetensors")
    torch.save(state(), tmp_path / "a.pt")
    torch.save({"model": dict(reversed(state().items()))}, tmp_path / "b.pt")
    sources = [open_source(tmp_path / name) for name in ("a.safetensors", "a.pt", "b.pt")]
    assert len({s.digest() for s in sources}) == 1
    assert len({s.header_digest() for s in sources}) == 1
    changed = {**state(), "bytes": torch.zeros(7, dtype=torch.uint8)}
    save_file(changed, tmp_path / "a.safetensors")
    with open_source(tmp_path / "a.safetensors") as other:
        assert other.digest() != sources[1].digest()
        assert other.header_digest() == sources[1].header_digest()
