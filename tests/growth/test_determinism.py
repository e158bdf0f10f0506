"""A student's bytes follow from plan, checkpoint and seed, and from nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from net2net_cli.api import (
    Choices,
    RunOptions,
    apply_plan,
    from_json,
    make_plan,
    open_model,
    to_json,
)
from net2net_cli.errors import PlanError, UnreachableError, UsageError
from net2net_cli.expansion import SPLITS
from net2net_cli.plan import Rescale, Teacher, Widen
from tests.growth.joined_nets import RESIDUAL, RESIDUAL_DEEPER
from tests.growth.nets import EXACT, QUICK, teacher_of, worst


def bytes_of(teacher, plan, name="student"):
    return teacher.apply(plan, name).path.read_bytes()


@pytest.mark.parametrize("choices", [
    Choices("fresh"), Choices("duplicate", noise=0.01), Choices(dtype="bfloat16"),
    *(Choices("duplicate", split) for split in SPLITS),
], ids=lambda c: f"{c.expansion}-{c.split}-{c.noise}-{c.dtype}")  # fmt: skip
def test_same_plan_gives_the_same_bytes(choices, tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    first = bytes_of(teacher, teacher.plan(RESIDUAL_DEEPER, choices), "first")
    torch.manual_seed(1234)  # the state of the process is no part of it
    again = open_model(str(tmp_path / "teacher.safetensors"))
    plan = make_plan(again, tmp_path / "target.yaml", choices=choices)
    assert bytes_of(replace(teacher, model=again), plan, "second") == first


@pytest.mark.parametrize("expansion", ["fresh", "duplicate"])
def test_another_seed_gives_another_student_as_exact(expansion, tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    found = {}
    for seed in (0, 1, 2):
        plan = teacher.plan(RESIDUAL.spec(7), Choices(expansion, "signed", seed))
        student = teacher.apply(plan)
        found[seed] = student.state["head.weight" if expansion == "duplicate" else "stem.weight"]
        error = worst(teacher.module, student.into(RESIDUAL.module(7)), RESIDUAL.batch())
        assert error <= EXACT
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])


def test_saved_plan_gives_the_same_bytes(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL_DEEPER, Choices("duplicate", "random", 3))
    read = from_json(to_json(plan), "plan.json")
    assert read == plan
    assert to_json(read) == to_json(plan)
    assert bytes_of(teacher, read, "read") == bytes_of(teacher, plan, "made")


def test_plan_names_no_path_host_or_time(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    text = to_json(teacher.plan(RESIDUAL_DEEPER))
    assert str(tmp_path) not in text
    assert "teacher.safetensors" in text
    assert json.loads(text)["format_version"] == 1


def test_metadata_tells_how_the_student_came_to_be(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL_DEEPER, Choices(seed=5))
    student = teacher.apply(plan)
    with safe_open(student.path, "pt") as file:
        metadata = file.metadata()
    assert from_json(metadata["net2net.plan"], "metadata") == plan
    assert metadata["net2net.seed"] == "5"
    assert metadata["net2net.teacher"] == teacher.model.source.digest()
    assert metadata["net2net.spec"] == plan.student
    assert open_model(str(student.path)).found == "embedded in its metadata"


def test_plan_for_another_checkpoint_is_refused(tmp_path):
    """By the header always; by the weights where the plan knows their digest."""
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL.spec(7))
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    save_file({n: t + 1 for n, t in state.items()}, tmp_path / "weights.safetensors")
    narrow = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    save_file(narrow, tmp_path / "header.safetensors")
    others = {
        name: open_model(str(tmp_path / f"{name}.safetensors"), str(tmp_path / "teacher.yaml"))
        for name in ("weights", "header")
    }
    bound = replace(plan, teacher=Teacher(
        plan.teacher.label, plan.teacher.header_digest, teacher.model.source.digest()
    ))  # fmt: skip
    for name, refused in (("header", plan), ("header", bound), ("weights", bound)):
        with pytest.raises(PlanError, match="the plan was made for") as error:
            apply_plan(refused, others[name], str(tmp_path / "no.safetensors"), QUICK)
        assert error.value.exit_code == 2
        assert error.value.where == str(tmp_path / f"{name}.safetensors")
    assert not (tmp_path / "no.safetensors").exists()
    apply_plan(plan, others["weights"], str(tmp_path / "yes.safetensors"), RunOptions())
    apply_plan(bound, teacher.model, str(tmp_path / "bound.safetensors"), RunOptions())


@pytest.mark.parametrize("spoil", [
    lambda text: text[:100],
    lambda text: "[]",
    lambda text: text.replace('"format_version": 1', '"format_version": 2'),
    lambda text: text.replace('"kind": "widen"', '"kind": "shrink"'),
    lambda text: text.replace('"header_digest"', '"digest_of_header"'),
    lambda text: text.replace('"operations": [', '"operations": [7, '),
], ids=["cut", "no object", "version", "operation", "key", "number"])  # fmt: skip
def test_broken_plan_is_a_plan_error(spoil, tmp_path):
    text = to_json(teacher_of(RESIDUAL, tmp_path).plan(RESIDUAL.spec(7)))
    with pytest.raises(PlanError):
        from_json(spoil(text), "plan.json")


NORMED = """\
net2net: 1
input: [8]
layers:
  fc1: {type: Linear, out_features: 6}
  ln: {type: LayerNorm}
  fc2: {type: Linear, out_features: 4}
