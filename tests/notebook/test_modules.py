"""Networks in memory: loaded from a checkpoint, grown out of a module, and left alone."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import net2net_cli
from net2net_cli.errors import (
    CheckpointError,
    DifferenceError,
    Net2NetError,
    SpecError,
    UnreachableError,
    UsageError,
)
from tests.support import zoo
from tests.verify.hand_built import randomize


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.bn(self.conv(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.fc1 = nn.Linear(8, 6)
        self.fc2 = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem(x))).mean((2, 3))
        return self.fc2(torch.tanh(self.fc1(x)))


@pytest.fixture(scope="module")
def batch() -> Tensor:
    return torch.randn(5, 3, 10, 10, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(0)
    return randomize(Net())


def apart(one: nn.Module, other: nn.Module, batch: Tensor) -> float:
    """The largest relative difference in evaluation and in training mode, of copies."""
    found = []
    for training in (False, True):
        with torch.no_grad():
            ours, theirs = (copy.deepcopy(m).train(training)(batch) for m in (one, other))
        found.append(float((ours - theirs).abs().max() / ours.abs().max()))
    return max(found)


def test_a_module_grows_and_stays_as_it_was(teacher: nn.Module, batch: Tensor) -> None:
    teacher.train()
    teacher.blocks[0].bn.eval()  # a norm that somebody has frozen
    modes = [part.training for part in teacher.modules()]
    before = copy.deepcopy(teacher.state_dict())
    student = net2net_cli.grow(teacher, width="x1.5", inputs=batch)
    assert student.training
    assert [part.training for part in teacher.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert student.stem.out_channels == 12
    assert student.stem.weight.dtype == torch.float64
    assert set(student.state_dict()) == set(before)
    assert apart(teacher, student, batch) <= 1e-10


def test_a_student_grows_on_and_needs_no_inputs(teacher: nn.Module, batch: Tensor) -> None:
    wider = net2net_cli.widen(teacher, "fc1", 9, inputs=batch, expansion="duplicate", seed=3)
    deeper = net2net_cli.deepen(wider, "blocks.0.conv", count=2)
    both = net2net_cli.grow(deeper, set={"stem.out_channels": 11})
    assert both.fc1.out_features == 9
    assert both.stem.out_channels == 11
    assert sum(isinstance(part, nn.Conv2d) for part in both.modules()) == 5
    for student in (wider, deeper, both):
        assert apart(teacher, student.eval(), batch) <= 1e-2  # inserted norms are estimated
        assert float((teacher.eval()(batch) - student(batch)).detach().abs().max()) <= 1e-10


def test_units_are_added(teacher: nn.Module, batch: Tensor) -> None:
    student = net2net_cli.grow(teacher, depth=["blocks=+1"], inputs=batch).eval()
    assert len(student.blocks) == 3
    assert float((teacher.eval()(batch) - student(batch)).detach().abs().max()) <= 1e-10


def test_the_same_arguments_give_the_same_student(teacher: nn.Module, batch: Tensor) -> None:
    one, again, other = (
        net2net_cli.widen(teacher, "fc1", 9, inputs=batch, seed=seed).state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(value, one[name]) for name, value in again.items())
    assert not torch.equal(one["fc1.weight"], other["fc1.weight"])


def test_a_student_is_a_module_like_any_other(teacher: nn.Module, batch: Tensor) -> None:
    student = net2net_cli.widen(teacher, "fc1", 9, inputs=batch)
    assert "class Network(nn.Module)" in inspect.getsource(type(student))
    assert torch.equal(pickle.loads(pickle.dumps(student))(batch), student(batch))
    student.train()(batch).sum().backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    memory = {parameter.data_ptr() for parameter in teacher.parameters()}
    assert not memory & {parameter.data_ptr() for parameter in student.parameters()}


def test_a_spec_that_says_something_else_is_found_out(tmp_path: Path) -> None:
    """The tensors fit; the activation is another."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    for kind in ("ReLU", "Tanh"):
        (tmp_path / f"{kind}.yaml").write_text(
            "net2net: 1\ninput: [4]\nlayers:\n  0: {type: Linear, out_features: 8}\n"
            f"  1: {{type: {kind}}}\n  2: {{type: Linear, out_features: 3}}\n"
        )
    net2net_cli.widen(module, "0", 10, source_spec=tmp_path / "Tanh.yaml")
    with pytest.raises(DifferenceError, match="does not compute what its spec says"):
        net2net_cli.widen(module, "0", 10, source_spec=tmp_path / "ReLU.yaml")


