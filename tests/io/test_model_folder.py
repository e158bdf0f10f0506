"""Model folders: written whole or not at all, and what they may replace."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from net2net_cli.errors import DifferenceError, OutputError
from net2net_cli.io import check_output, open_source, sink, write_checkpoint
from net2net_cli.io.occupied import check_folder
from tests.support.checkpoints import infos, names, same, state

CONFIG = b'{"hidden_size": 3}'
INDEX = "model.safetensors.index.json"
METADATA = {"spec": "x"}


def write(output, tensors=None, **options):
    tensors = state() if tensors is None else tensors
    options = {"files": {"config.json": CONFIG}, "produce": lambda t: tensors[t.name]} | options
    produce = options.pop("produce")
    return write_checkpoint(f"{output}/", infos(tensors), METADATA, produce, **options)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("limit", [1, 60, 300, None])
def test_the_digest_and_the_tensors_do_not_depend_on_the_shards(tmp_path, limit):
    single = write(tmp_path / "single")
    written = write(tmp_path / "cut", shard_bytes=limit)
    assert written.digest == single.digest
    assert written.path == tmp_path / "cut"
    with open_source(tmp_path / "single") as one, open_source(tmp_path / "cut") as many:
        assert one.digest() == many.digest() == written.digest
        assert one.header_digest() == many.header_digest()
        assert one.metadata == many.metadata == {"format": "pt", "spec": "x"}
        assert all(same(many.tensor(name), tensor) for name, tensor in state().items())
        assert written.nbytes == sum(file.stat().st_size for file in many.files)
        assert ((tmp_path / "cut" / INDEX).exists()) == (limit is not None)


def test_every_shard_is_a_file_of_its_own_that_the_index_names(tmp_path):
    write(tmp_path / "x", shard_bytes=300)
    index = json.loads((tmp_path / "x" / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in infos(state()))
    shards = sorted(set(index["weight_map"].values()))
    assert names(tmp_path / "x") == sorted(["config.json", INDEX, *shards])
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    for shard in shards:
        with safe_open(tmp_path / "x" / shard, "pt") as file:
            assert file.metadata() == {"format": "pt", "spec": "x"}
            assert {index["weight_map"][name] for name in file.keys()} == {shard}  # noqa: SIM118


def test_the_bytes_depend_on_the_content_alone_and_each_tensor_is_made_once(tmp_path):
    made = []

    def produce(info):
        made.append(info.name)
        return state()[info.name]

    write(tmp_path / "a", shard_bytes=200, produce=produce)
    assert sorted(made) == sorted(state())
    index = json.loads((tmp_path / "a" / INDEX).read_text())["weight_map"]
    assert [index[name] for name in made] == sorted(index.values())
    write(tmp_path / "b", shard_bytes=200)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_small_files_go_along_and_the_last_ones_come_after_the_check(tmp_path):
    (tmp_path / "blob").write_bytes(b"t" * 3_000_000)
    (tmp_path / "vocab.txt").symlink_to("blob")
    seen = []

    def check(path):
        assert path.parent == tmp_path
        assert path.name.startswith(".out.net2net-")
        seen.append((names(path), names(tmp_path)))
        with open_source(path) as source:
            seen.append(source.digest())

    def finish():
        assert len(seen) == 2
        return {"net2net.json": b"{}\n"}

    files = {"config.json": CONFIG, "vocab.txt": tmp_path / "vocab.txt", "empty": b""}
    written = write(tmp_path / "out", files=files, check=check, finish=finish)
    assert seen[0][0] == ["config.json", "empty", "model.safetensors", "vocab.txt"]
    assert "out" not in seen[0][1]
    assert seen[1] == written.digest
    found = content(tmp_path / "out")
    assert found.pop("model.safetensors")
    assert found == {
        "config.json": CONFIG, "vocab.txt": b"t" * 3_000_000, "empty": b"", "net2net.json": b"{}\n",
    }  # fmt: skip
    assert not (tmp_path / "out/vocab.txt").is_symlink()
    assert names(tmp_path) == ["blob", "out", "vocab.txt"]


def test_modes_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "x").iterdir()} == {0o640}


@pytest.mark.parametrize("existing", [None, "empty", "full"])
@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit, DifferenceError])
@pytest.mark.parametrize("stage", ["produce", "check", "finish"])
def test_whatever_is_raised_leaves_things_as_they_were(tmp_path, existing, raised, stage):
    if existing:
        (tmp_path / "x").mkdir()
    if existing == "full":
        (tmp_path / "x/model.safetensors").write_text("old")

    def fail(*_):
        raise raised("no")

    with pytest.raises(raised):
        write(tmp_path / "x", overwrite=True, shard_bytes=100, **{stage: fail})
    assert names(tmp_path) == (["x"] if existing else [])
    if existing == "full":
        assert content(tmp_path / "x") == {"model.safetensors": b"old"}


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "model.safetensors", "config.json"])
def test_a_file_that_cannot_lie_there_is_a_defect(tmp_path, name):
    with pytest.raises(AssertionError):
        write(tmp_path / "x", finish=lambda: {name: b""})
    assert names(tmp_path) == []


@pytest.mark.parametrize("options", [{"files": {"a": b""}}, {"finish": dict}])
def test_files_without_a_folder_are_a_defect(tmp_path, options):
    with pytest.raises(AssertionError, match="beside it"):
        write_checkpoint(str(tmp_path / "x.pt"), [], {}, lambda _: torch.ones(1), **options)
    assert names(tmp_path) == []


def test_a_small_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"cannot read .*gone"):
        write(tmp_path / "x", files={"vocab.txt": tmp_path / "gone"})
    assert names(tmp_path) == []


FAULTS = [(call, nth) for call in ("pwrite", "fsync", "posix_fallocate") for nth in range(3)]


@pytest.mark.parametrize(("call", "nth"), [*FAULTS, ("write", 0)])
def test_a_full_disk_is_told_wherever_it_happens_and_leaves_nothing(
    tmp_path, monkeypatch, call, nth
):
    real, count = getattr(os, call), 0

    def failing(*arguments):
        nonlocal count
        count += 1
        if count > nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    monkeypatch.setattr(os, call, failing)
    if call == "pwrite":
        monkeypatch.delattr(os, "pwritev", raising=False)
    with pytest.raises(OutputError, match="No space left") as refused:
        write(tmp_path / "x", shard_bytes=60)
    assert f"cannot write `{tmp_path}/x/" in refused.value.message
    assert names(tmp_path) == []


def test_a_file_system_without_reservation_is_written(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    assert write(tmp_path / "x").nbytes


def test_errors_of_what_is_asked_are_not_reworded(tmp_path):
    def fail(_):
        raise OSError(errno.EIO, "theirs")

    with pytest.raises(OSError, match="theirs"):
        write(tmp_path / "x", produce=fail)


def test_an_empty_folder_is_replaced_and_a_full_one_needs_overwrite(tmp_path):
    (tmp_path / "x").mkdir()
    write(tmp_path / "x", shard_bytes=100)
    with pytest.raises(OutputError, match="exists") as refused:
        write(tmp_path / "x")
    assert "--overwrite" in refused.value.hint
    write(tmp_path / "x", files={}, overwrite=True)
    assert names(tmp_path / "x") == ["model.safetensors"]
    assert names(tmp_path) == ["x"]


def test_a_link_to_a_folder_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk/real")
    assert write(tmp_path / "link").path == tmp_path / "link"
    write(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "disk") == ["real"]
    assert names(tmp_path / "disk/real") == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("restorable", [True, False])
def test_a_failed_exchange_gives_the_old_folder_its_name_back(tmp_path, monkeypatch, restorable):
    write(tmp_path / "x", files={"old": b""})
    real = os.rename

    def failing(source, target, **_):
        restores = restorable and str(source).endswith(".old")
        if target == tmp_path / "x" and not target.exists() and not restores:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OutputError, match="cannot write") as refused:
        write(tmp_path / "x", overwrite=True)
    (left,) = tmp_path.iterdir()
    assert names(left) == ["model.safetensors", "old"]
    assert (left.name == "x") == restorable
    assert restorable or refused.value.hint == f"what was there is now `{left}`"


def test_an_old_folder_that_cannot_be_removed_goes_with_the_next_run(tmp_path, monkeypatch):
    def failing(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write(tmp_path / "x")
    with monkeypatch.context() as patch:
        for module in ("exchange", "temporary"):
            patch.setattr(f"net2net_cli.io.{module}.remove_folder", failing)
        patch.setattr(os, "getpid", dead)
        write(tmp_path / "x", files={}, overwrite=True)
    assert names(tmp_path / "x") == ["model.safetensors"]
    assert len(names(tmp_path)) == 2
    write(tmp_path / "x", overwrite=True)
    assert names(tmp_path) == ["x"]


def dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_killed_run_leaves_its_temporary_folder_until_the_next_one(tmp_path):
    write(tmp_path / "x", files={"old": b""})
    program = (
        "import os, signal; from net2net_cli.io import TensorInfo, write_checkpoint\n"
        f"write_checkpoint({f'{tmp_path}/x/'!r}, [TensorInfo('w', 'int8', (2,))], {{}}, "
        "lambda _: memoryview(b'ab'), overwrite=True, "
        "check=lambda _: os.kill(os.getpid(), signal.SIGKILL))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    temp, output = sorted(tmp_path.iterdir())
    assert temp.name.startswith(".x.net2net-")
    assert temp.name.endswith(".tmp")
    assert names(output) == ["model.safetensors", "old"]
    write(tmp_path / "x", overwrite=True)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_somebody_puts_there_meanwhile_is_kept(tmp_path, overwrite):
    def check(_):
        (tmp_path / "x").mkdir()
        (tmp_path / "x/thesis.txt").write_text("theirs")

    with pytest.raises(OutputError, match="not a folder of a checkpoint"):
        write(tmp_path / "x", overwrite=overwrite, check=check)
    assert content(tmp_path / "x") == {"thesis.txt": b"theirs"}
    assert names(tmp_path) == ["x"]

    def check_file(_):
        (tmp_path / "y").write_text("theirs")

    with pytest.raises(OutputError, match="is not a folder"):
        write(tmp_path / "y", overwrite=overwrite, check=check_file)
    assert (tmp_path / "y").read_text() == "theirs"


def test_what_comes_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    def put(folder, *_, **__):
        folder.mkdir()
        (folder / "thesis.txt").touch()

    for name, late, overwrite in (("x", put, False), ("y", lambda f, *_, **__: f.touch(), True)):
        monkeypatch.setattr(sink, "check_folder", late)
        with pytest.raises(OutputError, match="exists"):
            write(tmp_path / name, overwrite=overwrite)
    assert names(tmp_path) == ["x", "y"]
    assert names(tmp_path / "x") == ["thesis.txt"]


def refusal(output, sources=()):
    with pytest.raises(OutputError) as refused:
        check_output(str(output), sources, overwrite=True)
    assert refused.value.hint
    return refused.value.message


def model(folder, *others):
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", *others):
        (folder / name).touch()
    return folder


def test_a_folder_that_is_no_checkpoint_is_never_replaced(tmp_path):
    for name in ("config.json", "notes.txt", "data.safetensors"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
        assert "is not a folder of a checkpoint" in refusal(tmp_path / name)
    for name in ("a/pytorch_model.bin", "b/model-00001-of-00002.safetensors", f"c/{INDEX}"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
        assert check_output(str((tmp_path / name).parent), overwrite=True).format == "folder"


def test_a_folder_with_more_than_files_is_never_replaced(tmp_path):
    (model(tmp_path / "a") / ".cache").mkdir()
    (model(tmp_path / "b") / "link").symlink_to(tmp_path)
    os.mkfifo(model(tmp_path / "c") / "pipe")
    for name, entry in (("a", ".cache"), ("b", "link"), ("c", "pipe")):
        assert f"holds `{entry}`, which is no plain file" in refusal(tmp_path / name)
    (model(tmp_path / "d") / "gone").symlink_to("nowhere")
    assert check_output(str(tmp_path / "d"), overwrite=True)


def test_the_source_is_never_replaced_whatever_its_name(tmp_path):
    hub = model(tmp_path / "hub")
    weights = hub / "model.safetensors"
    (tmp_path / "link").symlink_to("hub")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "model.safetensors").symlink_to(weights)
    model(tmp_path / "copy").joinpath("model.safetensors").unlink()
    os.link(weights, tmp_path / "copy/model.safetensors")
    for output in (hub, tmp_path / "link", tmp_path / "copy", f"{snapshot}/../hub", snapshot):
        for source in (hub, weights, snapshot / "model.safetensors"):
            assert "holds the checkpoint that is read" in refusal(output, [source])
    assert check_output(str(model(tmp_path / "other")), [hub, tmp_path / "gone"], overwrite=True)
    assert check_output(f"{hub}/new/", [hub])


def test_mount_points_and_the_current_folder_are_never_replaced(tmp_path, monkeypatch):
    for folder in (Path("/"), Path("/proc")):
        with pytest.raises(OutputError, match="it is a mount point"):
            check_folder(folder, folder, [])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for output in (".", "../here", "./"):
        assert "it is the current folder" in refusal(output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_emptied_is_never_replaced(tmp_path):
    model(tmp_path / "x").chmod(0o500)
    assert "it is not writable" in refusal(tmp_path / "x")


def test_a_folder_is_no_place_for_a_text(tmp_path):
    for output in (str(tmp_path), f"{tmp_path}/new/"):
        with pytest.raises(OutputError, match="names a folder"):
            check_output(output, folders=False)
    assert check_output(f"{tmp_path}/new", folders=False)


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path):
    def check(_):
        thread = threading.Thread(target=lambda: write(tmp_path / "x", files={"inner": b""}))
        thread.start()
        thread.join()

    with pytest.raises(OutputError, match="exists"):
        write(tmp_path / "x", check=check)
    assert names(tmp_path / "x") == ["inner", "model.safetensors"]
    assert names(tmp_path) == ["x"]
