"""Digests depend on names, types, shapes and bytes, and on nothing else."""

from __future__ import annotations

import hashlib
import json
from functools import partial

import pytest
import torch
from blake3 import blake3
from safetensors.torch import save_file

from net2net_cli.io import TensorInfo, digest, open_source
from net2net_cli.io.digest import (
    has_header,
    header_digest,
    joined,
    leaf_bytes,
    leaves_of,
    tree_digest,
)
from net2net_cli.io.sink import write_checkpoint
from tests.support.checkpoints import infos, same, state

W = TensorInfo("w", "float32", (2, 3))
V = TensorInfo("v", "int64", ())


def test_the_digest_can_be_computed_from_its_description():
    leaves = {("v", 0): blake3(b"v").hexdigest(), ("w", 0): blake3(b"w").hexdigest()}
    v, w = (blake3(blake3(name).digest()).hexdigest() for name in (b"v", b"w"))
    lines = f'["v","int64",[],"{v}"]\n["w","float32",[2,3],"{w}"]\n'
    assert tree_digest([W, V], leaves) == "blake3:" + blake3(lines.encode()).hexdigest()
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
    leaves = {("w", 0): "aa", ("v", 0): "bb"}
    assert tree_digest([W, V], leaves) == tree_digest([V, W], leaves)
    others = [
        TensorInfo("x", "float32", (2, 3)),
        TensorInfo("w", "int32", (2, 3)),
        TensorInfo("w", "float32", (3, 2)),
    ]
    assert len({header_digest([t]) for t in [W, *others]}) == 4
    assert tree_digest([W], {("w", 0): "aa"}) != tree_digest([W], {("w", 0): "ab"})


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


def test_a_tensor_s_digest_is_that_of_its_leaves(monkeypatch):
    monkeypatch.setattr(digest, "LEAF", 100)
    info, data = TensorInfo("w", "int16", (9, 4, 5)), bytes(range(180)) * 2
    found = [data[at : at + 80] for at in range(0, 360, 80)]
    leaves = {("w", n): blake3(leaf).hexdigest() for n, leaf in enumerate(found)}
    assert leaves_of(info) == list(leaves)
    wanted = blake3(b"".join(blake3(leaf).digest() for leaf in found)).hexdigest()
    assert joined(info, leaves) == wanted
    assert leaves_of(TensorInfo("e", "int16", (0, 3))) == [("e", 0)]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a/"])
def test_leaves_are_written_by_several_threads_in_any_order(tmp_path, monkeypatch, name, workers):
    written = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        write = partial(
            write_checkpoint, f"{tmp_path}/{number}/{name}", infos(state()), {}, workers=workers
        )
        written.append(write(lambda info: state()[info.name]))
        monkeypatch.setattr(digest, "LEAF", 16)
    whole, leaves = written
    assert whole.digest != leaves.digest
    with open_source(whole.path) as one, open_source(leaves.path) as other:
        assert one.digest() == other.digest() == leaves.digest
        assert all(same(one.tensor(n), other.tensor(n)) for n in state())
