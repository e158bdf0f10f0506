"""Torch files: state dicts are read, code is refused and never run, damage is told."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch

from net2net_cli.errors import CheckpointError
from net2net_cli.io import open_source
from net2net_cli.io.opened import Opened
from net2net_cli.io.tensors import raw_bytes
from tests.support.checkpoints import infos, old_state, same, state


def refusal(path):
    with pytest.raises(CheckpointError) as refused:
        open_source(path)
    assert all(line.isprintable() for line in refused.value.lines())
    assert refused.value.where == str(path)
    return refused.value


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "ckpt"])
@pytest.mark.parametrize("as_zip", [True, False])
def test_state_dicts_read_as_they_were_saved(tmp_path, ending, as_zip):
    path = tmp_path / f"x.{ending}"
    saved = state() if as_zip else old_state()
    torch.save(saved, path, _use_new_zipfile_serialization=as_zip)
    with open_source(path) as source:
        assert list(source.tensors.values()) == infos(saved)
        assert source.metadata == {}
        assert source.path == path
        assert source.files == (path,)
        for name, tensor in saved.items():
            assert same(source.tensor(name), tensor)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_training_checkpoint_is_unwrapped(tmp_path, key):
    inner = OrderedDict(torch.nn.Linear(2, 3).state_dict())
    torch.save({"epoch": 3, key: inner, "optimizer": {"lr": 0.1}}, tmp_path / "x.pt")
    assert set(open_source(tmp_path / "x.pt").tensors) == {"weight", "bias"}


def test_views_parameters_and_shared_tensors_are_read_by_value(tmp_path):
    weight = torch.arange(12.0).reshape(3, 4)
    saved = {
        "w": torch.nn.Parameter(weight),
        "tied": weight,
        "turned": weight.T,
        "step": weight[:, ::2],
        "wide": torch.ones(1).expand(5),
        "conj": torch.tensor([1 + 2j]).conj(),
    }
    torch.save(saved, tmp_path / "x.pt")
    with open_source(tmp_path / "x.pt") as source:
        for name, tensor in saved.items():
            found = source.tensor(name)
            assert found.is_contiguous()
            assert same(found, tensor.detach().resolve_conj())
            assert not found.requires_grad
        assert source.digest().startswith("blake3:")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code of the checkpoint was run",))


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize(
    ("saved", "found"),
    [
        (Bomb(), "_pytest.outcomes"),
        ({"model": torch.nn.Linear(2, 2)}, "torch.nn.modules.linear.Linear"),
        ({"state_dict": {}, "args": argparse.Namespace(a=1)}, "argparse.Namespace"),
    ],
)
def test_code_in_a_pickle_is_refused_by_name_and_never_run(tmp_path, saved, found, as_zip):
    path = tmp_path / "x.pt"
    torch.save(saved, path, _use_new_zipfile_serialization=as_zip)
    error = refusal(path)
    assert "loading it would run" in error.message
    assert found in error.message
    assert "`model.state_dict()`" in error.hint


def test_what_is_no_tensor_is_named(tmp_path):
    torch.save({"w": torch.ones(1), "epoch": 3, "lr": [0.1], "a": 1, "b": 2}, tmp_path / "x.pt")
    message = refusal(tmp_path / "x.pt").message
    assert message.endswith("`epoch` (int), `lr` (list), `a` (int) and 1 more")
    torch.save({0: torch.ones(1)}, tmp_path / "x.pt")
    assert "`0` (Tensor)" in refusal(tmp_path / "x.pt").message
    torch.save([torch.ones(1)], tmp_path / "x.pt")
    assert refusal(tmp_path / "x.pt").message == "it holds a list, not a state dict"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.eye(2).to_sparse(), "tensor `w` is sparse"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8), "type quint8"),
        (lambda: torch.empty(2, device="meta"), "tensor `w` has no data"),
    ],
)
def test_tensors_without_plain_data_are_refused(tmp_path, make, message):
    torch.save({"w": make()}, tmp_path / "x.pt")
    assert message in refusal(tmp_path / "x.pt").message


@pytest.mark.parametrize("as_zip", [True, False])
def test_every_truncation_of_a_file_is_refused(tmp_path, as_zip):
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=as_zip)
    content = path.read_bytes()
    for size in range(0, len(content), 1 if len(content) < 600 else 7):
        path.write_bytes(content[:size])
        refusal(path)


@pytest.mark.parametrize("content", [b"hello world", b"\x80\x02garbage", b"<html>", b"\0" * 100])
def test_other_content_is_refused(tmp_path, content):
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    assert "truncated, damaged or not torch's" in refusal(path).message


def test_a_plain_pickle_is_refused(tmp_path):
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"w": [1.0]}))
    refusal(tmp_path / "x.pt")


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/readme", "hello")
    assert "a zip archive, but not one of torch's" in refusal(path).message
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", "a" * 1000)
    assert "a compressed archive" in refusal(path).message


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused_with_the_way_to_convert_it(tmp_path):
    path = tmp_path / "x.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    error = refusal(path)
    assert error.message == "a TorchScript program, not a state dict"
    assert "torch.jit.load" in error.hint


def test_collections_that_no_walk_of_them_ends(tmp_path):
    itself: list[object] = []
    itself.append(itself)
    often: list[object] = [3]
    for _ in range(60):
        often = [often, often]
    torch.save({"w": torch.ones(3), "x": itself}, tmp_path / "itself.pt")
    torch.save({"w": torch.ones(3), "x": often}, tmp_path / "often.pt")
    with zipfile.ZipFile(tmp_path / "deep.pt", "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".")
        archive.writestr("x/version", "3")
    assert "a collection that holds itself" in refusal(tmp_path / "itself.pt").message
    assert "hold each other over and over" in refusal(tmp_path / "often.pt").message
    assert "200 deep in one another" in refusal(tmp_path / "deep.pt").message


def test_a_tensor_that_repeats_a_number_is_no_terabyte(tmp_path):
    torch.save({"w": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "x.pt")
    assert "`w` claims 4,398,046,511,104 bytes, and holds 4" in refusal(tmp_path / "x.pt").message


def test_of_a_file_of_tensors_only_what_is_wanted_is_read(tmp_path, monkeypatch):
    saved = {"a": torch.randn(40, 50), "b": torch.randn(60, 50).bfloat16(), "c": torch.ones(3)}
    saved["turned"] = saved["a"].T
    torch.save({"state_dict": saved, "epoch": 3}, tmp_path / "x.pt")
    read, whole = [], Opened.read
    monkeypatch.setattr(
        Opened, "read", lambda self, at, into: read.append(len(into)) or whole(self, at, into)
    )
    with open_source(tmp_path / "x.pt") as source:
        assert read == []
        part = memoryview(bytearray(10))
        source.read("b", 6, part)
        assert bytes(part) == bytes(raw_bytes(saved["b"])[6:16])
        assert same(source.tensor("turned"), saved["turned"])
        source.read("turned", 4, part)
        assert bytes(part) == bytes(raw_bytes(saved["turned"])[4:14])
        assert read == [10, 40 * 50 * 4, 40 * 50 * 4]


def packed_anew(path, change=lambda name, data: data):
    """The archive's records in another order and alignment."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in reversed(entries.items()):
            archive.writestr(name, change(name, data))


