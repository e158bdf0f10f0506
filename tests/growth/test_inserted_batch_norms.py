"""A BatchNorm that is inserted undoes itself: in evaluation mode whatever its statistics are, in
training mode where they are those of the values that reach it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from net2net_cli.api import MEASURED_ON, Choices, ProbeOptions, RunOptions, deepen_plan
from net2net_cli.errors import UsageError
from net2net_cli.execute import closed_form_moments
from net2net_cli.moments import NormalPart
from net2net_cli.plan import Insert
from tests.growth.nets import EXACT, Teacher, chain, difference, save_teacher
from tests.verify.hand_built import randomize

SPEC = """net2net: 1
input: [3, 8, 8]
layers:
  conv: {type: Conv2d, out_channels: 6, kernel_size: 3}
  bn: {type: BatchNorm2d}
  act: {type: ReLU}
  pool: {type: MaxPool2d, kernel_size: 2}
  conv2: {type: Conv2d, out_channels: 5, kernel_size: 2}
  bn2: {type: BatchNorm2d}
  act2: {type: ReLU}
  flat: {type: Flatten}
  last: {type: Linear, out_features: 3}
"""
BEHIND_POOL = """net2net: 1
extends: source
layers:
  new: {type: Conv2d, out_channels: 6, kernel_size: 3, padding: 1, after: pool}
  new_bn: {type: BatchNorm2d, eps: 0.001}
  new_relu: {type: ReLU}
  wide: {type: Conv2d, out_channels: 9, kernel_size: 1, after: act2}
  wide_bn: {type: BatchNorm2d}
  wide_relu: {type: ReLU}
"""


def teacher_net() -> nn.Module:
    return chain(
        conv=nn.Conv2d(3, 6, 3), bn=nn.BatchNorm2d(6), act=nn.ReLU(), pool=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 5, 2), bn2=nn.BatchNorm2d(5), act2=nn.ReLU(), flat=nn.Flatten(),
        last=nn.Linear(20, 3),
    )  # fmt: skip


def student_net() -> nn.Module:
    """The teacher with the insertions of BEHIND_POOL."""
    return chain(
        conv=nn.Conv2d(3, 6, 3), bn=nn.BatchNorm2d(6), act=nn.ReLU(), pool=nn.MaxPool2d(2),
        new=nn.Conv2d(6, 6, 3, padding=1), new_bn=nn.BatchNorm2d(6, eps=0.001), new_relu=nn.ReLU(),
        conv2=nn.Conv2d(6, 5, 2), bn2=nn.BatchNorm2d(5), act2=nn.ReLU(),
        wide=nn.Conv2d(5, 9, 1), wide_bn=nn.BatchNorm2d(9), wide_relu=nn.ReLU(),
        flat=nn.Flatten(), last=nn.Linear(36, 3),
    )  # fmt: skip


def data(folder, count: int = 12, seed: int = 3):
    """A file of inputs that are no standard normal numbers, and the batch itself."""
    batch = torch.rand((count, 3, 8, 8), generator=torch.Generator().manual_seed(seed)) * 3 - 1
    save_file({"input": batch}, folder / "data.safetensors")
    return folder / "data.safetensors", (batch.double(),)


def moments(plan) -> dict[str, str | None]:
    return {o.layer: o.moments for o in plan.operations if isinstance(o, Insert)}


@pytest.mark.parametrize("choices", [Choices(), Choices("duplicate", "signed")])
def test_with_data_training_mode_is_kept_on_the_same_batch(choices, tmp_path):
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()))
    file, batch = data(tmp_path)
    plan = teacher.plan(BEHIND_POOL, choices, calibrated=True)
    assert moments(plan)["new_bn"] == moments(plan)["wide_bn"] == "calibration"
    options = RunOptions(calibrate=file, probe=ProbeOptions(data=file))
    student = teacher.apply(plan, options=options)
    evaluation, training = student.grown.verification.probes
    assert evaluation.tolerance == EXACT
    assert training.tolerance == 1e-8
    module = student.into(student_net())
    assert difference(teacher.module, module, batch) <= EXACT
    assert difference(teacher.module, module, batch, "training") <= 1e-8


def test_running_statistics_are_the_datas_own(tmp_path):
    """Those of the values in training mode: where the norms before them use the batch's."""
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()))
    file, (batch,) = data(tmp_path)
    plan = teacher.plan(BEHIND_POOL, calibrated=True)
    state = teacher.apply(plan, options=RunOptions(calibrate=file)).state
    front = teacher.module[:4].train()
    with torch.no_grad():
        value = front(batch)
    variance, mean = torch.var_mean(value, (0, 2, 3), correction=0)
    for name, wanted in (("running_mean", mean), ("bias", mean), ("running_var", variance),
                         ("weight", (variance + 0.001).sqrt())):  # fmt: skip
        torch.testing.assert_close(state[f"new_bn.{name}"], wanted, rtol=1e-12, atol=1e-14)
    assert state["new_bn.num_batches_tracked"] == 0


