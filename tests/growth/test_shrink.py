"""A student holds its teacher: what was copied, cut up or added up comes back byte for byte, and
what was scaled to within rounding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from net2net_cli import restore
from net2net_cli.api import (
    Choices,
    Shrunk,
    WriteOptions,
    deepen_plan,
    open_model,
    open_student,
    shrink,
)
from net2net_cli.errors import CheckpointError, PlanError
from net2net_cli.expansion import SPLITS
from net2net_cli.inverse import Gather, Shrink
from net2net_cli.plan import to_data
from tests.growth.joined_nets import (
    INCEPTION,
    JOINED_NETS,
    PRE_NORM,
    RESIDUAL,
    RESIDUAL_DEEPER,
    SHARED,
)
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.nets import Student, Teacher, save_spec, teacher_of
from tests.support.checkpoints import same

NETS = {net.name: net for net in (*LAYER_NETS, *JOINED_NETS)}
DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16,
          "bfloat16": torch.bfloat16}  # fmt: skip
AGAIN = WriteOptions(overwrite=True)


def shrunk(student: Student, name: str = "shrunk") -> Shrunk:
    """Shrink a student by its file alone."""
    opened = open_student(str(student.path))
    with opened.model.source:
        return shrink(opened, str(student.path.with_name(f"{name}.safetensors")), AGAIN)


def check_same(teacher: Teacher, student: Student) -> Shrunk:
    """The teacher came back whole: the digest says so, and so do its bytes."""
    found = shrunk(student)
    assert found.same, (found.notes, differing(teacher, found))
    assert found.notes == ()
    assert not differing(teacher, found)
    assert found.proof.holds
    return found


def differing(teacher: Teacher, found: Shrunk) -> list[str]:
    """The tensors whose bytes are not the teacher's."""
    source = teacher.model.source
    assert found.written is not None
    made = load_file(found.written)
    assert {n: (t.dtype, t.shape) for n, t in made.items()} == {
        n: (source.tensor(n).dtype, source.tensor(n).shape) for n in source.tensors
    }
    return [n for n, t in made.items() if not same(t, source.tensor(n))]


@pytest.mark.parametrize("name", NETS)
def test_any_net_comes_back(name, tmp_path):
    """Every way in which its width can grow, but for the mean under norms, which scales gains."""
    net = NETS[name]
    teacher = teacher_of(net, tmp_path)
    for kind in sorted(net.bears - {"mean", "even"} | {"auto"}):
        student = teacher.apply(teacher.plan(net.spec(8), Choices(kind)))
        found = shrunk(student)
        assert found.known
        assert set(differing(teacher, found)) <= set(found.rounded)
        assert found.same or found.rounded
        if kind != "auto":
            assert found.same


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("split", SPLITS)
def test_every_split_adds_up_in_every_dtype(split, dtype, tmp_path):
    """Two to four copies of a unit; zeros keep their sign."""
    for net in (RESIDUAL, INCEPTION, SHARED, NETS["Conv2d:wider groups"]):
        teacher = teacher_of(net, tmp_path, 4, DTYPES[dtype])
        state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
        for tensor in state.values():
            if tensor.ndim > 1:
                tensor.view(-1)[::3] = 0.0
                tensor.view(-1)[1::6] *= -0.0
        save_file(state, tmp_path / "teacher.safetensors")
        teacher = replace(teacher, model=open_model(str(tmp_path / "teacher.safetensors")))
        check_same(teacher, teacher.apply(teacher.plan(net.spec(13), Choices("duplicate", split))))


@pytest.mark.parametrize("name", ["Add:a stream", "Conv2d:wider groups", "LayerNorm:a stream"])
def test_rows_are_made_a_few_at_a_time(name, tmp_path, monkeypatch):
    monkeypatch.setattr("net2net_cli.tiles.TILE", 5)
    teacher = teacher_of(NETS[name], tmp_path)
    for size in (8, 16):
        plan = teacher.plan(NETS[name].spec(size), Choices("duplicate"))
        check_same(teacher, teacher.apply(plan))


