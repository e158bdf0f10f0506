"""A spec that was recognised from tensors: what is done with it is exact whatever they hide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from tests.support.command import Net2Net, process

Function = Callable[[torch.Tensor], torch.Tensor]
ACTIVATIONS = (torch.relu, torch.tanh, torch.sigmoid, functional.gelu, lambda x: x * x + 1)
TARGET = """
net2net: 1
extends: source
layers:
  more: {type: Linear, out_features: 16, after: assumed_1}
  relu: {type: ReLU}
"""


def run(state: dict[str, torch.Tensor], acts: Function, order: list[str]) -> torch.Tensor:
    """An MLP by its layers in order, ``*`` the activation that no tensor shows."""
    value = torch.randn(5, 12, generator=torch.Generator().manual_seed(1)).double()
    for name in order:
        if name == "*":
            value = acts(value)
        else:
            weight, bias = (state[f"{name}.{kind}"].double() for kind in ("weight", "bias"))
            value = functional.linear(value, weight, bias)
    return value


def marked(path: str) -> bool:
    """Whether a file says that its spec was only recognised."""
    with safe_open(path, "pt") as file:
        return file.metadata().get("net2net.assumed") == "1"


def kinds(net2net: Net2Net, *arguments: object) -> dict[str, str]:
    """What a command says beside its result: each message's severity."""
    said = json.loads(net2net(*arguments, "--json").out)["diagnostics"]
    return {item["message"]: item["severity"] for item in said}


BEFORE = ["fc1", "*", "fc2", "*", "out"]


@pytest.mark.parametrize(
    ("after", "order"),
    [
        ("fc1", ["fc1", "new", "*", "fc2", "*", "out"]),
        ("assumed_1", ["fc1", "*", "new", "fc2", "*", "out"]),
        ("out", [*BEFORE, "new"]),
    ],
)
def test_deepening_is_exact_whatever_the_activations_are(
    net2net: Net2Net, ckpt: Path, after: str, order: list[str]
) -> None:
    net2net("deepen", "ckpt", "--after", after, "--name", "new")
    student = load_file("ckpt-deepened.safetensors")
    for acts in ACTIVATIONS:
        before, found = run(load_file(ckpt), acts, BEFORE), run(student, acts, order)
        torch.testing.assert_close(found, before, rtol=0, atol=0)


def test_what_was_left_out_is_told(net2net: Net2Net, ckpt: Path) -> None:
    said = net2net("deepen", "ckpt", "--after", "fc1").err
    assert "inserted right behind `fc1`, without an activation: `assumed_1` is only assumed" in said
    assert "--source-spec FILE" in said
    last = net2net("deepen", "ckpt", "--after", "out", "-o", "last.safetensors").err
    assert "without an activation" not in last


def test_convolutions_too(net2net: Net2Net, folder: Path) -> None:
    torch.manual_seed(0)
    net = nn.ModuleDict({"a": nn.Conv2d(3, 4, 3, stride=2), "b": nn.Conv2d(4, 2, 4)}).double()
    save_file(net.state_dict(), "conv.safetensors")
    net2net("deepen", "conv", "--after", "a", "--name", "new", "--count", "2")
    student = load_file("conv-deepened.safetensors")
    x = torch.randn(2, 3, 32, 32).double()
    hidden = net["a"](x)
    value = hidden
    for name in ("new1", "new2"):
        value = functional.conv2d(
            value, student[f"{name}.weight"], student[f"{name}.bias"], padding=1
        )
    assert torch.equal(value, hidden)