def test_an_archive_that_was_packed_anew_is_read_as_it_is_now(tmp_path):
    saved = {"a": torch.randn(5, 6), "b": torch.arange(7)}
    torch.save(saved, tmp_path / "x.pt")
    packed_anew(tmp_path / "x.pt")
    with open_source(tmp_path / "x.pt") as source:
        for name, tensor in saved.items():
            assert same(source.tensor(name), tensor)


def test_a_tensor_larger_than_its_record_is_refused(tmp_path):
    torch.save({"a": torch.randn(5, 6), "b": torch.randn(900)}, tmp_path / "x.pt")
    content = (tmp_path / "x.pt").read_bytes()
    grown = content.replace(b"K\x05K\x06\x86", b"K\x32K\x06\x86", 1)
    assert grown != content
    (tmp_path / "x.pt").write_bytes(grown)
    assert "damaged" in refusal(tmp_path / "x.pt").message


@pytest.mark.parametrize("name", ["byteorder", "data/0"])
def test_an_entry_whose_own_header_is_damaged_is_no_traceback(tmp_path, name):
    """The directory at the archive's end says that it is there."""
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(3)}, path)
    with zipfile.ZipFile(path) as archive:
        entry = next(e for e in archive.infolist() if e.filename.endswith(f"/{name}"))
    data = bytearray(path.read_bytes())
    data[entry.header_offset : entry.header_offset + 4] = b"XXXX"
    path.write_bytes(data)
    try:
        with open_source(path) as source:
            assert same(source.tensor("w"), torch.ones(3))
    except CheckpointError as error:
        assert all(line.isprintable() for line in error.lines())
