"""Growing and then one step of training leave the same state as one step and then growing.

The gradients are torch's own, and so are the optimizers; nothing here knows the map. NET2NET_ALL=1
tries every optimizer on every network and split.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import optim

from tests.optimizer.nets import CONV_SPEC, MLP_SPEC, apart, conv, grow, mlp, save, trained
from tests.support.command import Net2Net

OPTIMIZERS = {
    "sgd": partial(optim.SGD, lr=0.02, momentum=0.9),
    "nesterov": partial(optim.SGD, lr=0.02, momentum=0.9, nesterov=True, dampening=0),
    "adam": partial(optim.Adam, lr=0.003),
    "amsgrad": partial(optim.Adam, lr=0.003, amsgrad=True),
    "adamw": partial(optim.AdamW, lr=0.003, weight_decay=0.1),
    "nadam": partial(optim.NAdam, lr=0.003),
    "radam": partial(optim.RAdam, lr=0.003),
    "adagrad": partial(optim.Adagrad, lr=0.01),
    "rmsprop": partial(optim.RMSprop, lr=0.003, momentum=0.9, centered=True, eps=0),
    "adamax": partial(optim.Adamax, lr=0.003, eps=0),
    "rprop": partial(optim.Rprop, lr=0.003),
}
NETS = {
    "mlp": (mlp, (17, 30), MLP_SPEC, ["fc1.out_features=17", "fc2.out_features=30"]),
    "conv": (conv, (6, 12), CONV_SPEC, ["conv1.out_channels=6", "dw.out_channels=6",
                                         "dw.groups=6", "conv2.out_channels=12",
                                         "t3.num_parameters=12"]),
}  # fmt: skip


CASES = [(o, n, s) for o in OPTIMIZERS for n in NETS for s in ("even", "dyadic")]
FEW = [
    ("sgd", "conv", "even"), ("adam", "mlp", "dyadic"), ("adam", "conv", "even"),
    ("amsgrad", "mlp", "even"), ("adagrad", "mlp", "even"), ("rmsprop", "conv", "dyadic"),
]  # fmt: skip


def wider(name: str) -> list[str]:
    return [word for setting in NETS[name][3] for word in ("--set", setting)]


@pytest.mark.parametrize(("name", "net", "split"), CASES if os.environ.get("NET2NET_ALL") else FEW)
def test_a_step_and_growth_commute(
    net2net: Net2Net, folder: Path, name: str, net: str, split: str
) -> None:
    make, (build, sizes, spec, _) = OPTIMIZERS[name], NETS[net]
    (folder / "spec.yaml").write_text(spec)
    teacher = trained(build(), make)
    save(teacher, folder)
    how = ("--expansion", "duplicate", "--split", split, *wider(net))
    grow(net2net, "teacher", *how)
    student = teacher.goes_on(
        build(*sizes), make, folder / "teacher-grown.pt", folder / "teacher-grown.opt.pt"
    )
    assert student.step() == pytest.approx(teacher.step(), rel=1e-12)
    save(teacher, folder, "later")
    grow(net2net, "later", *how)
    wanted = torch.load(folder / "later-grown.opt.pt")
    assert apart(wanted, student.optimizer.state_dict()) <= 1e-10


@pytest.mark.parametrize("how", ["fresh", "zero"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_old_weights_take_their_teachers_step(
    net2net: Net2Net, folder: Path, name: str, how: str
) -> None:
    """With units that are fresh, or zero, every old weight moves as in the teacher."""
    (folder / "spec.yaml").write_text(MLP_SPEC.replace("GELU", "Tanh"))
    make = OPTIMIZERS[name]
    build = lambda *sizes: _tanh(mlp(*sizes))  # noqa: E731
    teacher = trained(build(), make)
    save(teacher, folder)
    grow(net2net, "teacher", "--expansion", how, *wider("mlp"))
    student = teacher.goes_on(
        build(17, 30), make, folder / "teacher-grown.pt", folder / "teacher-grown.opt.pt"
    )
    teacher.step()
    student.step()
    for old, new in zip(
        teacher.network.state_dict().values(), student.network.state_dict().values(), strict=True
    ):
        there = new[tuple(slice(n) for n in old.shape)]
        assert float((there - old).abs().max()) <= 1e-10


def _tanh(network: torch.nn.Sequential) -> torch.nn.Sequential:
    network.t2 = torch.nn.Tanh()
    return network


def test_the_step_map_moves_the_function_as_the_teacher_moves_it(
    net2net: Net2Net, folder: Path
) -> None:
    """All copies of a weight together take its step, up to what one gradient adds to Adam's second
    moment; by the gradient map each of them takes all of it."""
    (folder / "spec.yaml").write_text(MLP_SPEC)
    make = partial(optim.Adam, lr=1e-4)
    teacher = trained(mlp(), make, steps=300)
    save(teacher, folder)
    before = teacher.network(teacher.batch).detach()
    apart_by = {}
    for how in ("gradient", "step"):
        grow(net2net, "teacher", "--expansion", "duplicate", "--split", "even", *wider("mlp"),
             "--optimizer-map", how, "--overwrite")  # fmt: skip
        student = teacher.goes_on(
            mlp(17, 30), make, folder / "teacher-grown.pt", folder / "teacher-grown.opt.pt"
        )
        student.step()
        apart_by[how] = student.network(student.batch).detach()
    teacher.step()
    moved = teacher.network(teacher.batch).detach() - before
    for how, least, most in (("step", 0.0, 0.02), ("gradient", 0.2, 9.0)):
        error = float((apart_by[how] - before - moved).norm() / moved.norm())
        assert least <= error <= most, (how, error)


@pytest.mark.parametrize("fused", [True, False])
def test_new_parameters_of_sgd_go_on_from_no_momentum(
    net2net: Net2Net, folder: Path, fused: bool
) -> None:
    """The fused step refuses parameters without one beside others: there, new ones have zeros."""
    (folder / "spec.yaml").write_text(MLP_SPEC)
    make = partial(optim.SGD, lr=0.02, momentum=0.9, fused=fused)
    save(trained(mlp(), make), folder)
    (folder / "deeper.yaml").write_text(
        "net2net: 1\nextends: source\nlayers:\n"
        "  new: {type: Linear, out_features: 10, after: fc1}\n"
    )
    grow(net2net, "teacher", "--spec", "deeper.yaml")
    teacher = mlp()
    network = torch.nn.Sequential(teacher.fc1, torch.nn.Linear(10, 10).double(), *teacher[1:])
    weights = torch.load(folder / "teacher-grown.pt")
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    optimizer = make(network.parameters())
    optimizer.load_state_dict(torch.load(folder / "teacher-grown.opt.pt"))
    before = network[1].weight.detach().clone()
    network(torch.ones(2, 7, dtype=torch.float64)).square().sum().backward()
    optimizer.step()
    wanted = before - 0.02 * network[1].weight.grad
    torch.testing.assert_close(network[1].weight.detach(), wanted, rtol=1e-12, atol=1e-14)