def test_the_mark_goes_from_file_to_file(net2net: Net2Net, ckpt: Path) -> None:
    first = process("widen", "ckpt", "--layer", "fc1", "--to", "24", "-o", "-", cwd=ckpt.parent)
    second = process(
        "deepen", "-", "--after", "fc1", "--name", "new", "-o", "b.safetensors",
        cwd=ckpt.parent, given=first.stdout,
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    assert b"note: the spec in its metadata was recognised from tensors' shapes" in second.stderr
    assert b"`assumed_1` is only assumed" in second.stderr
    assert marked("b.safetensors")
    assert load_file("b.safetensors")["new.weight"].shape == (24, 24)
    net2net("plan", "b", "--set", "fc2.out_features=20", "-o", "plan.json")
    net2net("apply", "plan.json", "b", "-o", "c.safetensors")
    assert marked("c.safetensors")


@pytest.mark.parametrize("how", ["given", "beside", "given later"])
def test_a_spec_that_was_given_is_no_guess(net2net: Net2Net, ckpt: Path, how: str) -> None:
    name = "ckpt.yaml" if how == "beside" else "mine.yaml"
    if how == "given later":
        net2net("widen", ckpt, "--layer", "fc1", "--to", "20", "-o", "x.safetensors")
        assert marked("x.safetensors")
        ckpt = Path("x.safetensors")
    net2net("spec", ckpt, "-o", name)
    given = () if how == "beside" else ("--source-spec", name)
    said = net2net("deepen", ckpt, "--after", "fc1", *given, "-o", "y.safetensors").err
    assert "assumed" not in said
    assert not marked("y.safetensors")
    document = json.loads(net2net("inspect", "y", "--json").out)
    assert [row["type"] for row in document["layers"]][:4] == ["Linear", "ReLU"] * 2


def test_a_target_that_says_all_is_no_guess_either(net2net: Net2Net, ckpt: Path) -> None:
    Path("whole.yaml").write_text(
        "net2net: 1\ninput: [12]\nlayers:\n"
        "  fc1: {type: Linear, out_features: 20}\n  relu1: {type: ReLU}\n"
        "  fc2: {type: Linear, out_features: 8}\n  relu2: {type: ReLU}\n"
        "  out: {type: Linear, out_features: 4}\n"
        "rename: {assumed_1: relu1, assumed_3: relu2}\n"
    )
    net2net("grow", ckpt, "--spec", "whole.yaml", "-o", "x.safetensors")
    assert not marked("x.safetensors")


def test_what_depends_on_a_guess_is_warned_of(net2net: Net2Net, ckpt: Path) -> None:
    Path("target.yaml").write_text(TARGET)
    arguments = ("plan", ckpt, "--spec", "target.yaml")
    said = kinds(net2net, *arguments)
    [warning] = [text for text, severity in said.items() if severity == "warning"]
    assert "`relu` (ReLU)" in warning
    assert "only if `assumed_1` is what it was assumed to be" in warning
    net2net(*arguments, "-o", "plan.json")
    assert kinds(net2net, "apply", "plan.json", ckpt, "-o", "x.safetensors")[warning] == "warning"
    zero = ("widen", ckpt, "--layer", "fc1", "--to", "20", "--expansion")
    said = kinds(net2net, *zero, "zero", "-o", "zero.safetensors")
    assert any("map 0 to 0" in text for text, severity in said.items() if severity == "warning")
    for safe in ("fresh", "duplicate"):
        said = kinds(net2net, *zero, safe, "-o", f"{safe}.safetensors")
        assert "warning" not in said.values()


def test_a_bare_sequential_stays_one(net2net: Net2Net, folder: Path) -> None:
    """The numbers that its activations have are free for what is assumed there."""
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    torch.save(teacher.state_dict(), folder / "bare.pt")
    net2net("deepen", "bare", "--after", "0", "-o", "deeper.pt")
    student = nn.Sequential(
        nn.Linear(8, 16), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)
    ).double()
    student.load_state_dict(torch.load(folder / "deeper.pt"))
    x = torch.randn(9, 8, dtype=torch.float64)
    assert torch.equal(student(x), teacher(x))


def test_a_chain_beyond_reason_is_not_recognised(
    net2net: Net2Net, ckpt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many layers as a header can name would take minutes to be written down as a spec."""
    monkeypatch.setattr("net2net_cli.recognise.LONGEST", 3)
    net2net("inspect", "ckpt")
    monkeypatch.setattr("net2net_cli.recognise.LONGEST", 2)
    assert "its tensors are no plain chain" in net2net("inspect", "ckpt", code=2).err
