"""What a disk or memory cannot hold is refused with the figures, before any work is done."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from net2net_cli import capacity
from net2net_cli.api import apply_plan, deepen_plan, open_student, shrink
from net2net_cli.errors import OutputError, UsageError
from net2net_cli.io import room
from tests.growth.joined_nets import RESIDUAL
from tests.growth.nets import QUICK, teacher_of


def test_a_disk_without_room_for_the_student(tmp_path, monkeypatch):
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL.spec(7))
    free = SimpleNamespace(free=plan.after.nbytes - 1)
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda _folder: free)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"the student takes .* GB, and there are .* free") as no:
        apply_plan(plan, teacher.model, str(tmp_path / "out.safetensors"), QUICK)
    assert str(tmp_path) in "\n".join(no.value.lines())
    assert sorted(tmp_path.iterdir()) == before
    free.free += 1
    apply_plan(plan, teacher.model, str(tmp_path / "out.safetensors"), QUICK)


def test_a_disk_without_room_for_the_teacher_that_is_made_again(tmp_path, monkeypatch):
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL.spec(7))
    student = open_student(str(teacher.apply(plan).path))
    free = SimpleNamespace(free=plan.before.nbytes - 1)
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda _folder: free)
    with pytest.raises(OutputError, match="the teacher takes"):
        shrink(student, str(tmp_path / "out.safetensors"))
    assert not (tmp_path / "out.safetensors").exists()
    free.free += 1
    shrink(student, str(tmp_path / "out.safetensors"))


def test_memory_bounds_only_what_is_held_as_a_whole(tmp_path, monkeypatch):
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL.spec(7))
    monkeypatch.setattr(capacity, "memory", lambda: plan.after.nbytes - 1)
    with pytest.raises(UsageError, match=r"the student takes about .* of memory") as no:
        apply_plan(plan, teacher.model, str(tmp_path / "out.pt"), QUICK)
    assert "write .safetensors" in no.value.hint
    apply_plan(plan, teacher.model, str(tmp_path / "out.safetensors"), QUICK)


def test_maps_that_memory_cannot_hold(tmp_path, monkeypatch):
    """A width of so many features that what copies what takes more than the machine has."""
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL.spec(7))
    monkeypatch.setattr(capacity, "free_memory", lambda: 7 * capacity.UNIT_BYTES - 1)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"of 7 takes about .* of memory to map, and"):
        apply_plan(plan, teacher.model, str(tmp_path / "out.safetensors"), QUICK)
    assert sorted(tmp_path.iterdir()) == before


def test_what_a_control_group_allows_is_what_there_is(tmp_path, monkeypatch):
    """Version 2, with a limit above the process' own group, and version 1."""
    for name, content in {
        "a/memory.max": "500000000", "a/memory.current": "300000000",
        "a/memory.stat": "anon 1\ninactive_file 100000000", "a/b/memory.max": "max",
        "memory/c/memory.limit_in_bytes": "400000000",
        "memory/c/memory.usage_in_bytes": "390000000", "memory/c/memory.stat": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(room, "ROOT", tmp_path)
    monkeypatch.setattr(room, "GROUPS", tmp_path / "cgroup")
    room.GROUPS.write_text("0::/a/b\n")
    assert (room.memory(), room.free_memory()) == (500_000_000, 300_000_000)
    room.GROUPS.write_text("4:cpu,memory:/c\n0::/a\n")
    assert (room.memory(), room.free_memory()) == (400_000_000, 10_000_000)
    room.GROUPS.unlink()
    assert room.memory() > 500_000_000


def test_no_more_units_are_inserted_than_anybody_means(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    with pytest.raises(UsageError, match="1,001 units are too many"):
        deepen_plan(teacher.model, "fc", count=1001)