def test_what_is_refused(teacher: nn.Module, batch: Tensor) -> None:
    with pytest.raises(UsageError, match="has to be traced"):
        net2net_cli.widen(teacher, "fc1", 9)
    with pytest.raises(UsageError, match="nothing says what to grow into"):
        net2net_cli.grow(teacher, inputs=batch)
    with pytest.raises(UnreachableError):
        net2net_cli.widen(teacher, "fc2", 9, inputs=batch)
    with pytest.raises(SpecError):
        net2net_cli.grow(teacher, inputs=batch, set={"fc1.out_features": "many"})
    with pytest.raises(AttributeError):
        _ = net2net_cli.shrunk


class Chooses(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else x


UNFIT = (
    ("widen", {"layer": "fc9", "to": 16}, "there is no layer `fc9`"),
    ("widen", {"layer": 0, "to": 16}, 'layer= takes a layer by its name, as "fc1" or "0", not 0'),
    ("widen", {"layer": "0", "to": "x2"}, "to= takes a whole number from 1 on, not 'x2'"),
    ("widen", {"layer": "0", "to": True}, "to= takes a whole number from 1 on, not True"),
    ("widen", {"layer": "0", "to": 16, "inputs": [4]}, "inputs= takes a batch as a tensor"),
    ("widen", {"layer": "0", "to": 16, "inputs": ()}, "inputs= takes a batch as a tensor"),
    ("widen", {"layer": "0", "to": 16, "module": {}}, "a module is grown, not a dict"),
    ("widen", {"layer": "0", "to": 16, "inputs": torch.ones(2, 5)}, "cannot be traced with these"),
    ("widen", {"layer": "0", "to": 16, "module": Chooses(4, 4)}, "chooses its way by the values"),
    ("grow", {"width": "2"}, "`width` is a factor, as x1.5, not `2`"),
    ("grow", {"width": "x2", "noise": -0.1}, "noise= takes a number from 0 on, not -0.1"),
    ("grow", {"width": "x2", "noise": float("nan")}, "noise= takes a number from 0 on, not nan"),
    ("grow", {"width": "x2", "seed": "a"}, "seed= takes a whole number, not 'a'"),
    ("grow", {"width": "x2", "expansion": "dup"}, "there is no expansion `dup`"),
    ("grow", {"width": "x2", "split": "odd"}, "there is no split `odd`"),
    ("grow", {"set": "0.out_features=9"}, "set= takes names with values"),
    ("grow", {"depth": "layer3=+2"}, 'depth= takes a list of units to add, as ["layer3=+2"]'),
    ("grow", {"spec": "absent.yaml"}, "there is no such file"),
    ("deepen", {"after": "0", "count": 0}, "count= takes a whole number from 1 on, not 0"),
    ("deepen", {"after": "zz"}, "there is no layer `zz`"),
    ("deepen", {"after": "0", "name": "2"}, "2 exists already"),
)


@pytest.mark.parametrize(("function", "given", "message"), UNFIT)
def test_what_does_not_fit_is_said(function: str, given: dict[str, Any], message: str) -> None:
    """As an error of ours, and the teacher stays as it was."""
    teacher = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    before = copy.deepcopy(teacher.state_dict())
    arguments = {"module": teacher, "inputs": torch.ones(2, 4), **given}
    with pytest.raises(Net2NetError, match=re.escape(message)):
        getattr(net2net_cli, function)(**arguments)
    assert teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_spec_and_a_factor_go_together(tmp_path: Path) -> None:
    """As on the command line: what the spec says by name overrules the factor."""
    teacher = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    (tmp_path / "t.yaml").write_text(
        "net2net: 1\nextends: source\nlayers: {'0': {out_features: 13}}\n"
    )
    student = net2net_cli.grow(
        teacher, spec=tmp_path / "t.yaml", width="x2", inputs=[torch.ones(2, 4)]
    )
    assert [part.out_features for part in student if isinstance(part, nn.Linear)] == [13, 16, 3]


def test_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    spec = zoo.network("resnet18", 32)
    from net2net_cli.laying import layout_of
    from net2net_cli.verify.network import build

    state = zoo.random_state(layout_of(spec))
    save_file(state, tmp_path / "net.safetensors")
    loaded = net2net_cli.load(tmp_path / "net", source_spec=zoo.SPECS / "resnet18.yaml")
    assert not loaded.training
    images = zoo.random_inputs(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), build(spec, state)(images)[0], rtol=0, atol=0)
    with torch.no_grad():
        loaded.fc.weight.zero_()
    assert torch.equal(net2net_cli.load(tmp_path / "net", source_spec=zoo.SPECS / "resnet18.yaml")
                       .fc.weight, state["fc.weight"])  # fmt: skip


