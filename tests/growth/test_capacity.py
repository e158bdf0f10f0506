"""What a disk or memory cannot hold is refused with the figures, before any work is done."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from net2net_cli import capacity
from net2net_cli.api import apply_plan, open_student, shrink
from net2net_cli.errors import OutputError, UsageError
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
    monkeypatch.setattr(capacity, "_memory", lambda: plan.after.nbytes - 1)
    with pytest.raises(UsageError, match=r"the student takes about .* of memory") as no:
        apply_plan(plan, teacher.model, str(tmp_path / "out.pt"), QUICK)
    assert "write .safetensors" in no.value.hint
    apply_plan(plan, teacher.model, str(tmp_path / "out.safetensors"), QUICK)
