"""Tiles that go by way of a device: the bytes of those that are made in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli import lanes, tiles
from net2net_cli.api import Choices, RunOptions
from net2net_cli.lanes import Kept, Lane, Lanes, Mark, Queue
from tests.growth.joined_nets import RESIDUAL
from tests.growth.lane_cases import Case, cases
from tests.growth.nets import QUICK, Teacher, teacher_of
from tests.support.late import Done, Late, late_lanes


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that even small tensors are made of many, and some of one row."""
    monkeypatch.setattr(tiles, "TILE", 40)


def by_device(monkeypatch: pytest.MonkeyPatch, kept: list[torch.Tensor] | None = None) -> None:
    monkeypatch.setattr(lanes, "lanes_to", lambda _: late_lanes(kept))


def bytes_of(teacher: Teacher, case: Case, options: RunOptions = QUICK) -> bytes:
    plan = teacher.plan(case.spec, case.choices)
    return teacher.apply(plan, "student", options).path.read_bytes()


@pytest.mark.parametrize("case", cases(), ids=str)
def test_what_a_device_makes_is_what_the_cpu_makes(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = teacher_of(case.net, tmp_path, 4, case.dtype)
    expected = bytes_of(teacher, case)
    by_device(monkeypatch)
    assert bytes_of(teacher, case) == expected


WIDE = Case(RESIDUAL, RESIDUAL.spec(23), Choices("duplicate", "signed"), torch.bfloat16)


def test_several_threads_have_lanes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.bfloat16)
    expected = bytes_of(teacher, WIDE)
    by_device(monkeypatch)
    assert bytes_of(teacher, WIDE, replace(QUICK, workers=3)) == expected


@pytest.mark.parametrize("split", ["even", "signed"])
def test_what_is_not_finite_stays_with_one_copy_there_too(
    split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.float16)
    source = teacher.model.source
    state = {name: source.tensor(name).clone() for name in source.tensors}
    state["b.weight"].view(-1)[:4] = torch.tensor([torch.nan, torch.inf, -torch.inf, 65504])
    save_file(state, tmp_path / "teacher.safetensors")
    case = replace(WIDE, choices=Choices("duplicate", split))
    expected = bytes_of(teacher, case)
    by_device(monkeypatch)
    assert bytes_of(teacher, case) == expected


def test_indices_are_sent_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.float32)
    kept: list[torch.Tensor] = []
    by_device(monkeypatch, kept)
    bytes_of(teacher, replace(WIDE, choices=Choices("duplicate", "random", noise=0.01)))
    assert 0 < len(kept) == len({id(tensor) for tensor in kept})


class Hasty(Late):
    """Waits for nothing that it is told to wait for on the device."""

    def queue(self, name: Queue, work: Callable[[], None], after: Mark | None) -> Done:
        return super().queue(name, work, None)


def test_the_test_sees_what_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.bfloat16)
    expected = bytes_of(teacher, WIDE)
    monkeypatch.setattr(lanes, "lanes_to", lambda _: Lanes(Hasty, Kept()))
    assert bytes_of(teacher, WIDE) != expected


class Counting:
    """A job whose tiles are their numbers; notes what happens when."""

    dtype = torch.int64

    def __init__(self) -> None:
        self.said: list[str] = []

    def shape(self, start: int, stop: int) -> tuple[int, ...]:
        return (stop - start,)

    def drawn(self, start: int, stop: int) -> torch.Tensor | None:
        return torch.arange(start, stop) if start == 4 else None

    def source(self, start: int, stop: int) -> tuple[tuple[int, ...], torch.dtype]:
        return (stop - start,), torch.int32

    def fill(self, into: torch.Tensor, start: int, stop: int) -> None:
        self.said.append(f"read {start}")
        torch.arange(start, stop, dtype=torch.int32, out=into)

    def compute(
        self, value: torch.Tensor, start: int, stop: int, place: lanes.Place
    ) -> torch.Tensor:
        assert place.block == lanes.DEVICE
        return value.long()


@pytest.mark.parametrize("sizes", [[], [3], [3, 1], [1, 3, 2, 2, 1]])
def test_the_next_tile_is_read_before_one_is_given(sizes: list[int]) -> None:
    job, lane = Counting(), Lane(Late(), Kept())
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    spans = list(pairwise(ends))
    found = []
    for tile in lane.tiles(job, spans):
        job.said.append(f"given {len(found)}")
        found.append(tile.tolist())
    assert found == [list(range(*span)) for span in spans]
    if len(sizes) == 5:
        assert job.said == ["read 0", "read 1", "given 0", "given 1", "read 6", "given 2",
                            "read 8", "given 3", "given 4"]  # fmt: skip


def test_an_error_on_the_way_is_told() -> None:
    class Broken(Counting):
        def compute(self, *_: object) -> torch.Tensor:
            raise RuntimeError("CUDA error: unspecified launch failure")

    lane = Lane(Late(), Kept())
    with pytest.raises(RuntimeError, match="launch failure"):
        list(lane.tiles(Broken(), [(0, 1), (1, 2), (2, 3)]))


def test_what_was_on_its_way_when_queuing_failed_is_waited_for() -> None:
    """The copy there still reads the memory that the next tile would be read into."""

    class Failing(Late):
        def queue(self, name: Queue, work: Callable[[], None], after: Mark | None) -> Done:
            if name == "compute" and not failed:
                failed.append(name)
                raise RuntimeError("CUDA out of memory")
            marks.append(super().queue(name, work, after))
            return marks[-1]

    failed, marks = list[str](), list[Done]()
    lane = Lane(Failing(), Kept())
    with pytest.raises(RuntimeError, match="out of memory"):
        list(lane.tiles(Counting(), [(0, 1)]))
    assert lane.slots[0].mark is marks[0]
    assert [tile.tolist() for tile in lane.tiles(Counting(), [(4, 6)])] == [[4, 5]]
