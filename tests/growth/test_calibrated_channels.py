"""``--calibrate``: fresh BatchNorm channels get the statistics of the student's own values, and the
function stays what it is."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from net2net_cli.api import Choices, ProbeOptions, RunOptions
from net2net_cli.errors import CheckpointError, UsageError
from net2net_cli.plan import Insert, Widen
from tests.growth.nets import EXACT, chain, difference, save_spec, save_teacher
from tests.verify.hand_built import randomize

SPEC = """net2net: 1
input: [3, 8, 8]
layers:
  conv: {type: Conv2d, out_channels: $a, kernel_size: 3}
  bn: {type: BatchNorm2d}
  act: {type: ReLU}
  conv2: {type: Conv2d, out_channels: $b, kernel_size: 3}
  bn2: {type: BatchNorm2d, eps: 0.01}
  act2: {type: ReLU}
  flat: {type: Flatten}
  last: {type: Linear, out_features: 3}
"""
DEEPER = """net2net: 1
extends: source
layers:
  conv: {out_channels: 9}
  conv2: {out_channels: 7}
  new: {type: Conv2d, out_channels: 7, kernel_size: 3, padding: 1, after: act2}
  new_bn: {type: BatchNorm2d}
  new_relu: {type: ReLU}
"""


def spec(a: int, b: int) -> str:
    return SPEC.replace("$a", str(a)).replace("$b", str(b))


def net(a: int, b: int, *, deeper: bool = False) -> nn.Module:
    """The network that ``spec`` describes; the deeper one is that of DEEPER."""
    new = {"new": nn.Conv2d(b, b, 3, padding=1), "new_bn": nn.BatchNorm2d(b), "new_relu": nn.ReLU()}
    return chain(
        conv=nn.Conv2d(3, a, 3), bn=nn.BatchNorm2d(a), act=nn.ReLU(),
        conv2=nn.Conv2d(a, b, 3), bn2=nn.BatchNorm2d(b, eps=0.01), act2=nn.ReLU(),
        **(new if deeper else {}), flat=nn.Flatten(), last=nn.Linear(16 * b, 3),
    )  # fmt: skip


def data(folder, count: int = 12):
    """A file of inputs that are no standard normal numbers, and the batch itself."""
    batch = torch.rand((count, 3, 8, 8), generator=torch.Generator().manual_seed(3)) * 3 - 1
    save_file({"input": batch}, folder / "data.safetensors")
    return folder / "data.safetensors", batch.double()


def reached(module: nn.Module, batch: torch.Tensor, mode: str) -> dict[str, torch.Tensor]:
    """What reaches each BatchNorm of a module, by its name."""
    found: dict[str, torch.Tensor] = {}
    norms = {n: m for n, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.momentum = 0.0  # training mode leaves the running statistics alone
        norm.register_forward_pre_hook(lambda _, given, name=name: found.update({name: given[0]}))
    with torch.no_grad():
        module.train(mode == "training")(batch)
    return found


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("target", [spec(9, 7), DEEPER], ids=["wider", "deeper"])
def test_fresh_channels_hold_what_the_student_gives_on_the_data(target, mode, tmp_path):
    """In evaluation mode the second norm's channels count on what the first one's were set to."""
    teacher = save_teacher(tmp_path, spec(6, 5), randomize(net(6, 5)))
    file, batch = data(tmp_path)
    plan = teacher.plan(target, Choices(mode=mode), calibrated=True)
    student = teacher.apply(plan, options=RunOptions(calibrate=file, verify=False))
    module = student.into(net(9, 7, deeper=target == DEEPER))
    assert difference(teacher.module, module, (batch,)) <= 1e-12
    old = teacher.module.state_dict()
    for name, value in reached(module, batch, mode).items():
        kept = len(old[f"{name}.running_mean"]) if name in ("bn", "bn2") else 5
        variance, mean = torch.var_mean(value, (0, 2, 3), correction=0)
        for part, wanted in (("running_mean", mean), ("running_var", variance)):
            found = student.state[f"{name}.{part}"]
            torch.testing.assert_close(found[kept:], wanted[kept:], rtol=1e-10, atol=1e-12)
            assert len(found) - kept > 1
            if name != "new_bn":
                assert torch.equal(found[:kept], old[f"{name}.{part}"])


def test_without_data_fresh_channels_begin_as_torch_has_it(tmp_path):
    teacher = save_teacher(tmp_path, spec(6, 5), randomize(net(6, 5)))
    student = teacher.apply(teacher.plan(spec(9, 7)))
    assert student.state["bn.running_mean"][6:].tolist() == [0] * 3
    assert student.state["bn.running_var"][6:].tolist() == [1] * 3
    assert {o.moments for o in student.plan.operations if isinstance(o, Widen)} == {"initial"}


def test_new_branches_are_calibrated_whole(net2net, tmp_path):
    """Those that nothing reads yet, and those that end in zeros; the function is kept."""
    before = """net2net: 1
input: [3, 8, 8]
layers:
  conv: {type: Conv2d, out_channels: 4, kernel_size: 1}
  add: {type: Add, branches: {a: {}, b: {c: {type: Conv2d, out_channels: 4, kernel_size: 1}}}}
  last: {type: Conv2d, out_channels: 3, kernel_size: 1}