def test_the_statistics_of_the_other_pass_can_be_asked_for(tmp_path):
    """Those of the values in evaluation mode, where the norms before them use the running ones."""
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()))
    file, (batch,) = data(tmp_path)
    plan = teacher.plan(BEHIND_POOL, Choices(mode="evaluation"), calibrated=True)
    student = teacher.apply(plan, options=RunOptions(calibrate=file, verify=False))
    with torch.no_grad():
        value = teacher.module[:4].eval()(batch)
    variance, mean = torch.var_mean(value, (0, 2, 3), correction=0)
    torch.testing.assert_close(student.state["new_bn.running_mean"], mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(student.state["new_bn.running_var"], variance, rtol=1e-12, atol=0)
    with pytest.raises(UsageError, match="no mode"):
        teacher.plan(BEHIND_POOL, Choices(mode="eval"))


def test_calibration_without_data_is_wrong_usage(tmp_path):
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()))
    plan = teacher.plan(BEHIND_POOL, calibrated=True)
    with pytest.raises(UsageError) as refused:
        teacher.apply(plan)
    assert "--calibrate" in str(refused.value.hint)


def test_without_data_the_plan_says_where_statistics_come_from(tmp_path):
    """Behind BatchNorm and ReLU the closed form; behind a pooling of them the probes."""
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()))
    plan = teacher.plan(BEHIND_POOL)
    assert moments(plan)["new_bn"] == "probes"
    assert moments(plan)["wide_bn"] == "closed form"
    assert moments(plan)["new"] is None
    student = teacher.apply(plan, options=RunOptions())
    evaluation, training = student.grown.verification.probes
    assert evaluation.comparison.relative_error <= EXACT
    assert training.passed
    batch = (torch.randn(5, 3, 8, 8, dtype=torch.float64),)
    assert difference(teacher.module, student.into(student_net()), batch) <= EXACT


def test_probes_that_measured_it_find_training_mode_kept(tmp_path):
    """As many random inputs as gave the statistics are the same inputs."""
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()))
    text = BEHIND_POOL.partition("  wide:")[0]
    options = RunOptions(probe=ProbeOptions(MEASURED_ON))
    student = teacher.apply(teacher.plan(text), options=options)
    assert [j.comparison.relative_error <= EXACT for j in student.grown.verification.probes] == [
        True, True
    ]  # fmt: skip


def wide_teacher(folder, kind: str) -> tuple[Teacher, nn.Module, torch.Tensor]:
    """A wide net that a Gaussian input keeps Gaussian in front of its BatchNorm; its student."""
    torch.manual_seed(0)
    conv = kind == "Conv2d"
    shape, batch = ([8, 6, 6], 512) if conv else ([64], 4096)
    first = "out_channels: 96, kernel_size: 3" if conv else "out_features: 96"
    tail = "  pool: {type: AdaptiveAvgPool2d, output_size: 2}\n  flat: {type: Flatten}\n"
    spec = f"""net2net: 1
input: {shape}
layers:
  first: {{type: {kind}, {first}}}
  bn: {{type: BatchNorm{2 if conv else 1}d}}
  act: {{type: ReLU}}
{tail if conv else ""}  last: {{type: Linear, out_features: 10}}
"""

    def net(*, deeper: bool) -> nn.Module:
        norm = nn.BatchNorm2d if conv else nn.BatchNorm1d
        layers = {"first": nn.Conv2d(8, 96, 3) if conv else nn.Linear(64, 96),
                  "bn": norm(96), "act": nn.ReLU()}  # fmt: skip
        if deeper:
            layers["new"] = nn.Conv2d(96, 96, 3, padding=1) if conv else nn.Linear(96, 96)
            layers["new_bn"], layers["new_relu"] = norm(96), nn.ReLU()
        if conv:
            layers["pool"], layers["flat"] = nn.AdaptiveAvgPool2d(2), nn.Flatten()
        layers["last"] = nn.Linear(384 if conv else 96, 10)
        return chain(**layers)

    teacher = save_teacher(folder, spec, randomize(net(deeper=False)))
    inputs = torch.randn([batch, *shape], dtype=torch.float64)
    return teacher, net(deeper=True), inputs


@pytest.mark.parametrize("kind", ["Linear", "Conv2d"])
def test_closed_form_keeps_training_mode_where_values_are_gaussian(kind, tmp_path):
    teacher, module, inputs = wide_teacher(tmp_path, kind)
    plan = deepen_plan(teacher.model, "first", "new")
    assert moments(plan)["new_bn"] == "closed form"
    student = teacher.apply(plan).into(module)
    assert difference(teacher.module, student, (inputs[:8],)) <= EXACT
    assert difference(teacher.module, student, (inputs,), "training") <= 2e-2


