"""Finding and opening checkpoints: names, pipes, kinds of files, and what the system refuses."""

from __future__ import annotations

import io
import os
import tempfile
import threading

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli.errors import CheckpointError
from net2net_cli.io import open_source
from tests.support.checkpoints import old_state, state


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """The folder of temporary files, empty."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class Input(io.BytesIO):
    """Standard input."""

    def __init__(self, data, terminal=False):
        super().__init__(data)
        self.buffer = self
        self.isatty = lambda: terminal


def content(path, kind):
    if kind == "safetensors":
        save_file(state(), path)
    else:
        torch.save(old_state(), path, _use_new_zipfile_serialization=kind == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["", ".safetensors", ".pt", ".pth", ".bin"])
def test_an_ending_may_be_left_out(tmp_path, monkeypatch, ending):
    content(tmp_path / f"ckpt{ending}", "safetensors" if "s" in ending else "zip")
    monkeypatch.chdir(tmp_path)
    source = open_source("ckpt")
    assert source.label == str(source.path) == f"ckpt{ending}"


def test_the_name_as_it_stands_comes_first_then_safetensors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.pt", "a.safetensors"):
        content(tmp_path / name, "zip" if name.endswith("pt") else "safetensors")
    assert open_source("a").label == "a.safetensors"
    assert open_source("a.pt").label == "a.pt"


def test_the_kind_is_told_by_content_not_by_name(tmp_path):
    content(tmp_path / "torch.safetensors", "zip")
    content(tmp_path / "safe.pt", "safetensors")
    assert set(open_source(tmp_path / "torch.safetensors").tensors) == set(old_state())
    assert set(open_source(tmp_path / "safe.pt").tensors) == set(state())


def test_a_safetensors_header_as_long_as_a_pickles_magic_is_no_pickle(tmp_path):
    path = tmp_path / "x.safetensors"
    header = b"{}".ljust(0x280)
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert open_source(path).tensors == {}


@pytest.mark.parametrize("kind", ["safetensors", "zip", "pickle"])
def test_standard_input_is_spooled_and_leaves_nothing(tmp_path, spool, monkeypatch, kind):
    monkeypatch.setattr("sys.stdin", Input(content(tmp_path / "x", kind)))
    with open_source("-") as source:
        assert list(spool.iterdir()) == []
        assert source.path is None
        assert source.files == ()
        assert source.label == "standard input"
        assert source.digest() == open_source(tmp_path / "x").digest()


def test_broken_standard_input_leaves_nothing(tmp_path, spool, monkeypatch):
    data = content(tmp_path / "x", "safetensors")
    for broken, message in ((b"", "standard input is empty"), (data[:-1], "truncated")):
        monkeypatch.setattr("sys.stdin", Input(broken))
        with pytest.raises(CheckpointError, match=message):
            open_source("-")
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("stdin", [None, Input(b"", terminal=True)])
def test_a_terminal_is_not_a_checkpoint(monkeypatch, stdin):
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(CheckpointError, match="standard input, which is a terminal"):
        open_source("-")


def test_a_named_pipe_is_spooled(tmp_path, spool):
    data = content(tmp_path / "x", "safetensors")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data))
    writer.start()
    with open_source(tmp_path / "pipe") as source:
        assert set(source.tensors) == set(state())
        assert source.path is None
    writer.join()
    assert list(spool.iterdir()) == []


def test_a_missing_file_offers_the_nearest_names(tmp_path):
    content(tmp_path / "teacher.safetensors", "safetensors")
    with pytest.raises(CheckpointError) as refused:
        open_source(tmp_path / "techer.safetensors")
    assert refused.value.hint == "did you mean `teacher.safetensors`?"
    with pytest.raises(CheckpointError, match="its folder does not exist") as refused:
        open_source(tmp_path / "nowhere" / "x.pt")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_impossible_names_are_refused(name):
    with pytest.raises(CheckpointError, match="cannot be the name"):
        open_source(name)


def test_errors_of_the_system_name_the_path(tmp_path):
    long = tmp_path / ("x" * 300)
    with pytest.raises(CheckpointError, match="File name too long"):
        open_source(long)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("loop", "gone"):
        with pytest.raises(CheckpointError, match=name):
            open_source(tmp_path / name)
    content(tmp_path / "file", "safetensors")
    with pytest.raises(CheckpointError):
        open_source(tmp_path / "file" / "x.pt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    content(tmp_path / "x.safetensors", "safetensors")
    (tmp_path / "x.safetensors").chmod(0)
    with pytest.raises(CheckpointError, match="Permission denied"):
        open_source(tmp_path / "x.safetensors")


def test_devices_and_pointers_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="neither a file nor a folder"):
        open_source("/dev/null")
    pointer = tmp_path / "x.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(CheckpointError, match="a Git LFS pointer") as refused:
        open_source(pointer)
    assert refused.value.hint == "fetch it with `git lfs pull`"