def test_names_that_would_be_code_stay_names(tmp_path: Path) -> None:
    """A checkpoint says what its layers are called, and the text of its class is run."""
    word = '"""+exec("raise\\x20SystemExit")+"""'
    for name in (word, "'''+exec(1)+'''", '\\"+exec(1)+"', "{exec(1)}"):
        state = {}
        for at, sizes in enumerate(((5, 4), (6, 5), (3, 6))):
            state[f"{name}.{at}.weight"] = torch.randn(sizes)
            state[f"{name}.{at}.bias"] = torch.randn(sizes[0])
        save_file(state, tmp_path / "odd.safetensors")
        assert net2net_cli.load(tmp_path / "odd").state_dict().keys() == state.keys()


@pytest.mark.parametrize("form", ["batch", "file"])
def test_calibrated_channels_hold_what_reaches_them(
    teacher: nn.Module, batch: Tensor, form: str, tmp_path: Path
) -> None:
    """In float64, against torch's own values; without it new channels begin at 0 and 1."""
    file = tmp_path / "data.safetensors"
    save_file({"x": batch}, file)
    student = net2net_cli.widen(
        teacher, "stem", 11, inputs=batch, expansion="fresh",
        calibrate=batch if form == "batch" else file,
    )  # fmt: skip
    assert apart(teacher, student, batch) <= 1e-10
    found: dict[str, Tensor] = {}
    norm = student.get_submodule("blocks.0.bn")
    norm.momentum = 0.0
    norm.register_forward_pre_hook(lambda _, given: found.update(reached=given[0]))
    with torch.no_grad():
        student.train()(batch)
    new = found["reached"][:, 8:]
    assert torch.allclose(norm.running_mean[8:], new.mean((0, 2, 3)), rtol=0, atol=1e-10)
    assert torch.allclose(
        norm.running_var[8:], new.var((0, 2, 3), correction=0), rtol=1e-10, atol=0
    )


def test_a_batch_on_which_nothing_is_measured_is_warned_of(
    teacher: nn.Module, batch: Tensor
) -> None:
    with pytest.warns(UserWarning, match="calibrate= has nothing to measure") as told:
        net2net_cli.widen(teacher, "stem", 11, inputs=batch, expansion="duplicate", calibrate=batch)
    assert [warning.filename for warning in told] == [__file__]


def test_what_calibrates_must_fit(teacher: nn.Module, batch: Tensor, tmp_path: Path) -> None:
    for wrong in ((batch, batch), 3 * [1]):
        with pytest.raises(UsageError, match="calibrate= takes a batch as a tensor"):
            net2net_cli.widen(teacher, "stem", 11, inputs=batch, calibrate=wrong)
    with pytest.raises(CheckpointError, match="has the shape"):
        net2net_cli.widen(teacher, "stem", 11, inputs=batch, calibrate=batch[:, :2])
    with pytest.raises(UsageError, match="no such file"):
        net2net_cli.deepen(teacher, "blocks.0.conv", inputs=batch, calibrate=tmp_path / "none")
