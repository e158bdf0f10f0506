"""Folders of torch.distributed.checkpoint, written by torch itself as FSDP and torchtitan do."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn, optim
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_optimizer_state_dict,
)

from tests.optimizer.nets import MLP_SPEC, Run, apart, mlp, save, trained
from tests.support.command import Net2Net

HOW = ("--set", "fc1.out_features=17", "--set", "fc2.out_features=30", "--expansion", "duplicate",
       "--split", "even")  # fmt: skip


@pytest.fixture
def run(folder: Path) -> Run:
    (folder / "net.yaml").write_text(MLP_SPEC)
    return trained(mlp(), optim.AdamW)


def saved(run: Run, name: str, *, flat: bool = False, **also: Any) -> None:
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    weights, state = get_state_dict(run.network, run.optimizer, options=options)
    content = {**weights, "optimizer": state} if flat else {"model": weights, "optim": state}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({**content, **also}, checkpoint_id=name, no_dist=True)


@pytest.mark.parametrize("flat", [False, True])
def test_weights_and_optimizer_grow(net2net: Net2Net, run: Run, flat: bool) -> None:
    saved(run, "step-5", flat=flat, epoch=3, scheduler={"last_epoch": 5})
    save(run, Path())
    net2net("grow", "step-5", "--source-spec", "net.yaml", *HOW, "-o", "a.safetensors")
    net2net("grow", "teacher.pt", "--source-spec", "net.yaml", *HOW, "-o", "b.safetensors",
            "--optimizer", "teacher.opt.pt")  # fmt: skip
    assert Path("a.safetensors").stat().st_size == Path("b.safetensors").stat().st_size
    made, wanted = torch.load("a.optimizer.pt"), torch.load("b.optimizer.pt")
    assert made["epoch"] == 3
    assert made["scheduler"] == {"last_epoch": 5}
    state = made["optimizer" if flat else "optim"]
    student = trained(mlp(17, 30), optim.AdamW)
    set_optimizer_state_dict(
        student.network, student.optimizer, {k: state[k] for k in ("state", "param_groups")},
        options=StateDictOptions(full_state_dict=True),
    )  # fmt: skip
    assert apart(student.optimizer.state_dict(), wanted) <= 1e-12


@pytest.mark.parametrize("flat", [False, True])
def test_torch_reads_what_is_written(net2net: Net2Net, run: Run, flat: bool) -> None:
    """As a training script would: into the student's own state dicts, in place."""
    saved(run, "step-5", flat=flat, epoch=torch.tensor(3))
    save(run, Path())
    net2net("grow", "step-5", "--source-spec", "net.yaml", *HOW, "-o", "student.dcp")
    net2net("grow", "teacher.pt", "--source-spec", "net.yaml", *HOW, "-o", "b.pt",
            "--optimizer", "teacher.opt.pt")  # fmt: skip
    student = trained(mlp(17, 30), optim.AdamW)
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    weights, state = get_state_dict(student.network, student.optimizer, options=options)
    content = {**weights, "optimizer": state} if flat else {"model": weights, "optim": state}
    content["epoch"] = torch.tensor(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(content, checkpoint_id="student.dcp", no_dist=True)
    assert int(content["epoch"]) == 3
    for name, value in torch.load("b.pt").items():
        assert torch.equal(weights[name], value)
    set_optimizer_state_dict(student.network, student.optimizer, state, options=options)
    assert apart(student.optimizer.state_dict(), torch.load("b.optimizer.pt")) <= 1e-12
    first = {p.name: p.read_bytes() for p in Path("student.dcp").iterdir()}
    net2net("grow", "step-5", "--source-spec", "net.yaml", *HOW, "-o", "student.dcp", "--overwrite")
    assert first == {p.name: p.read_bytes() for p in Path("student.dcp").iterdir()}
    net2net("widen", "student.dcp", "--layer", "fc1", "--to", 20, "-o", "wider.dcp")


def test_chunks_of_several_ranks_are_joined(net2net: Net2Net, folder: Path) -> None:
    """Two files, each with half of the rows, as two ranks of FSDP leave them."""
    from torch.distributed.checkpoint.metadata import (
        ChunkStorageMetadata,
        Metadata,
        MetadataIndex,
        TensorProperties,
        TensorStorageMetadata,
    )

    whole = nn.Linear(3, 6).state_dict()
    records, places = {}, {}
    Path("sharded").mkdir()
    for name, tensor in whole.items():
        chunks = []
        for rank, part in enumerate(tensor.chunk(2)):
            offsets = torch.Size([3 * rank] + [0] * (tensor.ndim - 1))
            path = Path("sharded", f"__{rank}_0.distcp")
            start = path.stat().st_size if path.exists() else 0
            with path.open("ab") as stream:
                torch.save(part.clone(), stream)
            info = dcp.filesystem._StorageInfo(path.name, start, path.stat().st_size - start)
            places[MetadataIndex(name, offsets)] = info
            chunks.append(ChunkStorageMetadata(offsets, part.shape))
        records[name] = TensorStorageMetadata(
            TensorProperties(dtype=tensor.dtype), tensor.shape, chunks
        )
    (folder / "net.yaml").write_text(
        "net2net: 1\ninput: [3]\nlayers:\n  fc: {type: Linear, out_features: 6}\n"
    )
    torch.save({f"fc.{name}": value for name, value in whole.items()}, "whole.pt")
    Path("sharded/.metadata").write_bytes(
        pickle.dumps(Metadata(records, {n: ("model", f"fc.{n}") for n in whole}, places))
    )
    ended = net2net("inspect", "sharded", "--source-spec", "net.yaml", "-v", "--json")
    same = net2net("inspect", "whole.pt", "--source-spec", "net.yaml", "-v", "--json")
    digest = [line for line in ended.out.splitlines() if '"digest"' in line]
    assert digest == [line for line in same.out.splitlines() if '"digest"' in line]


def _fill(file: Path) -> None:
    file.write_bytes(b"x" * file.stat().st_size)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run!",)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / ".metadata").unlink(), "without the `.metadata`"),
        (lambda f: (f / ".metadata").write_bytes(b"x" * 9), "the metadata is damaged"),
        (lambda f: (f / ".metadata").write_bytes(pickle.dumps(Evil())), "would run"),
        (lambda f: (f / ".metadata").write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f."), "no tensors"),
        (lambda f: _fill(next(f.glob("*.distcp"))), "a chunk is damaged"),
        (lambda f: next(f.glob("*.distcp")).write_bytes(b"x" * 99), "behind the end of its file"),
        (lambda f: next(f.glob("*.distcp")).unlink(), "No such file"),
    ],
)
def test_bad_folders(net2net: Net2Net, run: Run, spoil: Any, words: str) -> None:
    saved(run, "step-5")
    spoil(Path("step-5"))
    ended = net2net("grow", "step-5", "--source-spec", "net.yaml", *HOW, "-o", "a.pt", code=2)
    assert words in ended.err
    assert "run!" not in ended.out
    assert not Path("a.pt").exists()


