"""What training scripts save beside the weights: grown, or as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, optim

from net2net_cli.errors import OutputError
from tests.optimizer.nets import MLP_SPEC, Run, apart, mlp, save, trained
from tests.support.command import Net2Net

WIDER = ("--set", "fc1.out_features=17", "--set", "fc2.out_features=30")
Make = Callable[..., optim.Optimizer]


@pytest.fixture
def spec(folder: Path) -> Path:
    path = folder / "teacher.yaml"
    path.write_text(MLP_SPEC)
    return path


def test_averages_compute_what_theirs_did(net2net: Net2Net, folder: Path, spec: Path) -> None:
    run = trained(mlp(), optim.AdamW)
    average = optim.swa_utils.AveragedModel(run.network)
    run.step(5)
    average.update_parameters(run.network)
    scheduler = optim.lr_scheduler.StepLR(run.optimizer, 10)
    torch.save(
        {
            "epoch": 7,
            "model": run.network.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "model_ema": average.state_dict(),
            "shadow": {"decay": 0.9, "shadow_params": [p.clone() for p in average.parameters()]},
            "lr_scheduler": scheduler.state_dict(),
            "scaler": {"scale": 2.0**16, "growth_factor": 2.0},
        },
        "teacher.pt",
    )
    ended = net2net("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer-out", "state.pt")
    assert "grown as the weights are: model_ema, shadow" in ended.out
    assert "as they were: epoch, lr_scheduler, scaler" in ended.out
    state = torch.load("state.pt")
    assert list(state) == ["epoch", "optimizer", "model_ema", "shadow", "lr_scheduler", "scaler"]
    assert state["scaler"] == {"scale": 2.0**16, "growth_factor": 2.0}
    assert state["lr_scheduler"] == scheduler.state_dict()
    assert state["model_ema"]["n_averaged"] == 1
    student = optim.swa_utils.AveragedModel(mlp(17, 30))
    student.load_state_dict(state["model_ema"])
    torch.testing.assert_close(student(run.batch), average(run.batch), rtol=1e-12, atol=1e-12)
    listed = mlp(17, 30)
    with torch.no_grad():
        for parameter, value in zip(
            listed.parameters(), state["shadow"]["shadow_params"], strict=True
        ):
            parameter.copy_(value)
    torch.testing.assert_close(listed(run.batch), average(run.batch), rtol=1e-12, atol=1e-12)


def test_lightning(net2net: Net2Net, folder: Path) -> None:
    """Names under `model.`, optimizers in a list."""
    run = trained(mlp(), optim.AdamW)
    lines = MLP_SPEC.replace("  fc", "  model.fc").replace("  out", "  model.out")
    (folder / "teacher.yaml").write_text(lines)
    weights = {f"model.{name}": value for name, value in run.network.state_dict().items()}
    torch.save(
        {
            "epoch": 7, "global_step": 100, "pytorch-lightning_version": "2.5.0",
            "state_dict": weights, "optimizer_states": [run.optimizer.state_dict()],
            "lr_schedulers": [], "loops": {"fit_loop": {"state_dict": {}}},
        },
        "teacher.ckpt",
    )  # fmt: skip
    net2net("widen", "teacher.ckpt", "--layer", "model.fc1", "--to", 17, "--source-spec",
            "teacher.yaml", "-o", "student.safetensors")  # fmt: skip
    state = torch.load("student.optimizer.pt")
    assert state["global_step"] == 100
    (made,) = state["optimizer_states"]
    assert made["state"][0]["exp_avg"].shape == (17, 7)
    optimizer = optim.AdamW(mlp(17).parameters())
    optimizer.load_state_dict(made)


def test_two_optimizers_divide_a_network(net2net: Net2Net, folder: Path, spec: Path) -> None:
    run = trained(mlp(), optim.SGD)
    torch.save(run.network.state_dict(), "teacher.pt")
    body, head = run.network[:3], run.network[3:]
    both = optim.Adam(body.parameters()), optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    for optimizer in both:
        optimizer.step()
    torch.save({"opt_head": both[1].state_dict(), "opt_body": both[0].state_dict()}, "opt.pt")
    net2net("grow", "teacher.pt", *WIDER, "-o", "student.pt", "--optimizer", "opt.pt")
    state = torch.load("student.optimizer.pt")
    assert state["opt_head"]["net2net"]["param_names"] == [["out.weight", "out.bias"]]
    assert state["opt_head"]["state"][0]["momentum_buffer"].shape == (3, 30)
    assert state["opt_body"]["state"][2]["exp_avg"].shape == (30, 17)


def test_names_tell_what_numbers_cannot(net2net: Net2Net, folder: Path, spec: Path) -> None:
    """A part of the network only, in an order of its own."""
    run = trained(mlp(), optim.SGD)
    named = list(reversed(list(run.network.named_parameters())))[:4]
    optimizer = optim.Adam([(f"module.{name}", p) for name, p in named])
    optimizer.step()
    run.optimizer = optimizer
    save(run, folder)
    net2net("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer", "teacher.opt.pt")
    made = torch.load("s.optimizer.pt")
    assert made["param_groups"][0]["param_names"] == [
        "out.bias", "out.weight", "fc2.bias", "fc2.weight"
    ]  # fmt: skip
    assert made["state"][3]["exp_avg"].shape == (30, 17)


@pytest.mark.parametrize("decays", ["matrices", "no biases"])
def test_two_groups(net2net: Net2Net, folder: Path, spec: Path, decays: str) -> None:
    run = trained(mlp(), optim.SGD)
    pairs = list(run.network.named_parameters())
    groups = [
        {"params": [p for n, p in pairs if n.endswith("bias")], "weight_decay": 0.0},
        {"params": [p for n, p in pairs if not n.endswith("bias")]},
    ]
    run.optimizer = optim.AdamW(groups[:: -1 if decays == "matrices" else 1])
    run.step()
    save(run, folder)
    (folder / "bigger.yaml").write_text(
        "net2net: 1\nextends: source\nlayers:\n"
        "  fc1: {out_features: 17}\n"
        "  new: {type: Linear, out_features: 17, after: fc1}\n"
    )
    net2net("grow", "teacher.pt", "--spec", "bigger.yaml", "-o", "s.pt", "--optimizer",
            "teacher.opt.pt")  # fmt: skip
    made = torch.load("s.optimizer.pt")
    weights, biases = made["net2net"]["param_names"][:: 1 if decays == "matrices" else -1]
    assert weights == ["fc1.weight", "new.weight", "fc2.weight", "out.weight"]
    assert biases == ["fc1.bias", "new.bias", "fc2.bias", "out.bias"]


def test_a_students_state_is_read_again(net2net: Net2Net, folder: Path, spec: Path) -> None:
    """Its own file tells the names; nothing has to be guessed twice."""
    save(trained(mlp(), optim.AdamW), folder)
    net2net("widen", "teacher.pt", "--layer", "fc1", "--to", 17, "-o", "a.safetensors",
            "--optimizer", "teacher.opt.pt")  # fmt: skip
    ended = net2net("widen", "a.safetensors", "--layer", "fc2", "--to", 20, "-o", "b.safetensors",
                    "--optimizer", "a.optimizer.pt")  # fmt: skip
    assert "in the names in its groups" in ended.out
    optim.AdamW(mlp(17, 20).parameters()).load_state_dict(torch.load("b.optimizer.pt"))


def test_a_stream_has_no_place_for_it(net2net: Net2Net, folder: Path, spec: Path) -> None:
    run = trained(mlp(), optim.AdamW)
    torch.save({"model": run.network.state_dict(), "optimizer": run.optimizer.state_dict()},
               "teacher.pt")  # fmt: skip
    ended = net2net("widen", "teacher.pt", "--layer", "fc1", "--to", 17, "-o", "-", code=None)
    assert "the optimizer's state is left behind" in ended.err


class Lion(optim.Optimizer):
    """Chen et al. 2023: one moment, steps by its sign."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr, "betas": (0.9, 0.99)})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                moment = state.setdefault("exp_avg", torch.zeros_like(p))
                p.sub_(group["lr"] * torch.sign(0.9 * moment + 0.1 * p.grad))
                moment.mul_(0.99).add_(p.grad, alpha=0.01)


