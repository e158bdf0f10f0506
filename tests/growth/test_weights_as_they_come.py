"""Checkpoints as they are found: NaN and infinite weights, numbers that are no floats, shared
tensors that are listed twice, tensors that old versions of torch did not write."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from net2net_cli.api import Choices, RunOptions, apply_plan, make_plan, open_model, verify
from net2net_cli.errors import CheckpointError
from net2net_cli.expansion import SPLITS
from tests.growth.joined_nets import RESIDUAL, SHARED, Recurrent
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.nets import EXACT, Teacher, difference, outputs, teacher_of, worst

LINEAR = next(net for net in LAYER_NETS if net.name == "Linear")
GROUPED = next(net for net in LAYER_NETS if net.name == "Conv2d:depthwise")
NAN, INF = float("nan"), float("inf")
VERIFIED = RunOptions(overwrite=True)


def with_tensors(teacher: Teacher, changed: dict[str, Tensor | None]) -> Teacher:
    """The checkpoint with some tensors replaced, or left out where they are None."""
    state = {n: teacher.model.source.tensor(n).clone() for n in teacher.model.source.tensors}
    kept = {n: t for n, t in {**state, **changed}.items() if t is not None}
    save_file(kept, teacher.folder / "teacher.safetensors")
    model = open_model(str(teacher.folder / "teacher.safetensors"))
    return Teacher(model, teacher.module, teacher.folder)


def poked(teacher: Teacher, name: str, at: tuple[int, ...], value: float) -> Teacher:
    """With one number replaced, in the file and in the module."""
    tensor = teacher.model.source.tensor(name).clone()
    tensor[at] = value
    teacher.module.load_state_dict({**teacher.module.state_dict(), name: tensor})
    return with_tensors(teacher, {name: tensor})


POKES = (
    (LINEAR, "fc1.weight", (1, 2), NAN),
    (LINEAR, "fc2.weight", (0, 3), NAN),
    (LINEAR, "last.weight", (1, 1), NAN),
    (LINEAR, "last.weight", (2, 5), INF),
    (LINEAR, "last.bias", (0,), -INF),
    (GROUPED, "x.weight", (2, 0, 1, 1), NAN),
    (GROUPED, "x.bias", (3,), NAN),
    (RESIDUAL, "a.1.running_mean", (0,), NAN),
    (RESIDUAL, "head.weight", (1, 2, 0, 0), INF),
)


@pytest.mark.parametrize(
    ("net", "name", "at", "value"), POKES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_nan_and_infinity_stay_where_they_are(net, name, at, value, tmp_path):
    """Growth goes on; NaN meets NaN in the outputs, and what is finite is the same."""
    teacher = poked(teacher_of(net, tmp_path), name, at, value)
    ours = outputs(teacher.module, net.batch())
    assert not bool(ours.isfinite().all())
    for choices in (Choices(), *(Choices("duplicate", split) for split in SPLITS)):
        student = teacher.apply(teacher.plan(net.spec(7), choices), options=VERIFIED)
        assert student.grown.verification.passed
        comparison = student.grown.verification.probes[0].comparison
        assert comparison.nan_equal
        assert comparison.outputs[0].compared < 1
        theirs = outputs(student.into(net.module(7)), net.batch())
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("split", SPLITS)
def test_infinite_weight_is_not_shared(split, tmp_path):
    """inf shared among copies would be inf - inf: one copy takes it whole."""
    teacher = poked(teacher_of(LINEAR, tmp_path), "last.weight", (2, 5), INF)
    plan = teacher.plan(LINEAR.spec(8), Choices("duplicate", split))
    weight = teacher.apply(plan).state["last.weight"]
    assert int(weight.isinf().sum()) == 1
    assert not bool(weight.isnan().any())


def test_nan_elsewhere_is_seen_by_verify(tmp_path):
    teacher = teacher_of(LINEAR, tmp_path)
    student = teacher.apply(teacher.plan(LINEAR.spec(7)))
    state = student.state
    state["last.bias"][1] = NAN
    save_file(state, tmp_path / "spoilt.safetensors")
    (tmp_path / "spoilt.yaml").write_text(LINEAR.spec(7))
    found = verify(teacher.model, open_model(str(tmp_path / "spoilt.safetensors")))
    assert not found.passed
    assert not found.probes[0].comparison.nan_equal


WRONG = {
    "int64": torch.ones(8, 4, dtype=torch.int64),
    "int8": torch.ones(8, 4, dtype=torch.int8),
    "bool": torch.ones(8, 4, dtype=torch.bool),
    "complex64": torch.ones(8, 4, dtype=torch.complex64),
    "float8_e4m3fn": torch.ones(8, 4).to(torch.float8_e4m3fn),
    "float8_e5m2": torch.ones(8, 4).to(torch.float8_e5m2),
}


@pytest.mark.parametrize("dtype", WRONG)
def test_weight_that_is_no_float_is_refused_by_name(dtype, tmp_path):
    teacher = teacher_of(LINEAR, tmp_path)
    with pytest.raises(CheckpointError) as refused:
        with_tensors(teacher, {"fc2.weight": WRONG[dtype]})
    told = "\n".join(refused.value.lines())
    assert f"`fc2.weight` holds {dtype}" in told
    assert "teacher.safetensors" in told
    assert "dequantise" in told
    assert refused.value.exit_code == 2


def test_share_grows_one_tensor_for_both(tmp_path):
    teacher = teacher_of(SHARED, tmp_path)
    student = teacher.apply(teacher.plan(SHARED.spec(7), Choices("duplicate", "signed")))
    assert "again.weight" not in student.state
    assert worst(teacher.module, student.into(Recurrent(7)), SHARED.batch()) <= EXACT


class Twice(nn.Module):
    """Two layers that hold the same parameters, as torch's state dict lists them: twice."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first, self.step, self.again = nn.Linear(5, n), nn.Linear(n, n), nn.Linear(n, n)
        self.again.weight, self.again.bias = self.step.weight, self.step.bias
        self.head = nn.Linear(n, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(torch.relu(self.step(torch.tanh(self.first(x))))))


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
@pytest.mark.parametrize("expansion", ["fresh", "duplicate"])
def test_alias_in_a_state_dict_is_written_again(ending, expansion, tmp_path):
    """Both names, with the same numbers: `load_state_dict(strict=True)` asks for both."""
    torch.manual_seed(0)
    module = Twice(4).double()
    torch.save(module.state_dict(), tmp_path / "teacher.pt")
    (tmp_path / "teacher.yaml").write_text(SHARED.spec(4))
    (tmp_path / "target.yaml").write_text(SHARED.spec(7))
    model = open_model(str(tmp_path / "teacher.pt"))
    plan = make_plan(model, tmp_path / "target.yaml", choices=Choices(expansion, "random"))
    path = tmp_path / f"student.{ending}"
    grown = apply_plan(plan, model, str(path))
    assert grown.verification.passed
    source = open_model(str(path), str(tmp_path / "target.yaml")).source
    state = {name: source.tensor(name) for name in source.tensors}
    assert torch.equal(state["again.weight"], state["step.weight"])
    student = Twice(7).double()
    student.load_state_dict(state, strict=True)
    assert difference(module, student, SHARED.batch()) <= EXACT


