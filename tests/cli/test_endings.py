"""Every way that a run can end, and its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli import api
from net2net_cli.cli.failures import explain
from net2net_cli.cli.signals import end_if_asked, ending_cleanly
from tests.support.command import Net2Net, command, environment, process


@pytest.fixture
def large(folder: Path) -> Path:
    """A checkpoint that takes a while to grow."""
    state = {}
    for index in range(8):
        state[f"fc{index}.weight"] = torch.randn(1024, 1024)
        state[f"fc{index}.bias"] = torch.zeros(1024)
    save_file(state, folder / "large.safetensors")
    return folder / "large.safetensors"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_in_the_middle_leaves_nothing_behind(
    large: Path, number: signal.Signals, code: int
) -> None:
    words = command("widen", large, "--layer", "fc0", "--to", "6000", "-o", "out.safetensors")
    run = subprocess.Popen(
        words,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not any(".net2net-" in p.name for p in large.parent.iterdir()):
        assert run.poll() is None, run.stderr and run.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    run.send_signal(number)
    _, said = run.communicate(timeout=60)
    assert run.returncode == code
    assert "Traceback" not in said
    assert [p.name for p in large.parent.iterdir()] == [large.name]


def test_a_closed_pipe_ends_quietly(ckpt: Path) -> None:
    for arguments in (["inspect"], ["inspect", "--json"], ["widen", "--layer", "fc1", "--to", "20",
                                                          "-o", "-"]):  # fmt: skip
        reader, writer = os.pipe()
        os.close(reader)
        words = command(arguments[0], ckpt, *arguments[1:])
        ended = subprocess.run(
            words, env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writer)
        assert ended.returncode == 141
        assert "Traceback" not in ended.stderr
        assert "Exception" not in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("words", [
    ("inspect", "CKPT"), ("inspect", "CKPT", "--json"), ("--help",), ("--version",),
    ("widen", "CKPT", "--layer", "fc1", "--to", "20", "-o", "-"),
], ids=" ".join)  # fmt: skip
def test_a_full_disk_is_told(ckpt: Path, words: tuple[str, ...], buffered: bool) -> None:
    given = [str(ckpt) if word == "CKPT" else word for word in words]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command(*given), env=environment(PYTHONUNBUFFERED=None if buffered else "1"),
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert "no space left on device" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("words", "code"), [
    (("inspect", "none"), 2), (("--version",), 0),
])  # fmt: skip
def test_what_cannot_be_told_changes_no_exit_code(words: tuple[str, ...], code: int) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command(*words), env=environment(), stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert ended.returncode == code


def test_closed_streams_do_no_harm(ckpt: Path) -> None:
    words = " ".join(command("inspect", ckpt))
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&-"):
        ended = subprocess.run(
            ["sh", "-c", f"exec {words} {closed}"],
            env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr


def test_a_defect_shows_its_traceback_and_asks_for_a_report(
    net2net: Net2Net, ckpt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr(api, "open_model", broken)
    ended = net2net("inspect", ckpt, code=1)
    assert "Traceback" in ended.err
    assert "KeyError" in ended.err
    assert "please report" in ended.err


def test_an_error_of_the_system_names_the_file(
    net2net: Net2Net, ckpt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "some/file")

    monkeypatch.setattr(api, "open_model", refused)
    assert net2net("inspect", ckpt, code=2).err == "error: permission denied\n  --> some/file\n"


def test_tracebacks_of_users_errors_are_for_debug_only(net2net: Net2Net, folder: Path) -> None:
    assert "Traceback" not in net2net("inspect", "nothing", code=2).err
    assert "Traceback" in net2net("inspect", "nothing", "--debug", code=2).err


def test_quiet_keeps_results_and_errors(net2net: Net2Net, ckpt: Path) -> None:
    assert "note:" in net2net("inspect", ckpt).err
    quiet = net2net("inspect", ckpt, "-q")
    assert quiet.err == ""
    assert "fc1" in quiet.out
    assert "error:" in net2net("inspect", "nothing", "-q", code=2).err


def test_python_m_is_the_same_command(folder: Path) -> None:
    assert process("--version").stdout.startswith(b"net2net ")


def test_a_signal_that_was_lost_ends_the_run_at_its_next_step() -> None:
    with ending_cleanly():
        with contextlib.suppress(SystemExit):  # as a destructor or a callback from C would
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        with pytest.raises(SystemExit) as ended:
            end_if_asked()
    assert ended.value.code == 143
    with ending_cleanly():
        end_if_asked()


@pytest.mark.parametrize("error", [
    MemoryError(), RuntimeError("std::bad_alloc"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
], ids=type)  # fmt: skip
def test_memory_that_is_used_up_is_no_defect(error: Exception) -> None:
    failure = explain(error)
    assert (failure.exit_code, failure.defect) == (2, False)
    assert failure.diagnostic.message == "the memory is used up"
    assert explain(RuntimeError("mat1 and mat2 shapes cannot be multiplied")).defect


@pytest.mark.parametrize(("said", "message"), [
    ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0", "the memory of the GPU is used up"),
    ("CUDA error: out of memory\nCUDA kernel errors might", "the memory of the GPU is used up"),
    ("CUDA error: unknown error\nCUDA kernel errors might", "the GPU failed: unknown error"),
    ("No CUDA GPUs are available", "the GPU failed: No CUDA GPUs are available"),
])  # fmt: skip
def test_a_gpu_that_fails_is_no_defect(said: str, message: str) -> None:
    failure = explain(RuntimeError(said))
    assert (failure.exit_code, failure.defect) == (2, False)
    assert failure.diagnostic.message == message
    assert "--device cpu" in (failure.diagnostic.hint or "")


@pytest.mark.parametrize("said", [
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasDgemm`",
])  # fmt: skip
def test_what_a_gpu_cannot_be_asked_for_is_a_defect(said: str) -> None:
    assert explain(RuntimeError(said)).defect