@pytest.mark.parametrize("choices", [
    Choices("fresh"), Choices("zero"), Choices("duplicate", noise=0.1),
    *(Choices("duplicate", split) for split in SPLITS),
], ids=lambda c: f"{c.expansion}-{c.split}-{c.noise}")  # fmt: skip
def test_inserted_layers_and_norms_go_again(choices, tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.float32)
    check_same(teacher, teacher.apply(teacher.plan(RESIDUAL_DEEPER, choices)))


@pytest.mark.parametrize("after", ["a.0", "b"])
def test_copies_of_a_unit_go_again(after, tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    check_same(teacher, teacher.apply(deepen_plan(teacher.model, after, count=2)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_norm_scaled_is_rounded_and_no_more(dtype, tmp_path):
    teacher = teacher_of(PRE_NORM, tmp_path, 4, DTYPES[dtype])
    student = teacher.apply(teacher.plan(PRE_NORM.spec(7), Choices("mean")))
    found = shrunk(student)
    assert found.rounded == ("ln1.weight", "ln2.weight")
    assert set(differing(teacher, found)) <= set(found.rounded)
    assert found.same == (not differing(teacher, found))
    made, eps = load_file(found.written), torch.finfo(DTYPES[dtype]).eps
    for name in found.rounded:
        gain = teacher.model.source.tensor(name).double()
        assert float(((made[name].double() - gain) / gain).abs().max()) <= 2 * eps


def test_a_scale_that_is_a_power_of_two_rounds_nothing(tmp_path):
    teacher = teacher_of(PRE_NORM, tmp_path, 4, torch.bfloat16)
    found = check_same(teacher, teacher.apply(teacher.plan(PRE_NORM.spec(16), Choices("mean"))))
    assert found.rounded == ()


def test_a_trained_student_says_so(tmp_path):
    """Shares are added up, of copies the first is taken."""
    teacher = teacher_of(SHARED, tmp_path, 4, torch.float32)
    student = teacher.apply(teacher.plan(SHARED.spec(8), Choices("duplicate", "even")))
    state = {n: t + torch.arange(t.numel()).reshape(t.shape) / 8 for n, t in student.state.items()}
    with safe_open(student.path, "pt") as file:
        save_file(state, student.path, file.metadata())
    found = shrunk(student)
    assert found.same is False
    assert found.rounded == ()
    assert "was trained or edited since" in found.notes[-1]
    made = load_file(found.written)
    assert torch.equal(made["first.weight"], state["first.weight"][:4])
    assert torch.allclose(made["head.weight"].sum(1), state["head.weight"].sum(1))


# Dtypes that --dtype cast.


@pytest.mark.parametrize(("old", "new", "same"), [
    ("bfloat16", "float32", True), ("float16", "float64", True), ("float32", "float64", True),
    ("float32", "bfloat16", False), ("float16", "bfloat16", False),
])  # fmt: skip
def test_a_cast_is_undone(old, new, same, tmp_path):
    """The plan's header digest tells the dtype; a wider one held everything."""
    teacher = teacher_of(RESIDUAL, tmp_path, 4, DTYPES[old])
    student = teacher.apply(teacher.plan(RESIDUAL.spec(7), Choices("duplicate", dtype=new)))
    found = shrunk(student)
    assert found.known
    assert found.same == same
    assert (found.rounded == ()) == same
    assert bool(differing(teacher, found)) != same
    for name, tensor in load_file(found.written).items():
        assert torch.allclose(tensor, teacher.model.source.tensor(name), rtol=2**-7)


def test_mixed_dtypes_that_were_cast_stay_the_students(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.float32)
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    state["head.weight"] = state["head.weight"].half()
    save_file(state, tmp_path / "teacher.safetensors")
    teacher = replace(teacher, model=open_model(str(tmp_path / "teacher.safetensors")))
    check_same(teacher, teacher.apply(teacher.plan(RESIDUAL.spec(7))))
    found = shrunk(teacher.apply(teacher.plan(RESIDUAL.spec(7), Choices(dtype="float64"))))
    assert found.same is False
    assert not found.known
    assert "the student's are kept" in found.notes[0]
    for name, tensor in load_file(found.written).items():
        assert torch.equal(tensor, state[name].to(tensor.dtype))


# Names.


def test_a_shared_tensor_that_is_held_twice_is_again(tmp_path):
    teacher = teacher_of(SHARED, tmp_path)
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    state |= {f"again.{n}": state[f"step.{n}"].clone() for n in ("weight", "bias")}
    save_file(state, tmp_path / "teacher.safetensors")
    teacher = replace(teacher, model=open_model(str(tmp_path / "teacher.safetensors")))
    check_same(teacher, teacher.apply(teacher.plan(SHARED.spec(7), Choices("duplicate"))))


@pytest.mark.parametrize("held", [False, True])
def test_what_is_shared_no_more_is_shared_again(held, tmp_path):
    teacher = teacher_of(SHARED, tmp_path)
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    if held:
        state |= {f"again.{n}": state[f"step.{n}"].clone() for n in ("weight", "bias")}
    save_file(state, tmp_path / "teacher.safetensors")
    teacher = replace(teacher, model=open_model(str(tmp_path / "teacher.safetensors")))
    target = SHARED.spec(7).replace(", share: step", "")
    check_same(teacher, teacher.apply(teacher.plan(target, Choices("duplicate"))))


def test_counts_that_a_teacher_does_without_do_not_come_in(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    del state["a.1.num_batches_tracked"]
    save_file(state, tmp_path / "teacher.safetensors")
    teacher = replace(teacher, model=open_model(str(tmp_path / "teacher.safetensors")))
    check_same(teacher, teacher.apply(teacher.plan(RESIDUAL_DEEPER)))


def test_renamed_and_renumbered_layers_have_their_old_names(tmp_path):
    source = """net2net: 1
input: [5]
layers:
  0: {type: Linear, out_features: 4}
  1: {type: ReLU}
  2: {type: Linear, out_features: 3}
"""
    target = """net2net: 1
input: [5]
rename: {2: 4}
layers:
  0: {type: Linear, out_features: 6}
  1: {type: ReLU}
  2: {type: Linear, out_features: 6}
  3: {type: ReLU}
  4: {type: Linear, out_features: 3}
"""
    teacher = save_spec(tmp_path, source)
    check_same(teacher, teacher.apply(teacher.plan(target)))


def test_students_of_students_go_back_step_by_step(tmp_path):
    first = teacher_of(RESIDUAL, tmp_path)
    second = first.apply(first.plan(RESIDUAL.spec(6)), "second")
    grown = replace(first, model=open_model(str(second.path)))
    third = grown.apply(grown.plan(RESIDUAL.spec(9)), "third")
    assert shrunk(third, "again").digest == second.grown.digest
    with pytest.raises(CheckpointError, match="carries no plan"):
        open_student(str(tmp_path / "again.safetensors"))


def test_the_result_is_a_checkpoint_like_any_other(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    found = check_same(teacher, teacher.apply(teacher.plan(RESIDUAL.spec(6))))
    model = open_model(str(found.written))
    assert model.found == "embedded in its metadata"
    assert set(model.source.metadata) == {"format", "net2net.spec"}
    again = replace(teacher, model=model)
    check_same(teacher, again.apply(again.plan(RESIDUAL.spec(11)), "other"))


def test_a_student_that_does_not_tell_its_teachers_digest_is_shrunk_all_the_same(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    student = teacher.apply(teacher.plan(RESIDUAL.spec(6)))
    with safe_open(student.path, "pt") as file:
        metadata = file.metadata()
    del metadata["net2net.teacher"]
    save_file(student.state, student.path, metadata)
    found = shrunk(student)
    assert found.same is None
    assert not differing(teacher, found)


# What cannot be shrunk.


def edited(student: Student, changes: dict[str, object]) -> Path:
    """The student with other entries in its plan."""
    with safe_open(student.path, "pt") as file:
        metadata = file.metadata()
    data = json.loads(metadata["net2net.plan"]) | changes
    path = student.path.with_name("edited.safetensors")
    save_file(student.state, path, metadata | {"net2net.plan": json.dumps(data)})
    return path


def evenly(student: Student) -> list[dict[str, object]]:
    """The operations of its plan, as if widths grew in whole multiples."""
    return [o | {"expansion": "even"} for o in to_data(student.plan)["operations"]]


def refused(path: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        shrink(open_student(str(path)), str(path.with_name("out.safetensors")))
    assert not path.with_name("out.safetensors").exists()


def test_without_a_plan_there_is_no_way_back(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    with pytest.raises(CheckpointError, match="carries no plan") as error:
        open_student(str(tmp_path / "teacher.safetensors"))
    assert "only what net2net has written" in error.value.hint
    student = teacher.apply(teacher.plan(RESIDUAL.spec(6)))
    torch.save(student.state, tmp_path / "student.pt")
    refused(tmp_path / "student.pt", CheckpointError, "carries no plan")


def test_plans_that_do_not_fit_are_refused(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    student = teacher.apply(teacher.plan(RESIDUAL.spec(6)))
    wider = teacher.plan(RESIDUAL.spec(8))
    for changes, error, message in (
        ({"format_version": 9}, PlanError, "format 9, and this version reads 1"),
        ({"operations": []}, PlanError, "do not lead from its source"),
        ({"student": wider.student}, CheckpointError, "has shape"),
        ({"target": wider.target}, PlanError, "do not lead from its source"),
        ({"source": wider.source.replace("ReLU", "Tanh")}, PlanError, "changes the function"),
        ({"operations": evenly(student)}, PlanError, "copies in equal number"),
    ):
        refused(edited(student, changes), error, message)
    gone = {n: t for n, t in student.state.items() if n != "head.bias"}
    with safe_open(student.path, "pt") as file:
        save_file(gone, tmp_path / "gone.safetensors", file.metadata())
    refused(tmp_path / "gone.safetensors", CheckpointError, r"lacks `head\.bias`")


@pytest.mark.parametrize("longest", [1, 12])
@pytest.mark.parametrize(
    "name", ["Add:a stream", "Linear", "Conv2d:wider groups", "Concat:channels"]
)
def test_rows_that_are_too_long_are_made_of_further_axes(name, longest, tmp_path, monkeypatch):
    monkeypatch.setattr(restore, "LONGEST", longest)
    teacher = teacher_of(NETS[name], tmp_path)
    for choices in (Choices("fresh"), *(Choices("duplicate", split) for split in SPLITS)):
        check_same(teacher, teacher.apply(teacher.plan(NETS[name].spec(10), choices)))


AXIS = Gather(((0, 2), (1,), (3, 4)))
TAKEN = Gather(((1,), (0,)), (2.0, 0.5))


def test_axes_are_merged_while_rows_are_too_long_and_one_alone_adds_up(monkeypatch):
    def first(*axes, shape=(3, 2, 4), student=(5, 3, 4)):
        recipe = Shrink("w", "float32", shape, "w", "float32", axes)
        return restore.first_of(recipe, student)

    assert first(AXIS, TAKEN, None).axes == (AXIS,)
    monkeypatch.setattr(restore, "LONGEST", 11)
    merged = first(AXIS, TAKEN, None)
    assert (merged.axes, merged.rows) == ((AXIS, TAKEN), 6)
    part = merged.part(1, 5)
    assert part.members == ((0, 6), (4,), (3,), (10, 13))
    assert part.scale == (0.5, 2.0, 0.5, 2.0)
    assert first(AXIS, Gather(((0, 1), (2,))), None).axes == (AXIS,)
    assert first(TAKEN, TAKEN, None, shape=(2, 2, 4)).axes == (TAKEN,)
    still = first(None, None, AXIS, shape=(5, 3, 3), student=(5, 3, 5))
    assert (still.axes, still.part(0, 15)) == ((None, None), None)
    assert first(None, shape=(3,), student=(3,)).rows == 3
    assert first(shape=(), student=()).rows == 1