def test_fresh_statistics_would_not(tmp_path):
    """What the closed form is worth: with mean 0 and variance 1 the first step goes astray."""
    teacher, module, inputs = wide_teacher(tmp_path, "Linear")
    student = teacher.apply(deepen_plan(teacher.model, "first", "new")).into(module)
    norm = student.new_bn
    with torch.no_grad():
        norm.weight.fill_((1 + norm.eps) ** 0.5)
        norm.bias.zero_()
        norm.running_mean.zero_()
        norm.running_var.fill_(1)
    assert difference(teacher.module, student, (inputs[:8],)) <= EXACT
    assert difference(teacher.module, student, (inputs,), "training") > 0.2


GAMMA = torch.tensor([1.0, -0.7, 2.0, 0.3, 1.5, 0.0, 0.0, 1e-3], dtype=torch.float64)
BETA = torch.tensor([0.0, 0.5, -3.0, 2.0, -0.2, 0.4, -0.4, 0.0], dtype=torch.float64)


def formula(*, rectified: bool) -> tuple[torch.Tensor, torch.Tensor]:
    part = NormalPart("bn.weight", "bn.bias", rectified)
    return closed_form_moments((part,), {"bn.weight": GAMMA, "bn.bias": BETA}.__getitem__)


def integrated(*, rectified: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of beta + |gamma| z, rectified or not, by integration over z."""
    z = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / (2 * torch.pi) ** 0.5
    means, variances = [], []
    for gamma, beta in zip(GAMMA.tolist(), BETA.tolist(), strict=True):
        x = beta + abs(gamma) * z
        x = x.clamp_min(0) if rectified else x
        mean = torch.trapezoid(x * density, z)
        means.append(mean)
        variances.append(torch.trapezoid((x - mean) ** 2 * density, z))
    return torch.stack(means), torch.stack(variances)


@pytest.mark.parametrize("rectified", [True, False])
def test_moments_are_those_of_the_formula(rectified):
    for found, wanted in zip(
        formula(rectified=rectified), integrated(rectified=rectified), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)


def test_moments_are_those_of_sampled_gaussians():
    z = torch.randn(400_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sample = (BETA + GAMMA * z).clamp_min(0)
    variance, mean = torch.var_mean(sample, 0, correction=0)
    found_mean, found_variance = formula(rectified=True)
    torch.testing.assert_close(found_mean, mean, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(found_variance, variance, rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_types_undo_themselves_as_well_as_they_can(dtype, tmp_path):
    """gamma and variance are rounded as a pair."""
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()), dtype)
    student = teacher.apply(teacher.plan(BEHIND_POOL), options=RunOptions())
    batch = (torch.randn(5, 3, 8, 8, dtype=torch.float64),)
    error = difference(teacher.module, student.into(student_net()), batch)
    assert error <= 4 * torch.finfo(dtype).eps


def test_same_form_for_a_norm_that_shares_its_parameters(tmp_path):
    """The owner's gamma and beta are read; the checkpoint has no others."""
    spec = """net2net: 1
input: [5]
layers:
  fc: {type: Linear, out_features: 6}
  bn: {type: BatchNorm1d}
  fc2: {type: Linear, out_features: 6}
  again: {type: BatchNorm1d, share: bn}
  act: {type: ReLU}
  last: {type: Linear, out_features: 3}
"""

    class Net(nn.Module):
        def __init__(self, *, deeper: bool) -> None:
            super().__init__()
            self.fc, self.bn, self.fc2 = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 6)
            if deeper:
                self.new, self.new_bn = nn.Linear(6, 6), nn.BatchNorm1d(6)
            self.last = nn.Linear(6, 3)

        def forward(self, x):
            x = self.bn(self.fc2(self.bn(self.fc(x)))).relu()
            if hasattr(self, "new"):
                x = self.new_bn(self.new(x)).relu()
            return self.last(x)

    teacher = save_teacher(tmp_path, spec, randomize(Net(deeper=False)))
    plan = deepen_plan(teacher.model, "fc2", "new")
    assert moments(plan)["new_bn"] == "closed form"
    student = teacher.apply(plan, options=RunOptions())
    batch = (torch.randn(7, 5, dtype=torch.float64),)
    assert difference(teacher.module, student.into(Net(deeper=True)), batch) <= EXACT


def test_estimated_statistics_depend_on_the_plan_and_not_on_how_it_is_verified(tmp_path):
    """Another seed of the plan, another estimate; other probes, the same bytes."""
    teacher = save_teacher(tmp_path, SPEC, randomize(teacher_net()))
    plans = [teacher.plan(BEHIND_POOL, choices=Choices(seed=seed)) for seed in (0, 0, 1)]
    options = RunOptions(verify=False)
    probes = (ProbeOptions(seed=3), ProbeOptions(probes=2), ProbeOptions())
    found = [
        teacher.apply(plan, f"s{i}", replace(options, probe=probe))
        for i, (plan, probe) in enumerate(zip(plans, probes, strict=True))
    ]
    first, same, other = (student.path.read_bytes() for student in found)
    assert first == same
    assert first != other
