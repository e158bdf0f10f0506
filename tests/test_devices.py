"""What ``--device`` means, with and without GPUs."""

from __future__ import annotations

import pytest
import torch

from net2net_cli.devices import Work, device_for
from net2net_cli.errors import UsageError


def with_gpus(
    monkeypatch: pytest.MonkeyPatch, count: int, rank: str = "", free: int = 2**34
) -> None:
    def zeros(size: int, device: str) -> torch.Tensor:
        assert device.startswith("cuda:")
        if not free:
            raise RuntimeError("CUDA error: no kernel image is available for execution")
        return torch.ones(size)

    monkeypatch.setattr(torch, "zeros", zeros)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, 2**36))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setenv("LOCAL_RANK", rank)


@pytest.mark.parametrize(("work", "name", "count", "rank", "found"), [
    ("weights", "auto", 2, "", "cpu"),
    ("probe", "auto", 2, "", "cuda:0"),
    ("probe", "auto", 0, "", "cpu"),
    ("probe", "auto", 2, "1", "cuda:1"),
    ("probe", "auto", 2, "3", "cuda:1"),
    ("weights", "cpu", 2, "1", "cpu"),
    ("probe", "cpu", 2, "1", "cpu"),
    ("weights", "cuda", 4, "3", "cuda:3"),
    ("weights", "cuda:1", 4, "3", "cuda:1"),
    ("probe", "cuda:0", 1, "", "cuda:0"),
])  # fmt: skip
def test_a_device_is_found(
    work: Work, name: str, count: int, rank: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, count, rank)
    assert device_for(work, name) == found


@pytest.mark.parametrize("free", [0, 2**30])
def test_a_gpu_that_is_of_no_use_is_taken_only_where_it_is_named(
    free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, 1, free=free)
    assert device_for("probe", "auto") == "cpu"
    assert device_for("probe", "cuda") == "cuda:0"


@pytest.mark.parametrize(("name", "count", "message"), [
    ("cuda:7", 1, "no device `cuda:7` here: there is one GPU, cuda:0"),
    ("cuda:2", 2, "no device `cuda:2` here: there are 2, the first cuda:0"),
    ("cuda", 0, "no device `cuda` here: this torch is built for the CPU alone"),
    ("gpu", 1, "no device `gpu`"),
    ("cuda:", 1, "no device `cuda:`"),
    ("cuda:-1", 1, "no device `cuda:-1`"),
    ("cpu:0", 1, "no device `cpu:0`"),
    ("cuda:1:2", 2, "no device `cuda:1:2`"),
])  # fmt: skip
def test_one_that_is_not_there_is_an_error(
    name: str, count: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, count)
    monkeypatch.setattr(torch.version, "cuda", None)
    for work in ("weights", "probe"):
        with pytest.raises(UsageError, match=message) as error:
            device_for(work, name)
        assert error.value.exit_code == 2


def test_a_build_for_gpus_that_sees_none_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UsageError, match="torch sees no GPU"):
        device_for("weights", "cuda")
