"""What is refused, and in what words: the real command, exit 2, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn, optim

from tests.optimizer.nets import MLP_SPEC, mlp, save, trained
from tests.support.command import Net2Net


@pytest.fixture
def teacher(folder: Path) -> Path:
    """teacher.pt and teacher.opt.pt, Adam's, in a folder that is entered."""
    (folder / "teacher.yaml").write_text(MLP_SPEC)
    save(trained(mlp(), optim.Adam), folder)
    return folder


def refused(net2net: Net2Net, *options: Any) -> str:
    before = sorted(Path().iterdir())
    ended = net2net(
        "widen", "teacher.pt", "--layer", "fc1", "--to", 12, "-o", "wide.pt", *options, code=2
    )
    assert sorted(Path().iterdir()) == before
    assert 1 <= len(ended.err.splitlines()) <= 4
    return ended.err


def test_another_models_state(net2net: Net2Net, teacher: Path) -> None:
    other = nn.Sequential(nn.Linear(7, 10), nn.Linear(10, 4)).double()
    torch.save(optim.Adam(other.parameters()).state_dict(), "other.pt")
    said = refused(net2net, "--optimizer", "other.pt")
    assert "the optimizer has 4 parameters, the network 6" in said
    assert "other.pt" in said


def test_another_order(net2net: Net2Net, teacher: Path) -> None:
    state = torch.load("teacher.opt.pt")
    numbers = list(state["state"])
    state["state"] = {n: state["state"][m] for n, m in zip(numbers, reversed(numbers), strict=True)}
    torch.save(state, "turned.pt")
    said = refused(net2net, "--optimizer", "turned.pt")
    assert "parameter 0 has the shape [3], and `fc1.weight` has [10, 7]" in said


def test_an_unknown_optimizer_is_named_and_can_start_afresh(
    net2net: Net2Net, teacher: Path
) -> None:
    state = torch.load("teacher.opt.pt")
    for values in state["state"].values():
        values["curvature"] = values.pop("exp_avg_sq")
    torch.save(state, "odd.pt")
    said = refused(net2net, "--optimizer", "odd.pt")
    assert "an unknown optimizer, which keeps `curvature`, `exp_avg`, `step`" in said
    assert "--optimizer-reset" in said
    net2net(
        "widen", "teacher.pt", "--layer", "fc1", "--to", 12, "-o", "wide.pt",
        "--optimizer", "odd.pt", "--optimizer-reset",
    )  # fmt: skip
    made = torch.load("wide.optimizer.pt")
    assert made["state"] == {}
    assert made["param_groups"][0]["params"] == list(range(6))


def test_eight_bits_are_named(net2net: Net2Net, teacher: Path) -> None:
    state = torch.load("teacher.opt.pt")
    for values in state["state"].values():
        values["state1"] = values.pop("exp_avg").to(torch.uint8)
        values["qmap1"] = values.pop("exp_avg_sq")
    torch.save(state, "eight.pt")
    assert "8 bits (bitsandbytes" in refused(net2net, "--optimizer", "eight.pt")


def test_a_state_that_misses_a_part(net2net: Net2Net, teacher: Path) -> None:
    state = torch.load("teacher.opt.pt")
    del state["state"][2]["exp_avg_sq"]
    torch.save(state, "holed.pt")
    said = refused(net2net, "--optimizer", "holed.pt")
    assert "the Adam state of parameter 2 misses `exp_avg_sq`" in said


def test_a_parameter_without_state_is_told(net2net: Net2Net, teacher: Path) -> None:
    """As one that got no gradient has none."""
    state = torch.load("teacher.opt.pt")
    del state["state"][3]
    torch.save(state, "frozen.pt")
    ended = net2net(
        "widen", "teacher.pt", "--layer", "fc1", "--to", 12, "-o", "wide.pt",
        "--optimizer", "frozen.pt",
    )  # fmt: skip
    assert "the teacher's optimizer keeps nothing of fc2.bias" in ended.out
    assert 3 not in torch.load("wide.optimizer.pt")["state"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3}, "holds no optimizer's state"),
        ({"state": {}, "param_groups": [{"lr": 1}]}, "list no `params`"),
        ({"state": {9: {}}, "param_groups": [{"params": [0, 1, 2, 3, 4, 5]}]}, "a state of `9`"),
        (
            {"optimizer_state_dict": {"base_optimizer_state": {}, "zero_stage": 2}},
            "DeepSpeed's ZeRO",
        ),
    ],
)
def test_no_state_dict(net2net: Net2Net, teacher: Path, content: Any, words: str) -> None:
    torch.save(content, "state.pt")
    assert words in refused(net2net, "--optimizer", "state.pt")