def _changed(**changes: Any) -> Any:
    """The metadata with the place of one chunk of fc1.weight changed, or its record."""

    def spoil(found: Any) -> None:
        name = "model.fc1.weight"
        index = next(key for key in found.storage_data if key.fqn == name)
        places = {k: v for k, v in changes.items() if k in ("relative_path", "offset", "length")}
        found.storage_data[index] = replace(found.storage_data[index], **places)
        if "size" in changes:
            record = found.state_dict_metadata[name]
            found.state_dict_metadata[name] = replace(record, size=torch.Size(changes["size"]))
        if "at" in changes:
            moved = replace(index, offset=torch.Size(changes["at"]))
            found.storage_data[moved] = found.storage_data.pop(index)
        found.planner_data[name] = changes.get("key", found.planner_data[name])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_changed(relative_path="../teacher.pt"), "outside of the folder"),
        (_changed(relative_path="/etc/passwd"), "outside of the folder"),
        (_changed(relative_path="\ud800"), "outside of the folder"),
        (_changed(relative_path="a\0"), "outside of the folder"),
        (_changed(key=("model", "\ud800")), "the metadata is damaged"),
        (_changed(offset=-1), "the metadata is damaged"),
        (_changed(length="9"), "the metadata is damaged"),
        (_changed(length=2**50), "behind the end of its file"),
        (_changed(size=(2**20, 2**20)), "claims 8,796,093,022,208 bytes, and its parts hold"),
        (_changed(at=(9, 0)), "do not fit into its shape [10, 7]"),
        (_changed(key=("model", "fc2.weight")), "put two things under one key"),
        (_changed(key=("model",)), "put two things under one key"),
        (_changed(key=3), "the metadata is damaged"),
        (lambda m: m.storage_data.clear(), "lies in no file"),
        (lambda m: setattr(m, "state_dict_metadata", {3: 3}), "lies in no file"),
    ],
)
def test_metadata_that_lie(net2net: Net2Net, run: Run, spoil: Any, words: str) -> None:
    saved(run, "step-5")
    path = Path("step-5/.metadata")
    found = pickle.loads(path.read_bytes())
    spoil(found)
    path.write_bytes(pickle.dumps(found))
    ended = net2net("grow", "step-5", "--source-spec", "net.yaml", *HOW, "-o", "a.pt", code=2)
    assert words in ended.err
    assert 1 <= len(ended.err.splitlines()) <= 4
    assert not Path("a.pt").exists()


def test_parts_that_overlap(net2net: Net2Net, folder: Path) -> None:
    """As many numbers as there should be, with a hole: what would be read there is memory."""
    from torch.distributed.checkpoint.metadata import MetadataIndex

    half = torch.ones(3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"fc.weight": torch.ones(6, 4)}, checkpoint_id="twice", no_dist=True)
    path = Path("twice/.metadata")
    found = pickle.loads(path.read_bytes())
    with Path("twice/__1_0.distcp").open("wb") as stream:
        torch.save(half, stream)
    size = Path("twice/__1_0.distcp").stat().st_size
    place = dcp.filesystem._StorageInfo("__1_0.distcp", 0, size)
    found.storage_data = {
        MetadataIndex("fc.weight", torch.Size(offset)): place for offset in ((0, 0), (1, 0))
    }
    path.write_bytes(pickle.dumps(found))
    said = net2net("deepen", "twice", "--after", "fc", "-o", "a.safetensors", code=2)
    assert "parts of the tensor `fc.weight` overlap" in said.err


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_signal_while_torch_writes_is_one(
    net2net: Net2Net, run: Run, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Torch makes an error of its own of whatever is raised while it writes."""
    saved(run, "run")
    original = getattr(os, call)

    def interrupted(*arguments: Any) -> Any:
        if any(part.endswith("distributed/checkpoint/filesystem.py") for part in _callers()):
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(os, call, interrupted)
    ended = net2net("grow", "run", "--set", "fc1.out_features=17", "-o", "out.dcp", code=143)
    assert "defect" not in ended.err
    assert not Path("out.dcp").exists()


def _callers() -> list[str]:
    return [frame.filename for frame in inspect.stack(context=0)]
