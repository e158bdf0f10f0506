"""Bad input of every kind: its exit code, and a message that names place and remedy."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.test_console import on_terminal
from tests.support.command import Net2Net

State = dict[str, torch.Tensor]
WIDEN = ("--layer", "fc1", "--to", "32")


class Code:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def edit(ckpt: Path, change: Callable[[State], object]) -> None:
    """Change the checkpoint behind the back of the spec that lies beside it."""
    state = load_file(ckpt)
    change(state)
    save_file(state, ckpt)


@pytest.fixture
def described(net2net: Net2Net, ckpt: Path) -> Path:
    """The checkpoint with its spec beside it."""
    net2net("spec", ckpt, "-o", "ckpt.yaml", "-q")
    return ckpt


def refused(net2net: Net2Net, *arguments: object, code: int = 2) -> str:
    """What is said, of one to four lines without a traceback, and that nothing is left behind."""
    before = sorted(Path.cwd().iterdir())
    ended = net2net(*arguments, code=code)
    assert sorted(Path.cwd().iterdir()) == before
    lines = [line for line in ended.err.splitlines() if not line.startswith(("note:", "warning:"))]
    assert 1 <= len(lines) <= 4, ended.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in ended.err
    return "\n".join(lines)


def test_a_missing_file_offers_the_nearest_names(net2net: Net2Net, ckpt: Path) -> None:
    said = refused(net2net, "widen", "cktp.safetensors", *WIDEN)
    assert "cktp.safetensors" in said
    assert "did you mean `ckpt.safetensors`" in said


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:4],
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: struct.pack("<Q", 2**60) + data[8:],
        lambda data: data[:8] + b"[" + data[9:],
        lambda data: data.replace(b'"F32"', b'"F99"', 1),
        lambda data: data.replace(b'"data_offsets":[0', b'"data_offsets":[4', 1),
        lambda data: bytes(len(data)),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told(
    net2net: Net2Net, ckpt: Path, damage: Callable[[bytes], bytes]
) -> None:
    ckpt.write_bytes(damage(ckpt.read_bytes()))
    assert "ckpt.safetensors" in refused(net2net, "widen", ckpt, *WIDEN)


def test_code_in_a_pickle_is_never_run(net2net: Net2Net, folder: Path) -> None:
    torch.save({"fc1.weight": Code()}, folder / "zipped.pt")
    (folder / "plain.bin").write_bytes(pickle.dumps({"fc1.weight": Code()}, protocol=2))
    for name in ("zipped.pt", "plain.bin"):
        assert name in refused(net2net, "widen", name, *WIDEN)
    assert not Path("ran").exists()


STATES: list[tuple[str, Callable[[State], object], str]] = [
    ("a tensor is missing", lambda s: s.pop("fc2.bias"), "fc2.bias"),
    ("one is too many", lambda s: s.update({"fc9.weight": torch.zeros(2)}), "fc9.weight"),
    ("one has another shape", lambda s: s.update({"fc2.bias": torch.zeros(9)}), "fc2.bias"),
    ("one has another rank", lambda s: s.update({"fc2.bias": torch.zeros(8, 1)}), "fc2.bias"),
    ("one is of integers", lambda s: s.update({"fc2.bias": torch.zeros(8).int()}), "fc2.bias"),
    ("one is quantised", lambda s: s.update({"fc1.weight": s["fc1.weight"].to(torch.int8)}),
     "fc1.weight"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change", "named"), STATES, ids=[s[0] for s in STATES])
def test_a_state_dict_that_does_not_fit_its_spec(
    net2net: Net2Net, described: Path, what: str, change: Callable[[State], object], named: str
) -> None:
    edit(described, change)
    said = refused(net2net, "widen", described, *WIDEN)
    assert named in said
    assert "  --> " in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("expansion", ["fresh", "duplicate"])
def test_nan_weights_are_warned_of_and_kept(
    net2net: Net2Net, described: Path, value: float, expansion: str
) -> None:
    edit(described, lambda s: s["out.bias"].fill_(value))
    arguments = ("widen", described, *WIDEN, "--expansion", expansion, "--split", "dyadic")
    ended = net2net(*arguments, "-o", f"{expansion}.safetensors")
    warning = "warning: `out.bias` holds NaN or infinite values in"
    assert f"{warning} {described}\n" in ended.err
    checked = net2net("verify", described, f"{expansion}.safetensors")
    assert f"{warning} {expansion}.safetensors\n" in checked.err
    assert ended.err.count(warning) == 1
    assert checked.err.count(warning) == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_command_that_writes_warns_of_infinite_weights(
    net2net: Net2Net, described: Path, dtype: torch.dtype
) -> None:
    state = {name: tensor.to(dtype) for name, tensor in load_file(described).items()}
    for name in ("fc1.bias", "fc2.bias", "fc2.weight", "out.bias"):
        state[name].view(-1)[1] = float("-inf")
    save_file(state, described)
    net2net("plan", described, "--set", "fc1.out_features=20", "-o", "plan.json")
    for arguments in (
        ("grow", described, "--set", "fc1.out_features=20", "-o", "a.safetensors"),
        ("apply", "plan.json", described, "-o", "b.safetensors"),
        ("deepen", described, "--after", "fc1", "-o", "c.safetensors"),
    ):
        document = json.loads(net2net(*arguments, "--json").out)
        said = [
            item["message"] for item in document["diagnostics"] if item["severity"] == "warning"
        ]
        names = "`fc1.bias`, `fc2.bias`, `fc2.weight` and 1 more"
        assert said == [f"{names} hold NaN or infinite values in {described}"]


def test_a_spec_of_another_network(net2net: Net2Net, ckpt: Path) -> None:
    Path("other.yaml").write_text(
        "net2net: 1\ninput: [3, 8, 8]\nlayers:\n"
        "  conv: {type: Conv2d, out_channels: 4, kernel_size: 3}\n"
    )
    said = refused(net2net, "widen", ckpt, "--source-spec", "other.yaml", *WIDEN)
    assert "conv.weight" in said or "fc1" in said


@pytest.mark.parametrize(("to", "code"), [(16, 2), (15, 3), (0, None), (-3, None), ("x", 2)])
def test_a_width_must_grow(net2net: Net2Net, ckpt: Path, to: object, code: int | None) -> None:
    ended = net2net("widen", ckpt, "--layer", "fc1", "--to", to, code=None)
    assert ended.code == code if code else ended.code in (2, 3)
    assert "hint: " in ended.err


def test_a_target_that_is_smaller(net2net: Net2Net, described: Path) -> None:
    spec = "net2net: 1\nextends: source\nlayers:\n  fc2: {out_features: 4}\n"
    Path("small.yaml").write_text(spec)
    said = refused(net2net, "grow", described, "--spec", "small.yaml", code=3)
    assert "shrinks from 8 to 4" in said
    assert "small.yaml:4" in said


def test_a_layer_that_does_not_exist(net2net: Net2Net, described: Path) -> None:
    for arguments in (
        ("widen", described, "--layer", "fc11", "--to", "32"),
        ("deepen", described, "--after", "fc11"),
        ("plan", described, "--set", "fc11.out_features=32"),
    ):
        assert "`fc1`" in refused(net2net, *arguments)


@pytest.mark.parametrize(
    "output", ["none/x.safetensors", "file.txt/x.safetensors", "/proc/x.safetensors", ""]
)
def test_an_output_that_cannot_be(net2net: Net2Net, ckpt: Path, output: str) -> None:
    Path("file.txt").write_text("")
    refused(net2net, "widen", ckpt, *WIDEN, "-o", output)


def test_a_folder_that_may_not_be_written(net2net: Net2Net, ckpt: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Path("locked").mkdir(mode=0o555)
    assert "not writable" in refused(net2net, "widen", ckpt, *WIDEN, "-o", "locked/x.safetensors")


def test_a_terminal_is_sent_no_checkpoint(ckpt: Path) -> None:
    shown = on_terminal("widen", ckpt, *WIDEN, "-o", "-", NO_COLOR="1")
    assert "error: a checkpoint cannot be written to a terminal" in shown


PLANS = [
    "",
    "{}",
    "[]",
    "null",
    "{",
    '{"operations": [], "format_version": 99}',
    '{"operations": [{"kind": "shrink"}], "format_version": 1}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", PLANS, ids=range(len(PLANS)))
def test_a_plan_that_is_none(net2net: Net2Net, ckpt: Path, text: str) -> None:
    Path("plan.json").write_text(text)
    assert "plan.json" in refused(net2net, "apply", "plan.json", ckpt)
    assert "is it the checkpoint?" in refused(net2net, "apply", ckpt, ckpt)


def test_probe_data_that_do_not_fit(net2net: Net2Net, ckpt: Path) -> None:
    save_file({"input": torch.zeros(4, 3)}, "few.safetensors")
    for option in ("--probe-data", "--calibrate"):
        for file in ("few.safetensors", "none.safetensors"):
            arguments = ("widen", ckpt, *WIDEN, "-o", "x.safetensors", option, file)
            if option == "--probe-data":
                assert file in refused(net2net, *arguments)


def test_a_student_larger_than_the_machine_is_refused_with_the_figure(
    net2net: Net2Net, ckpt: Path
) -> None:
    arguments = ("widen", ckpt, "--layer", "fc1", "--to", str(10**14))
    assert "GB free" in refused(net2net, *arguments)
    assert "GB of memory, and this machine has" in refused(net2net, *arguments, "-o", "x.pt")