def adafactor(params: Any) -> optim.Optimizer:
    return optim.Adafactor(params, lr=1e-3)


@pytest.mark.parametrize("make", [Lion, adafactor, optim.Adadelta])
def test_the_next_step_is_taken(net2net: Net2Net, folder: Path, spec: Path, make: Make) -> None:
    teacher = trained(mlp(), make)
    save(teacher, folder)
    net2net("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer", "teacher.opt.pt")
    student = teacher.goes_on(mlp(17, 30), make, Path("s.pt"), Path("s.optimizer.pt"))
    before = student.step()
    assert student.step(20) < before


def test_adafactors_rows_and_columns(net2net: Net2Net, folder: Path, spec: Path) -> None:
    """What rows and columns say of each second moment grows as the second moment does."""
    teacher = trained(mlp(), adafactor)
    save(teacher, folder)
    full = {k: dict(v) for k, v in teacher.optimizer.state_dict()["state"].items()}
    for values in full.values():
        if "row_var" in values:
            values["variance"] = _product(values.pop("row_var"), values.pop("col_var"))
    groups = teacher.optimizer.state_dict()["param_groups"]
    torch.save({"state": full, "param_groups": groups}, "full.pt")
    how = ("--expansion", "duplicate", "--split", "dyadic", *WIDER)
    net2net("grow", "teacher.pt", *how, "-o", "a.pt", "--optimizer", "teacher.opt.pt")
    net2net("grow", "teacher.pt", *how, "-o", "b.pt", "--optimizer", "full.pt")
    factored, wanted = torch.load("a.optimizer.pt"), torch.load("b.optimizer.pt")
    for number, values in factored["state"].items():
        if "row_var" in values:
            found = _product(values["row_var"], values["col_var"])
            torch.testing.assert_close(found, wanted["state"][number]["variance"])


