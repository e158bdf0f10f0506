"""Writing checkpoints: the bytes, the checks, and that failures leave nothing behind."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from net2net_cli.errors import DifferenceError, OutputError
from net2net_cli.io import TensorInfo, open_source, write_checkpoint
from tests.support.checkpoints import infos, names, same, state


def write(output, tensors=None, **options):
    tensors = state() if tensors is None else tensors
    return write_checkpoint(
        str(output), infos(tensors), {"spec": "é\n"}, lambda t: tensors[t.name], **options
    )


def test_what_is_written_is_read_back(tmp_path):
    for name in ("x.safetensors", "x.pt", "folder/"):
        written = write(f"{tmp_path}/{name}")
        with open_source(written.path) as source:
            assert source.digest() == written.digest
            assert written.nbytes == sum(file.stat().st_size for file in source.files)
            assert written.metadata == (name != "x.pt")
            assert source.metadata == ({"format": "pt", "spec": "é\n"} if written.metadata else {})
            for key, tensor in state().items():
                assert same(source.tensor(key), tensor)
    assert names(tmp_path) == ["folder", "x.pt", "x.safetensors"]
    assert names(tmp_path / "folder") == ["model.safetensors"]


def test_the_libraries_read_what_is_written(tmp_path):
    write(tmp_path / "x.safetensors")
    write(tmp_path / "x.pt")
    loaded = load_file(tmp_path / "x.safetensors")
    saved = torch.load(tmp_path / "x.pt", weights_only=True)
    assert list(saved) == list(state())
    for name, tensor in state().items():
        assert same(loaded[name], tensor)
        assert same(saved[name], tensor)
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "spec": "é\n"}


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_the_bytes_depend_on_the_content_alone(tmp_path, ending):
    first = write(tmp_path / f"a.{ending}").path.read_bytes()
    (tmp_path / "other").mkdir()
    again = write(tmp_path / f"other/b.{ending}").path.read_bytes()
    assert first == again
    if ending == "safetensors":
        turned = dict(reversed(state().items()))
        assert write(tmp_path / "c.safetensors", turned).path.read_bytes() == first


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(
            st.sampled_from(["float64", "bfloat16", "int8", "bool", "float8_e5m2"]),
            st.lists(st.integers(0, 3), max_size=3),
        ),
        max_size=5,
    )
)
def test_any_names_types_and_shapes_go_through(entries):
    tensors = {
        name: torch.ones(shape).to(getattr(torch, dtype))
        for name, (dtype, shape) in entries.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        written = write(folder + "/x", tensors)
        with open_source(written.path) as source:
            assert source.digest() == written.digest
            assert all(same(source.tensor(name), t) for name, t in tensors.items())


def test_views_and_one_reused_buffer_are_written_by_value(tmp_path):
    scratch = torch.empty(4)
    promised = [TensorInfo(f"t{i}", "float32", (2, 2)) for i in range(3)]

    def produce(info):
        scratch.fill_(int(info.name[1:]))
        scratch[1] = 9
        return scratch.reshape(2, 2).T

    for name in ("x.safetensors", "x.pt"):
        written = write_checkpoint(str(tmp_path / name), promised, {}, produce, workers=1)
        with open_source(written.path) as source:
            assert source.digest() == written.digest
            assert source.tensor("t2").tolist() == [[2, 2], [9, 2]]


def test_bytes_can_be_produced_without_torch(tmp_path):
    write(tmp_path / "a.safetensors")
    program = (
        "import sys; from net2net_cli.io import open_source, write_checkpoint\n"
        f"source = open_source({str(tmp_path / 'a.safetensors')!r})\n"
        "infos = list(source.tensors.values())\n"
        f"write_checkpoint({str(tmp_path / 'b.safetensors')!r}, infos, source.metadata, "
        "lambda t: source.raw(t.name))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("ending", ["safetensors", "pt", "folder/"])
@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit, DifferenceError])
@pytest.mark.parametrize("stage", ["produce", "check"])
def test_whatever_is_raised_leaves_nothing_behind(tmp_path, ending, raised, stage):
    def fail(_):
        raise raised("no")

    options = {"produce": lambda t: state()[t.name], "check": None, stage: fail}
    with pytest.raises(raised):
        write_checkpoint(f"{tmp_path}/x.{ending}", infos(state()), {}, **options)
    assert names(tmp_path) == []


def test_a_failed_overwrite_keeps_the_old_file(tmp_path):
    (tmp_path / "x.pt").write_text("old")

    def fail(_):
        raise DifferenceError("differs")

    with pytest.raises(DifferenceError):
        write(tmp_path / "x.pt", overwrite=True, check=fail)
    assert (tmp_path / "x.pt").read_text() == "old"
    write(tmp_path / "x.pt", overwrite=True)
    assert names(tmp_path) == ["x.pt"]
    assert open_source(tmp_path / "x.pt").tensors


def test_the_check_sees_the_whole_file_before_it_has_its_name(tmp_path):
    seen = []

    def check(path):
        with open_source(path) as source:
            seen.append((source.digest(), path.parent, names(tmp_path)))

    for name in ("x.safetensors", "x.pt"):
        written = write(tmp_path / name, check=check)
        digest, parent, there = seen.pop()
        assert digest == written.digest
        assert parent == tmp_path
        assert name not in there


@pytest.mark.parametrize(
    "produced",
    [torch.ones(3), torch.ones(2).double(), torch.empty(2, device="meta"), memoryview(b"123")],
)
def test_a_broken_promise_is_a_defect(tmp_path, produced):
    with pytest.raises(AssertionError):
        write_checkpoint(
            str(tmp_path / "x"), [TensorInfo("w", "float32", (2,))], {}, lambda _: produced
        )
    with pytest.raises(AssertionError):
        write_checkpoint(
            str(tmp_path / "x"), [TensorInfo("w", "int8", (0,))] * 2, {}, lambda _: produced
        )
    assert names(tmp_path) == []


def test_modes_follow_the_umask(tmp_path):
    for umask, mode in ((0o027, 0o640), (0o002, 0o664)):
        before = os.umask(umask)
        try:
            for name in (f"{umask}.safetensors", f"{umask}.pt"):
                assert write(tmp_path / name).path.stat().st_mode & 0o777 == mode
        finally:
            os.umask(before)


class Output:
    def __init__(self, buffer):
        self.buffer = buffer
        self.isatty = lambda: False


@pytest.fixture
def spool(tmp_path, monkeypatch):
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_standard_output_gets_the_bytes_once_they_are_checked(tmp_path, spool, monkeypatch):
    stream = io.BytesIO()
    monkeypatch.setattr("sys.stdout", Output(stream))

    def check(path):
        assert stream.getvalue() == b""
        assert path.parent == spool
        assert path.stat().st_mode & 0o777 == 0o600

    written = write("-", check=check)
    assert written.path is None
    assert names(spool) == []
    assert stream.getvalue() == write(tmp_path / "x.safetensors").path.read_bytes()


def test_a_closed_pipe_stays_one_and_leaves_nothing(spool, monkeypatch):
    class Closed(io.BytesIO):
        def write(self, _):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sys.stdout", Output(Closed()))
    with pytest.raises(BrokenPipeError):
        write("-")
    assert names(spool) == []


def test_a_full_standard_output_is_told(spool, monkeypatch):
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr("sys.stdout", Output(full))
        with pytest.raises(OutputError, match="cannot write `standard output`: No space left"):
            write("-")
    assert names(spool) == []


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, ending):
    large = {"w": torch.zeros(1 << 20)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OutputError, match="File too large") as refused:
            write(tmp_path / f"x.{ending}", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.exit_code == 2
    assert str(tmp_path / f"x.{ending}") in refused.value.message
    assert names(tmp_path) == []


def test_an_output_that_appears_meanwhile_is_kept(tmp_path):
    def check(_):
        (tmp_path / "x.pt").write_text("theirs")

    with pytest.raises(OutputError, match="exists"):
        write(tmp_path / "x.pt", check=check)
    assert names(tmp_path) == ["x.pt"]
    assert (tmp_path / "x.pt").read_text() == "theirs"
