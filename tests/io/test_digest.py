"""Digests depend on names, types, shapes and bytes, and on nothing else."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from blake3 import blake3
from safetensors.torch import save_file

from net2net_cli.io import TensorInfo, digest, open_source
from net2net_cli.io.digest import (
    TensorHash,
    has_header,
    header_digest,
    leaf_bytes,
    tree_digest,
)
from tests.support.checkpoints import state

W = TensorInfo("w", "float32", (2, 3))
V = TensorInfo("v", "int64", ())


def test_the_digest_can_be_computed_from_its_description():
    lines = '["v","int64",[],"bb"]\n["w","float32",[2,3],"aa"]\n'
    assert tree_digest({W: "aa", V: "bb"}) == "blake3:" + blake3(lines.encode()).hexdigest()
    lines = "".join(
        json.dumps(x, separators=(",", ":")) + "\n"
        for x in (["v", "int64", []], ["w", "float32", [2, 3]])
    )
    assert header_digest([W, V]) == "blake3:" + blake3(lines.encode()).hexdigest()
    older = "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    assert has_header([W, V], older)
    assert has_header([W, V], header_digest([W, V]))
    assert not has_header([W], older)
    assert not has_header([W, V], "md5:" + older[7:])


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


@pytest.mark.parametrize(
    ("dtype", "shape", "run"),
    [
        ("float32", (), 4),
        ("bfloat16", (32000, 2048), 2 * 2048),
        ("float32", (10, 3, 5), 4 * 5 * 3 * 10),
        ("uint8", (7, 40_000_000), 40_000_000),
        ("uint8", (2, 3, 30_000_000), 30_000_000),
        ("float64", (3, 100_000_000), 8),
    ],
)
def test_leaves_are_whole_runs_of_the_last_axes(dtype, shape, run):
    assert leaf_bytes(TensorInfo("w", dtype, shape)) == run * (64 * 2**20 // run)


def test_a_tensor_s_digest_is_that_of_its_leaves_however_its_bytes_come(monkeypatch):
    monkeypatch.setattr(digest, "LEAF", 100)
    info, data = TensorInfo("w", "int16", (9, 4, 5)), bytes(range(180)) * 2
    leaves = [blake3(data[at : at + 80]).digest() for at in range(0, 360, 80)]
    wanted = blake3(b"".join(leaves)).hexdigest()
    for step in (1, 7, 80, 81, 359, 360):
        hasher = TensorHash(info)
        for at in range(0, 360, step):
            hasher.update(memoryview(data)[at : at + step])
        assert hasher.hexdigest() == wanted
    empty = TensorHash(TensorInfo("e", "int16", (0, 3)))
    assert empty.hexdigest() == blake3(b"").hexdigest()