def _product(rows: Tensor, columns: Tensor) -> Tensor:
    return rows * columns / rows.mean(-2, keepdim=True)


def test_new_entries_do_not_take_long_steps(net2net: Net2Net, folder: Path, spec: Path) -> None:
    """A second moment of 0 under a high count of steps would make 3.2 times the learning rate."""
    make: Make = lambda params: optim.Adam(params, lr=1e-3)  # noqa: E731
    teacher = trained(mlp(), make, steps=100)
    save(teacher, folder)
    net2net("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer", "teacher.opt.pt")
    for seeded in (True, False):
        student = teacher.goes_on(mlp(17, 30), make, Path("s.pt"), Path("s.optimizer.pt"))
        states = [student.optimizer.state[p] for p in student.network.parameters()]
        new = [values["exp_avg"] == 0 for values in states]
        for values, where in zip(states, new, strict=True):
            values["step"].fill_(5000)
            if not seeded:
                values["exp_avg_sq"][where] = 0
        longest = longest_step(student, new)
        assert longest <= 1.5e-3 if seeded else longest > 3e-3


@pytest.mark.parametrize("make", [optim.Adam, optim.AdamW])
def test_restarted_averages_are_what_they_were_and_new_ones_begin(
    net2net: Net2Net, folder: Path, spec: Path, make: Make
) -> None:
    """By the definition of Adam's corrected averages (Kingma and Ba, 2015, algorithm 1)."""
    teacher = trained(mlp(), make, steps=200)
    save(teacher, folder)
    ended = net2net("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer", "teacher.opt.pt",
                    "--optimizer-map", "restart")  # fmt: skip
    assert "--optimizer-map" not in ended.out
    student = teacher.goes_on(mlp(17, 30), make, Path("s.pt"), Path("s.optimizer.pt"))
    states = [student.optimizer.state[p] for p in student.network.parameters()]
    for parameter, state in zip(teacher.network.parameters(), states, strict=True):
        old = teacher.optimizer.state[parameter]
        there = tuple(slice(n) for n in parameter.shape)
        assert (int(old["step"]), int(state["step"])) == (200, 50)
        for name, beta in (("exp_avg", 0.9), ("exp_avg_sq", 0.999)):
            wanted = old[name] / (1 - beta**200)
            torch.testing.assert_close(state[name][there] / (1 - beta**50), wanted)
            new = torch.ones_like(state[name], dtype=torch.bool)
            new[there] = False
            assert not state[name][new].any()
    new = [values["exp_avg"] == 0 for values in states]
    assert max(longest_step(student, new) for _ in range(40)) <= 2.5e-3


def test_what_is_not_adam_is_not_restarted(net2net: Net2Net, folder: Path, spec: Path) -> None:
    """Averages that are no such ones grow by the step map."""
    for make in (optim.NAdam, adafactor, lambda p: optim.Adam(p, amsgrad=True)):
        save(trained(mlp(), make), folder)
        for how in ("restart", "step"):
            net2net("grow", "teacher.pt", *WIDER, "-o", f"{how}.pt", "--overwrite", "--optimizer",
                    "teacher.opt.pt", "--optimizer-map", how)  # fmt: skip
        made, wanted = (torch.load(f"{how}.optimizer.pt") for how in ("restart", "step"))
        assert apart(made, wanted) == 0


