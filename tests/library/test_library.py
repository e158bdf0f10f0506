"""Networks in memory: loaded from a checkpoint, grown out of a module, and left alone."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import net2net_cli
from net2net_cli.errors import DifferenceError, SpecError, UnreachableError, UsageError
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
    def grown(seed: int) -> dict[str, Tensor]:
        return net2net_cli.widen(teacher, "fc1", 9, inputs=batch, seed=seed).state_dict()

    assert all(torch.equal(value, grown(1)[name]) for name, value in grown(1).items())
    assert not torch.equal(grown(1)["fc1.weight"], grown(2)["fc1.weight"])


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