def test_alias_that_differs_is_refused(tmp_path):
    """The spec says one parameter, the checkpoint holds two."""
    module = Twice(4).double()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state["again.weight"] += 1
    torch.save(state, tmp_path / "teacher.pt")
    (tmp_path / "teacher.yaml").write_text(SHARED.spec(4))
    (tmp_path / "target.yaml").write_text(SHARED.spec(7))
    with pytest.raises(CheckpointError, match=r"again\.weight.*step\.weight"):
        model = open_model(str(tmp_path / "teacher.pt"))
        plan = make_plan(model, tmp_path / "target.yaml")
        apply_plan(plan, model, str(tmp_path / "student.pt"), RunOptions(verify=False))
    assert not (tmp_path / "student.pt").exists()


def test_checkpoint_without_counts_stays_without(tmp_path):
    """num_batches_tracked came with torch 0.4; an inserted BatchNorm has one."""
    counts = ("a.1.num_batches_tracked", "a.4.num_batches_tracked")
    teacher = with_tensors(teacher_of(RESIDUAL, tmp_path), dict.fromkeys(counts))
    plan = teacher.plan(RESIDUAL.spec(7), Choices("duplicate"))
    student = teacher.apply(plan, options=VERIFIED)
    assert not any(name.endswith("tracked") for name in student.state)
    module = student.into(RESIDUAL.module(7))  # torch lets such files pass as of the old version
    assert worst(teacher.module, module, RESIDUAL.batch()) <= EXACT
    deeper = teacher.plan("""net2net: 1
extends: source
layers:
  new: {type: BatchNorm2d, after: a.0}
""")
    names = teacher.apply(deeper, options=VERIFIED).state
    assert [n for n in names if n.endswith("tracked")] == ["new.num_batches_tracked"]


def test_counts_are_carried_over(tmp_path):
    teacher = teacher_of(RESIDUAL, tmp_path)
    count = torch.tensor(77, dtype=torch.int32)  # as some exporters write it
    teacher = with_tensors(teacher, {"a.1.num_batches_tracked": count})
    state = teacher.apply(teacher.plan(RESIDUAL.spec(7))).state
    assert state["a.1.num_batches_tracked"].dtype == torch.int32
    assert state["a.1.num_batches_tracked"] == 77