def longest_step(run: Run, where: list[Tensor]) -> float:
    before = [p.detach().clone() for p in run.network.parameters()]
    run.step()
    after = [p.detach() for p in run.network.parameters()]
    moved = [(a - b).abs()[w] for a, b, w in zip(after, before, where, strict=True) if w.any()]
    return max(float(m.max()) for m in moved)


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_a_training_file_grows_into_one(
    net2net: Net2Net, folder: Path, spec: Path, wrapper: str
) -> None:
    """Keys stay in their order, and a script goes on from it as from its own file."""
    run = trained(mlp(), optim.AdamW)
    average = optim.swa_utils.AveragedModel(run.network)
    whole = {
        "epoch": 7, wrapper: run.network.state_dict(), "optimizer": run.optimizer.state_dict(),
        "ema": average.state_dict(), "model_name": "mlp",
    }  # fmt: skip
    torch.save(whole, "teacher.pt")
    ended = net2net("grow", "teacher.pt", *WIDER, "-o", "student.pt")
    assert "in it: Adam, carried on" in ended.out
    assert "--optimizer-map restart lets new units learn as fast" in ended.out
    assert sorted(path.name for path in folder.iterdir()) == [
        "student.pt", "teacher.pt", "teacher.yaml"
    ]  # fmt: skip
    net2net("grow", "teacher.pt", *WIDER, "-o", "bare.pt", "--optimizer-out", "bare.opt.pt")
    student, weights, state = (torch.load(f) for f in ("student.pt", "bare.pt", "bare.opt.pt"))
    assert list(student) == list(whole)
    assert student["epoch"] == 7
    assert student["model_name"] == "mlp"
    assert student[wrapper].keys() == weights.keys() == whole[wrapper].keys()
    assert all(torch.equal(student[wrapper][name], value) for name, value in weights.items())
    assert apart(student["optimizer"], state["optimizer"]) == 0
    network = mlp(17, 30)
    network.load_state_dict(student[wrapper])
    optimizer = optim.AdamW(network.parameters())
    optimizer.load_state_dict(student["optimizer"])
    Run(network, optimizer, run.batch, run.wanted).step(2)
    net2net("widen", "student.pt", "--layer", "fc1", "--to", 20, "-o", "wider.pt",
            "--source-spec", grown_spec(folder))  # fmt: skip
    assert torch.load("wider.pt")["optimizer"]["state"][0]["exp_avg"].shape == (20, 7)


def grown_spec(folder: Path) -> Path:
    """The spec of what WIDER gives."""
    path = folder / "grown.yaml"
    path.write_text(MLP_SPEC.replace("features: 10", "features: 17").replace(": 13", ": 30"))
    return path


def test_without_its_state_a_training_file_gives_the_weights(
    net2net: Net2Net, folder: Path, spec: Path
) -> None:
    run = trained(mlp(), optim.AdamW)
    torch.save(
        {"model": run.network.state_dict(), "optimizer": run.optimizer.state_dict()}, "teacher.pt"
    )
    net2net("grow", "teacher.pt", *WIDER, "-o", "student.pt", "--optimizer", "none")
    mlp(17, 30).load_state_dict(torch.load("student.pt"))


def test_a_file_of_two_networks_keeps_both(net2net: Net2Net, folder: Path, spec: Path) -> None:
    """The first of the known keys holds the weights; another is an average like any other."""
    run = trained(mlp(), optim.AdamW)
    older = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.step()
    torch.save(
        {"model": older, "state_dict": run.network.state_dict(),
         "optimizer": run.optimizer.state_dict()}, "teacher.pt",
    )  # fmt: skip
    ended = net2net("grow", "teacher.pt", *WIDER, "-o", "student.pt")
    assert "grown as the weights are: model" in ended.out
    student = torch.load("student.pt")
    for key, weights in (("model", older), ("state_dict", run.network.state_dict())):
        teacher, grown = mlp(), mlp(17, 30)
        teacher.load_state_dict(weights)
        grown.load_state_dict(student[key])
        torch.testing.assert_close(grown(run.batch), teacher(run.batch), rtol=1e-12, atol=1e-12)


def test_the_state_has_its_name_first_and_goes_where_the_student_gets_none(
    net2net: Net2Net, folder: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no killed run leaves a student that looks whole, but lacks its state."""
    save(trained(mlp(), optim.AdamW), folder)
    there = []

    def interrupted(temp: Path, output: Path, *, overwrite: bool) -> None:
        there.extend(path.name for path in folder.iterdir() if not path.name.startswith("."))
        raise OutputError("no room")

    monkeypatch.setattr("net2net_cli.io.sink.publish", interrupted)
    net2net("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer", "teacher.opt.pt", code=2)
    assert "s.optimizer.pt" in there
    assert "s.pt" not in there
    assert sorted(path.name for path in folder.iterdir()) == [
        "teacher.opt.pt", "teacher.pt", "teacher.yaml"
    ]  # fmt: skip


def test_what_a_killed_run_left_is_told(net2net: Net2Net, folder: Path, spec: Path) -> None:
    save(trained(mlp(), optim.AdamW), folder)
    (folder / "s.optimizer.pt").touch()
    given = ("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer", "teacher.opt.pt")
    ended = net2net(*given, code=2)
    assert "`s.optimizer.pt` exists, and no `s.pt`" in ended.err
    assert "a run that was killed may have left it" in ended.err
    net2net(*given, "--overwrite")
    assert torch.load("s.optimizer.pt")["state"][0]["exp_avg"].shape == (17, 7)
