"""Half types: no split rounds anything. Each tensor keeps its own dtype, unless asked otherwise."""

from __future__ import annotations

from dataclasses import replace
from math import fsum

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli import making
from net2net_cli.api import Choices, RunOptions, open_model
from net2net_cli.axes import Width
from net2net_cli.axismap import Mapper
from net2net_cli.draws import Stream
from net2net_cli.errors import DifferenceError
from net2net_cli.expansion import SPLITS, expand
from net2net_cli.splits import Sharing
from net2net_cli.verification import NotPreservedError
from tests.growth.joined_nets import INCEPTION, PRE_NORM, RESIDUAL, SHARED
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.nets import EXACT, Teacher, difference, teacher_of, worst

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
NETS = {net.name: net for net in (RESIDUAL, INCEPTION, SHARED)} | {
    net.name: net
    for net in LAYER_NETS
    if net.name in ("Linear", "Flatten", "ConvTranspose2d:depthwise", "Conv2d:wider groups", "GLU")
}
VERIFIED = RunOptions(overwrite=True)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", NETS)
def test_no_split_rounds(name, dtype, tmp_path):
    """The student evaluated in float64 equals the teacher: two to four copies of each unit."""
    net = NETS[name]
    teacher = teacher_of(net, tmp_path, 4, HALVES[dtype])
    for choices in (Choices("fresh"), *(Choices("duplicate", split) for split in SPLITS)):
        student = teacher.apply(teacher.plan(net.spec(13), choices))
        assert {t.dtype for t in student.state.values() if t.is_floating_point()} == {HALVES[dtype]}
        error = worst(teacher.module, student.into(net.module(13)), net.batch())
        assert error <= EXACT, (choices, error)


def weights(dtype: torch.dtype) -> torch.Tensor:
    """Every finite number of a half type; of the others the ends and a thousand in between."""
    info = torch.finfo(dtype)
    if dtype.itemsize == 2:
        every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
        return every[every.isfinite()].double()
    finest = info.smallest_normal * info.eps
    ends = torch.tensor([info.max, -0.6 * info.max, info.smallest_normal, finest, -3 * finest, 0])
    ends = torch.cat([ends.double(), torch.arange(1, 100).double() * finest])
    return torch.cat([ends, torch.randn(1000, generator=torch.Generator().manual_seed(0)).double()])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("split", SPLITS)
def test_copies_sum_to_the_weight_exactly(split, dtype):
    """Subnormal numbers and the largest included."""
    weight = weights(dtype)
    for copies in (2, 3, 4, 5, 7):
        axis = Mapper({Width("w"): expand("duplicate", 1, copies, "")}, {Width("w"): 1}).axis(
            Width("w"), "read"
        )
        parts = weight[:, None].repeat(1, copies).to(dtype)
        sharing = Sharing(axis, split)
        sharing.along(parts, 1, Stream("1"), 0, wild=sharing.wild(parts))
        found = parts.double().sum(1)
        if dtype == torch.float64:  # whose sums torch rounds
            found = torch.tensor([fsum(row) for row in parts.tolist()], dtype=dtype)
        assert torch.equal(found, weight)


def mixed(folder) -> Teacher:
    """A residual net whose tensors have three dtypes."""
    teacher = teacher_of(RESIDUAL, folder, 4, torch.bfloat16)
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    for name, tensor in list(state.items()):
        if name.startswith("a.1") and tensor.is_floating_point():
            state[name] = tensor.float()
        if name.startswith("head"):
            state[name] = tensor.half()
    save_file(state, folder / "teacher.safetensors")
    return Teacher(open_model(str(folder / "teacher.safetensors")), teacher.module, folder)


def test_mixed_dtypes_stay_tensor_by_tensor(tmp_path):
    teacher = mixed(tmp_path)
    plan = teacher.plan(RESIDUAL.spec(7), Choices("duplicate", "signed"))
    student = teacher.apply(plan, options=VERIFIED)
    assert {n: t.dtype for n, t in student.state.items()} == {
        n: teacher.model.source.tensor(n).dtype for n in teacher.model.source.tensors
    }
    assert plan.after.nbytes == sum(t.nbytes for t in student.state.values())
    assert worst(teacher.module, student.into(RESIDUAL.module(7)), RESIDUAL.batch()) <= EXACT