"""
    more = "d: {k: {type: Conv2d, out_channels: 4, kernel_size: 1}, n: {type: BatchNorm2d}}"
    save_spec(tmp_path, before)
    state = load_file(tmp_path / "teacher.safetensors")
    file, batch = data(tmp_path)
    target = tmp_path / "target.yaml"
    target.write_text(before.replace("kernel_size: 1}}}}", f"kernel_size: 1}}}}, {more}}}}}"))
    net2net("grow", tmp_path / "teacher.safetensors", "--spec", target, "--calibrate", file,
            "-o", tmp_path / "s.safetensors")  # fmt: skip
    made = load_file(tmp_path / "s.safetensors")
    value = torch.conv2d(batch, state["conv.weight"], state["conv.bias"])
    value = torch.conv2d(value, made["add.d.k.weight"], made["add.d.k.bias"])
    variance, mean = torch.var_mean(value, (0, 2, 3), correction=0)
    torch.testing.assert_close(made["add.d.n.running_mean"], mean, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(made["add.d.n.running_var"], variance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_round_them_and_keep_the_function(dtype, tmp_path):
    teacher = save_teacher(tmp_path, spec(6, 5), randomize(net(6, 5)), dtype)
    file, batch = data(tmp_path)
    plan = teacher.plan(spec(9, 7), calibrated=True)
    student = teacher.apply(plan, options=RunOptions(calibrate=file))
    assert student.state["bn.running_var"].dtype == dtype
    module = student.into(net(9, 7))
    assert difference(teacher.module, module, (batch,)) <= EXACT
    variance = reached(module, batch, "training")["bn"].var((0, 2, 3), correction=0)
    found = student.state["bn.running_var"][6:].double()
    torch.testing.assert_close(found, variance[6:], rtol=torch.finfo(dtype).eps, atol=0)


def test_the_same_data_give_the_same_bytes_and_others_do_not(tmp_path):
    teacher = save_teacher(tmp_path, spec(6, 5), randomize(net(6, 5)))
    plan = teacher.plan(spec(9, 7), calibrated=True)
    found = []
    for count in (12, 12, 7):
        options = RunOptions(calibrate=data(tmp_path, count)[0], verify=False, overwrite=True)
        found.append(teacher.apply(plan, options=options).path.read_bytes())
    assert found[0] == found[1] != found[2]


def test_a_saved_plan_asks_for_the_data(tmp_path):
    teacher = save_teacher(tmp_path, spec(6, 5), randomize(net(6, 5)))
    plan = teacher.plan(spec(9, 7), calibrated=True)
    assert {o.moments for o in plan.operations if isinstance(o, Widen | Insert)} == {"calibration"}
    with pytest.raises(UsageError, match="from data"):
        teacher.apply(plan)


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (torch.rand(4, 3, 9, 9), r"has the shape \[4, 3, 9, 9\]"),
        (torch.full((4, 3, 8, 8), torch.nan), "holds NaN or infinite values"),
        (torch.rand(4, 3, 8, 8).index_fill(0, torch.tensor([2]), torch.inf), "holds NaN or inf"),
        (torch.rand(0, 3, 8, 8), "holds no examples"),
    ],
)
def test_data_that_do_not_fit_are_refused(batch, said, tmp_path):
    teacher = save_teacher(tmp_path, spec(6, 5), randomize(net(6, 5)))
    plan = teacher.plan(spec(9, 7), calibrated=True)
    save_file({"input": batch}, tmp_path / "data.safetensors")
    with pytest.raises(CheckpointError, match=said):
        teacher.apply(plan, options=RunOptions(calibrate=tmp_path / "data.safetensors"))
    assert not (tmp_path / "student.safetensors").exists()


def test_values_that_are_not_finite_are_refused(tmp_path):
    """The teacher's own weights make NaN of finite data."""
    module = randomize(net(6, 5))
    with torch.no_grad():
        module.bn.weight[0] = torch.nan
    teacher = save_teacher(tmp_path, spec(6, 5), module)
    plan = teacher.plan(spec(9, 7), calibrated=True)
    options = RunOptions(calibrate=data(tmp_path)[0], probe=ProbeOptions())
    with pytest.raises(CheckpointError, match="the values that reach `bn2` are NaN or infinite"):
        teacher.apply(plan, options=options)


def test_one_value_a_channel_has_no_statistics_in_training_mode(tmp_path):
    text = """net2net: 1
input: [3]
layers:
  fc: {type: Linear, out_features: 4}
  bn: {type: BatchNorm1d}
  last: {type: Linear, out_features: 2}
"""
    module = chain(fc=nn.Linear(3, 4), bn=nn.BatchNorm1d(4), last=nn.Linear(4, 2))
    teacher = save_teacher(tmp_path, text, randomize(module))
    save_file({"input": torch.rand(1, 3)}, tmp_path / "data.safetensors")
    options = RunOptions(calibrate=tmp_path / "data.safetensors")
    wider = text.replace("features: 4", "features: 6")
    with pytest.raises(UsageError, match="more than one value a channel") as refused:
        teacher.apply(teacher.plan(wider, calibrated=True), options=options)
    assert "--mode evaluation" in str(refused.value.hint)
    plan = teacher.plan(wider, Choices(mode="evaluation"), calibrated=True)
    assert teacher.apply(plan, options=options).state["bn.running_var"][4:].tolist() == [0, 0]


def test_nothing_to_calibrate_is_said(net2net, tmp_path):
    text = """net2net: 1
input: [3]
layers:
  fc: {type: Linear, out_features: 4}
  act: {type: ReLU}
  last: {type: Linear, out_features: 2}
"""
    module = chain(fc=nn.Linear(3, 4), act=nn.ReLU(), last=nn.Linear(4, 2))
    save_teacher(tmp_path, text, randomize(module))
    save_file({"input": torch.rand(5, 3)}, tmp_path / "data.safetensors")
    given = ("--calibrate", tmp_path / "data.safetensors")
    said = "--calibrate has nothing to measure"
    teacher = tmp_path / "teacher.safetensors"
    assert said in net2net("widen", teacher, "--layer", "fc", "--to", 6, *given).err
    assert said in net2net("plan", teacher, "--set", "fc.out_features=6", *given).err
