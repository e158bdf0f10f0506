"""Where an output may go: every refusal comes before any work, and touches nothing."""

from __future__ import annotations

import io
import os

import pytest

from net2net_cli.errors import OutputError
from net2net_cli.io import check_output


def refusal(output, sources=(), *, overwrite=False):
    with pytest.raises(OutputError) as refused:
        check_output(str(output), sources, overwrite=overwrite)
    assert refused.value.exit_code == 2
    return refused.value.message


def test_the_ending_names_the_format(tmp_path):
    for ending in ("pt", "pth", "bin", "ckpt"):
        assert check_output(str(tmp_path / f"x.{ending}")).format == "torch"
    for name in ("x.safetensors", "x", "x.tar", "pt"):
        assert check_output(str(tmp_path / name)).format == "safetensors"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_a_model_folder(tmp_path):
    new = check_output(f"{tmp_path}/new/")
    assert (new.shown, new.format) == (tmp_path / "new", "folder")
    (tmp_path / "old").mkdir()
    old = check_output(str(tmp_path / "old"))
    assert (old.shown, old.format) == (tmp_path / "old", "folder")
    (tmp_path / "old/model.safetensors").touch()
    assert "exists" in refusal(tmp_path / "old")
    (tmp_path / "old/model.safetensors.index.json").touch()
    assert check_output(str(tmp_path / "old"), overwrite=True).file == tmp_path / "old"
    (tmp_path / "file").touch()
    assert "is not a folder" in refusal(f"{tmp_path}/file/")


def test_an_existing_file_needs_overwrite(tmp_path):
    (tmp_path / "x.pt").touch()
    assert "exists" in refusal(tmp_path / "x.pt")
    assert check_output(str(tmp_path / "x.pt"), overwrite=True).file == tmp_path / "x.pt"


def test_the_input_is_never_the_output_whatever_its_name(tmp_path):
    source = tmp_path / "in.safetensors"
    source.touch()
    os.link(source, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(source)
    for name in ("in.safetensors", "hard", "soft", "../" + tmp_path.name + "/in.safetensors"):
        assert "is the checkpoint that is read" in refusal(
            tmp_path / name, [source], overwrite=True
        )


def test_no_shard_of_the_input_is_the_output(tmp_path):
    (tmp_path / "model-1.safetensors").touch()
    assert "is read" in refusal(tmp_path / "model-1.safetensors", [tmp_path], overwrite=True)
    (tmp_path / "model.safetensors").touch()
    assert "is read" in refusal(tmp_path, [tmp_path], overwrite=True)


def test_a_missing_folder_is_told_with_what_to_do(tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(OutputError) as refused:
        check_output(str(tmp_path / "model/x.pt"))
    assert refused.value.hint == "did you mean `models`?"
    with pytest.raises(OutputError) as refused:
        check_output(str(tmp_path / "a/b/x.pt"))
    assert refused.value.hint == f"make it first: mkdir -p {tmp_path / 'a/b'}"
    assert "does not exist" in refusal(f"{tmp_path}/a/b/")
    (tmp_path / "file").touch()
    assert "is not a folder" in refusal(tmp_path / "file/x.pt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "not writable" in refusal(tmp_path / "locked/x.pt")


def test_what_is_no_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", tmp_path / "pipe"):
        assert "no plain file" in refusal(path, overwrite=True)


def test_impossible_names_are_refused(tmp_path):
    assert "cannot be the name" in refusal("")
    assert "cannot be the name" in refusal("a\0b")
    assert "File name too long" in refusal(tmp_path / ("x" * 300))


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.pt").symlink_to("real/x.pt")
    target = check_output(str(tmp_path / "link.pt"))
    assert (target.shown, target.file) == (tmp_path / "link.pt", tmp_path / "real/x.pt")


def test_a_terminal_gets_no_checkpoint(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    assert check_output("-").file is None
    monkeypatch.setattr(stream, "isatty", lambda: True)
    assert "terminal" in refusal("-")