def test_a_rank_s_part(net2net: Net2Net, teacher: Path) -> None:
    for name in ("zero_pp_rank_0_mp_rank_00_optim_states.pt", "__0_0.distcp"):
        Path(name).write_bytes(b"x")
        assert "one rank's part" in refused(net2net, "--optimizer", name)


def test_files_that_are_none(net2net: Net2Net, teacher: Path) -> None:
    Path("empty.pt").touch()
    Path("text.pt").write_text("hello")
    assert "no optimizer's state `nowhere.pt`" in refused(net2net, "--optimizer", "nowhere.pt")
    assert "empty" in refused(net2net, "--optimizer", "empty.pt")
    assert "truncated, damaged or not torch's" in refused(net2net, "--optimizer", "text.pt")
    assert "a folder" in refused(net2net, "--optimizer", ".")


def test_code_is_never_run(net2net: Net2Net, teacher: Path) -> None:
    torch.save({"optimizer": optim.Adam}, "code.pt")
    assert "loading it would run" in refused(net2net, "--optimizer", "code.pt")


def test_options_that_do_not_go_together(net2net: Net2Net, teacher: Path) -> None:
    assert "none leaves no state" in refused(
        net2net, "--optimizer", "none", "--optimizer-out", "x.pt"
    )
    assert "there is no optimizer's state beside" in refused(net2net, "--optimizer-reset")
    assert "standard output is for" in refused(net2net, "--optimizer-out", "-")
    given = ("--optimizer", "teacher.opt.pt", "--optimizer-out")
    assert "is the student's name, too" in refused(net2net, *given, "wide.pt")
    assert "is the checkpoint that is read" in refused(
        net2net, *given, "teacher.opt.pt", "--overwrite"
    )
    Path("there.pt").touch()
    assert "exists" in refused(net2net, *given, "there.pt")


def _of(number: int, **values: Any) -> Any:
    def spoil(state: Any) -> None:
        state["state"][number] |= values

    return spoil


def _group(**values: Any) -> Any:
    def spoil(state: Any) -> None:
        state["param_groups"][0] |= values

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_of(2, exp_avg_sq={}), "`exp_avg_sq` in the Adam state of parameter 2 is no tensor"),
        (_of(2, exp_avg="x"), "is no tensor"),
        (_of(2, step="x"), "`step` in the Adam state of parameter 2 is no number"),
        (_of(2, exp_avg_sq=torch.ones(3, 3)), "shape [3, 3], which does not fit the others"),
        (_of(2, exp_avg_sq=torch.ones(13, 10).to_sparse()), "is sparse"),
        (_of(2, exp_avg_sq=torch.empty(13, 10, device="meta")), "has no data"),
        (_of(2, exp_avg_sq=torch.ones(13, 10).int()), "holds int32"),
        (_of(2, exp_avg=torch.ones(13, 10).to(torch.float8_e5m2)), "holds float8_e5m2, and no"),
        (_of(2, exp_avg=torch.zeros(1).expand(2**40)), "claims 4,398,046,511,104 bytes"),
        (_group(params=[[], 1, 2, 3, 4, 5]), "neither numbers nor names"),
        (_group(param_names=3), "do not fit its `params`"),
        (_group(initial_accumulator_value="x"), "`initial_accumulator_value` is no number"),
    ],
)
def test_states_that_cannot_be(net2net: Net2Net, teacher: Path, spoil: Any, words: str) -> None:
    state = torch.load("teacher.opt.pt")
    spoil(state)
    torch.save(state, "spoilt.pt")
    assert words in refused(net2net, "--optimizer", "spoilt.pt")


def test_an_average_that_cannot_be_read_is_none(net2net: Net2Net, teacher: Path) -> None:
    """It is passed on as it is, and the words say so."""
    ema = {name: tensor.to_sparse() for name, tensor in torch.load("teacher.pt").items()}
    torch.save({"optimizer": torch.load("teacher.opt.pt"), "ema": ema}, "run.pt")
    ended = net2net(
        "widen", "teacher.pt", "--layer", "fc1", "--to", 12, "-o", "wide.pt", "--optimizer",
        "run.pt", "-v",
    )  # fmt: skip
    assert "ema" in ended.out
    assert torch.load("wide.optimizer.pt")["ema"]["fc1.weight"].shape == (10, 7)


def test_nothing_under_an_unknown_name_stays_nothing(net2net: Net2Net, teacher: Path) -> None:
    """As torch keeps None where an option is off, so may a version of torch that is not known."""
    state = torch.load("teacher.opt.pt")
    state["state"][0]["later"] = None
    torch.save(state, "teacher.opt.pt")
    net2net("widen", "teacher.pt", "--layer", "fc1", "--to", 12, "-o", "wide.pt",
            "--optimizer", "teacher.opt.pt")  # fmt: skip
    assert torch.load("wide.optimizer.pt")["state"][0]["later"] is None
