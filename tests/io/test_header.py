"""Safetensors headers: what is accepted, and how each defect is told."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli.errors import CheckpointError, OutputError
from net2net_cli.io import TensorInfo, open_source
from net2net_cli.io.header import read_header, render_header
from tests.support.checkpoints import entry, infos, safetensors, same, state

ONE = {"w": entry("F32", [2], 0, 8)}
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ("{", b"", "not valid JSON"),
        ("[]", b"", "not a JSON object"),
        (DEEP, b"", "not valid JSON"),
        ("1" * 5000, b"", "not valid JSON"),
        (b'{"\xff": 1}', b"", "not UTF-8 (byte 10 of the file)"),
        ('{"w": 1, "w": 2}', b"", "the header names `w` twice"),
        ('{"w": {"dtype": "F32", "dtype": "F32"}}', b"", "the header names `dtype` twice"),
        ({"w": 3}, b"", "tensor `w`: its entry in the header is not an object"),
        ({"w": entry("F99", [2], 0, 8)}, b"", 'tensor `w`: unknown dtype "F99"'),
        ({"w": {"shape": [2]}}, b"", "tensor `w`: unknown dtype null"),
        ({"w": entry("F32", [2.0], 0, 8)}, b"", "not a list of whole numbers"),
        ({"w": entry("F32", [True], 0, 4)}, b"", "not a list of whole numbers"),
        ({"w": entry("F32", [-2], 0, 8)}, b"", "not a list of whole numbers"),
        ({"w": entry("F32", [2], 8, 0)}, bytes(8), "not a start and an end"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8]}}, b"", "not a start and an end"),
        ({"w": entry("F32", [3], 0, 8)}, bytes(8), "shape [3] takes 12, the header gives it 8"),
        ({"w": entry("F32", [2**62, 2**62], 0, 8)}, bytes(8), "takes more than 2**64"),
        (ONE, bytes(7), "truncated: tensor `w` ends at byte"),
        (ONE, bytes(9), "1 bytes at the end of the file belong to no tensor"),
        ({"w": entry("F32", [2], 4, 12)}, bytes(12), "4 bytes before tensor `w` belong"),
        ({**ONE, "v": entry("F32", [2], 4, 12)}, bytes(12), "tensors `w` and `v` overlap"),
        ({**ONE, "v": entry("F32", [2], 0, 8)}, bytes(8), "overlap"),
        ({"__metadata__": [], **ONE}, bytes(8), "`__metadata__` is not an object"),
        ({"__metadata__": {"a": 1}, **ONE}, bytes(8), "the metadata's `a` is not text"),
        ({"__metadata__": {"a": "\ud800"}, **ONE}, bytes(8), "the metadata's `a` is not text"),
        ({"\ud800": entry("F32", [2], 0, 8)}, bytes(8), "not valid Unicode"),
        ({"a\x1b[31m\n": 3}, b"", r"tensor `a\x1b[31m\n`"),
    ],
)  # fmt: skip
def test_a_broken_header_is_refused_with_its_reason(tmp_path, header, data, message):
    path = safetensors(tmp_path / "x.safetensors", header, data)
    with pytest.raises(CheckpointError) as refused:
        open_source(path)
    assert message in refused.value.message
    assert refused.value.where == str(path)
    assert len(refused.value.lines()) <= 4
    assert all(line.isprintable() for line in refused.value.lines())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\x10\0\0", "truncated: it has 3 bytes"),
        (struct.pack("<Q", 10**8) + b"{}", "its header has 100000000 bytes, only 2 are there"),
        (struct.pack("<Q", 10**8 + 1) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "not a safetensors file"),
        (b"hello, this is just some text", "not a safetensors file"),
    ],
)
def test_a_header_that_does_not_fit_is_never_allocated(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        open_source(path)
    assert message in refused.value.message


def test_every_truncation_of_a_file_is_refused(tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_file({"a": torch.ones(3), "b": torch.zeros(2, dtype=torch.int64)}, whole)
    content = whole.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for size in range(len(content)):
        cut.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            open_source(cut)


def test_a_padded_header_and_unknown_keys_are_accepted(tmp_path):
    header = json.dumps({"w": {**entry("F32", [2], 0, 8), "extra": 1}}) + "   "
    with open_source(safetensors(tmp_path / "x.safetensors", header, bytes(8))) as source:
        assert source.tensors == {"w": TensorInfo("w", "float32", (2,))}
        assert source.metadata == {}


def test_a_rendered_header_reads_back_whatever_the_order(tmp_path):
    tensors = infos(state())
    header = render_header(tensors, {"b": "2", "a": "é\n", "format": "tf"})
    assert header == render_header(tensors[::-1], {"format": "np", "a": "é\n", "b": "2"})
    assert len(header) % 4096 == 0
    path = tmp_path / "x"
    path.write_bytes(header + bytes(sum(t.nbytes for t in tensors)))
    with path.open("rb") as stream:
        read = read_header(stream, path.stat().st_size, "x")
    assert read.metadata == {"format": "pt", "a": "é\n", "b": "2"}
    assert dict(read.tensors) == {t.name: t for t in tensors}
    assert all(
        start % (t.nbytes // max(1, torch.Size(t.shape).numel()) or 1) == 0
        for t in tensors
        for start, _ in [read.spans[t.name]]
    )


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (TensorInfo("w", "complex128", (1,)), "safetensors cannot hold complex128 (tensor `w`)"),
        (TensorInfo("__metadata__", "int8", (1,)), "can be named `__metadata__`"),
        (TensorInfo("w" * 10**8, "int8", (1,)), "safetensors allows 100000000"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tensor, message):
    with pytest.raises(OutputError) as refused:
        render_header([tensor], {})
    assert message in refused.value.message


def test_files_of_the_safetensors_library_read_the_same(tmp_path):
    save_file(state(), tmp_path / "x.safetensors", metadata={"format": "pt", "note": "é"})
    with open_source(tmp_path / "x.safetensors") as source:
        assert source.metadata == {"format": "pt", "note": "é"}
        assert set(source.tensors.values()) == set(infos(state()))
        for name, tensor in state().items():
            assert same(source.tensor(name), tensor)


def test_unaligned_data_are_read(tmp_path):
    values = torch.tensor([1.5, -2.5])
    header = json.dumps({"w": entry("F32", [2], 0, 8)})
    header += " " * (-len(header) % 8 + 1)
    path = safetensors(tmp_path / "x.safetensors", header, bytes(values.view(torch.uint8).tolist()))
    assert open_source(path).tensor("w").tolist() == [1.5, -2.5]


def test_tensors_outlive_their_source_and_others_cannot_be_taken(tmp_path):
    save_file({"w": torch.ones(3), "v": torch.ones(2)}, tmp_path / "x.safetensors")
    with open_source(tmp_path / "x.safetensors") as source:
        kept = source.tensor("w")
    assert kept.tolist() == [1, 1, 1]
    with open_source(tmp_path / "x.safetensors") as source:
        pass
    with pytest.raises(ValueError, match="closed"):
        source.tensor("v")


def test_reading_tensors_warns_of_nothing_and_unknown_names_are_key_errors(tmp_path, recwarn):
    save_file(state(), tmp_path / "x.safetensors")
    with open_source(tmp_path / "x.safetensors") as source:
        for name in source.tensors:
            source.tensor(name)
        with pytest.raises(KeyError):
            source.tensor("absent")
    assert not recwarn


def test_headers_and_digests_need_no_torch(tmp_path):
    save_file(state(), tmp_path / "x.safetensors")
    program = (
        "import sys; from net2net_cli.io import open_source\n"
        f"source = open_source({str(tmp_path / 'x.safetensors')!r})\n"
        "source.header_digest(), source.digest()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_header_of_ten_thousand_tensors_is_read_at_once(tmp_path):
    header = {f"layer.{i}.weight": entry("F32", [1], 4 * i, 4 * i + 4) for i in range(10_000)}
    path = safetensors(tmp_path / "x.safetensors", header, bytes(40_000))
    start = time.perf_counter()
    open_source(path).close()
    assert time.perf_counter() - start < 2


@pytest.mark.skipif("NET2NET_ALL" not in os.environ, reason="slow: NET2NET_ALL=1")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_tensors_take_less_than_a_gigabyte(tmp_path):
    """As many as a header of the format's length can name."""
    names = [f"layer.{i}.weight" for i in range(1_000_000)]
    header = {name: entry("F32", [1], 4 * i, 4 * i + 4) for i, name in enumerate(names)}
    safetensors(tmp_path / "x.safetensors", header, bytes(4_000_000))
    program = (
        "from pathlib import Path; from net2net_cli.io import open_source\n"
        f"assert len(open_source({str(tmp_path / 'x.safetensors')!r}).tensors) == 1_000_000\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert int(ran.stdout) * 1024 < 1_000_000_000