def test_new_tensors_take_the_most_common_dtype(tmp_path):
    teacher = mixed(tmp_path)
    plan = teacher.plan(
        "net2net: 1\nextends: source\nlayers:\n"
        "  new: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, after: b}\n"
        "  norm: {type: BatchNorm2d}\n",
    )  # fmt: skip
    state = teacher.apply(plan, options=VERIFIED).state
    assert state["new.weight"].dtype == state["norm.running_var"].dtype == torch.bfloat16
    assert state["norm.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("wanted", ["float64", "float32", "bfloat16", "float16"])
def test_dtype_is_that_which_was_asked_for(wanted, tmp_path):
    """Counts stay whole numbers; what a narrower type rounds, the tolerance knows."""
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.float32)
    plan = teacher.plan(RESIDUAL.spec(7), Choices("duplicate", "random", dtype=wanted))
    student = teacher.apply(plan, options=VERIFIED)
    kinds = {t.dtype for n, t in student.state.items() if not n.endswith("num_batches_tracked")}
    assert kinds == {getattr(torch, wanted)}
    assert student.state["a.1.num_batches_tracked"].dtype == torch.int64
    error = difference(teacher.module, student.into(RESIDUAL.module(7)), RESIDUAL.batch())
    wider = wanted in ("float32", "float64")
    assert error <= (EXACT if wider else {"bfloat16": 5e-2, "float16": 1e-2}[wanted])
    assert wider or error > 1e-6


def test_dtype_alone_casts_without_growth(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.float32)
    student = teacher.apply(teacher.plan(RESIDUAL.spec(4), Choices(dtype="bfloat16")))
    for name, tensor in student.state.items():
        kept = teacher.model.source.tensor(name)
        assert torch.equal(tensor, kept.bfloat16() if kept.is_floating_point() else kept)


def test_dtype_too_narrow_for_the_weights_is_a_difference(tmp_path):
    teacher = teacher_of(SHARED, tmp_path, 4, torch.float32)
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    state["head.bias"][0] = 1e6
    save_file(state, tmp_path / "teacher.safetensors")
    teacher = Teacher(open_model(str(tmp_path / "teacher.safetensors")), teacher.module, tmp_path)
    with pytest.raises(DifferenceError, match="NaN or infinite"):
        teacher.apply(teacher.plan(SHARED.spec(7), Choices(dtype="float16")), options=VERIFIED)
    assert not (tmp_path / "student.safetensors").exists()


@pytest.mark.parametrize("dtype", HALVES)
def test_what_a_norm_makes_round_stays_within_the_documented_tolerance(dtype, tmp_path):
    """LayerNorm's gain is scaled under the mean expansion: the one rule that rounds."""
    teacher = teacher_of(PRE_NORM, tmp_path, 4, HALVES[dtype])
    student = teacher.apply(teacher.plan(PRE_NORM.spec(7), Choices("mean")), options=VERIFIED)
    error = difference(teacher.module, student.into(PRE_NORM.module(7)), PRE_NORM.batch())
    assert 1e-6 < error <= {"bfloat16": 5e-2, "float16": 1e-2}[dtype]
    student = teacher.apply(teacher.plan(PRE_NORM.spec(8), Choices("duplicate", "dyadic")))
    error = difference(teacher.module, student.into(PRE_NORM.module(8)), PRE_NORM.batch())
    assert error <= EXACT


def test_a_dtype_that_the_plan_does_not_say_is_disproved(tmp_path, monkeypatch):
    """The probe cannot see it: all is compared in float64."""
    teacher = teacher_of(RESIDUAL, tmp_path, 4, torch.float32)
    plan = teacher.plan(RESIDUAL.spec(7))
    make, spoilt = making.make_recipes, []

    def wider(*given):
        first, *others = make(*given)
        spoilt.append(first.name)
        return (replace(first, dtype="float64"), *others)

    monkeypatch.setattr(making, "make_recipes", wider)
    with pytest.raises(NotPreservedError, match="the proof fails for") as failed:
        teacher.apply(plan)
    assert list(failed.value.verification.proof.failed) == spoilt