"""


def normed(folder):
    (folder / "teacher.yaml").write_text(NORMED)
    torch.manual_seed(0)
    shapes = {"fc1.weight": (6, 8), "fc1.bias": (6,), "ln.weight": (6,), "ln.bias": (6,),
              "fc2.weight": (4, 6), "fc2.bias": (4,)}  # fmt: skip
    save_file({n: torch.randn(s) for n, s in shapes.items()}, folder / "teacher.safetensors")
    return open_model(str(folder / "teacher.safetensors"))


@pytest.mark.parametrize(("width", "expansion", "error", "message"), [
    (9, "duplicate", UnreachableError, "by `duplicate`: `ln` LayerNorm takes mean and variance"),
    (9, "fresh", UnreachableError, "by `fresh`: `ln` LayerNorm takes mean and variance"),
    (9, "zero", UnreachableError, "by `zero`: `ln` LayerNorm takes mean and variance"),
    (9, "even", UnreachableError, "copies in equal number need a multiple of 6, not 9"),
    (9, "all", UsageError, "there is no expansion `all`"),
    (12, "mean", PlanError, "do not lead from its source spec"),
])  # fmt: skip
def test_plan_whose_expansion_was_edited_is_refused_unless_it_preserves(
    width, expansion, error, message, tmp_path
):
    """Also without a probe; a mean in place of copies takes another eps, which the plan lacks."""
    model = normed(tmp_path)
    plan = make_plan(model, settings={"fc1.out_features": str(width)})
    operations = tuple(
        replace(o, expansion=expansion) if isinstance(o, Widen) else o for o in plan.operations
    )
    edited, out = replace(plan, operations=operations), tmp_path / "student.safetensors"
    with pytest.raises(error, match=message):
        apply_plan(edited, model, str(out), RunOptions(verify=False))
    assert not out.exists()
    apply_plan(plan, model, str(out), RunOptions())


def test_plan_whose_eps_was_edited_is_refused(tmp_path):
    model = normed(tmp_path)
    plan = make_plan(model, settings={"fc1.out_features": "9"})
    operations = tuple(
        replace(o, after=1e-3) if isinstance(o, Rescale) else o for o in plan.operations
    )
    with pytest.raises(PlanError, match="do not lead"):
        apply_plan(replace(plan, operations=operations), model, str(tmp_path / "no"), QUICK)


def test_plan_whose_specs_were_edited_is_refused(tmp_path):
    """Operations that do not fit the specs are no defect of ours, but of the plan."""
    teacher = teacher_of(RESIDUAL, tmp_path)
    text = to_json(teacher.plan(RESIDUAL.spec(7)))
    for old, new in (("out_channels: 7", "out_channels: 8"), ('"after": 7', '"after": 6')):
        edited = from_json(text.replace(old, new), "plan.json")
        with pytest.raises(PlanError):
            apply_plan(edited, teacher.model, str(tmp_path / "no.safetensors"), QUICK)
    assert not (tmp_path / "no.safetensors").exists()
