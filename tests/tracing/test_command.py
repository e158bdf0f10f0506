"""``net2net trace`` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli.tracing import random_state
from tests.support import vision  # noqa: F401 - before transformers
from tests.support.command import Net2Net, process
from tests.tracing import nets


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(Path(nets.__file__), tmp_path / "mynets.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_traced_spec_grows_the_modules_checkpoint(net2net: Net2Net, folder: Path) -> None:
    ended = process("trace", "mynets:LeNet", "--arg", "width=8", "--input", "1,1,28,28",
                    "-o", "lenet.yaml", cwd=folder)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert b"0.0e+00 apart in float64" in ended.stderr
    save_file(random_state(nets.LeNet(8), torch.float64), folder / "lenet.safetensors")
    assert "function" in net2net("widen", "lenet", "--layer", "conv2", "--to", 20).out


def test_the_spec_is_printed_and_in_the_document(net2net: Net2Net, folder: Path) -> None:
    told = net2net("trace", "mynets:TwoHeads", "--input", "1,5")
    assert "outputs: [points, sigmoid]" in told.out
    held = json.loads(net2net("trace", "mynets:TwoHeads", "--input", "1,5", "--json").out)
    assert held["spec"] == told.out


def test_inputs_may_come_from_a_file(net2net: Net2Net, folder: Path) -> None:
    save_file({"x": torch.randn(2, 5)}, "batch.safetensors")
    by_file = net2net("trace", "mynets:TwoHeads", "--input-file", "batch.safetensors").out
    assert by_file == net2net("trace", "mynets:TwoHeads", "--input", "x=1,5").out


def test_transformers_are_built_from_parts_of_their_config(net2net: Net2Net, folder: Path) -> None:
    said = ["config.hidden_sizes=[8,16]", "config.depths=[1,1]", "config.embedding_size=8",
            "config.num_labels=3"]  # fmt: skip
    given = [word for pair in said for word in ("--arg", pair)]
    told = net2net("trace", "transformers:ResNetForImageClassification", *given,
                   "--input", "1,3,32,32")  # fmt: skip
    assert "resnet:\n" in told.out
    assert "out_features: 3" in told.out


def test_a_checkpoint_of_another_network_is_refused(net2net: Net2Net, folder: Path) -> None:
    net2net("trace", "mynets:LeNet", "--input", "1,1,28,28", "-o", "lenet.yaml")
    save_file(random_state(nets.LeNet(8), torch.float32), "lenet.safetensors")
    ended = net2net("widen", "lenet", "--layer", "conv2", "--to", 20, code=2)
    assert "`conv1.weight` has shape [8, 1, 5, 5]" in ended.err


def test_a_width_that_a_buffer_holds_does_not_grow(net2net: Net2Net, folder: Path) -> None:
    net2net("trace", "mynets:WithTable", "--input", "1,4", "-o", "table.yaml")
    save_file(random_state(nets.WithTable(), torch.float32), "table.safetensors")
    ended = net2net("widen", "table", "--layer", "fc1", "--to", 12, code=3)
    assert "multiply aligns it with an axis that never grows" in ended.err


WRONG = [
    ("trace mynets --input 1,5", "`mynets` names no factory"),
    ("trace nowhere:Net --input 1,5", "there is no module `nowhere` to import"),
    ("trace mynets:LeNett --input 1,5", "has no `LeNett`"),
    ("trace mynets:no_module --input 1,5", "returned int, not a torch.nn.Module"),
    ("trace mynets:EXAMPLE --input 1,5", "has no `EXAMPLE`"),
    ("trace mynets:TwoHeads", "the shapes of the inputs are needed"),
    ("trace mynets:TwoHeads --input 1,a", "`1,a` is no shape of an input"),
    ("trace mynets:TwoHeads --input 1,5:float", "an input cannot be float"),
    ("trace mynets:TwoHeads --input 1,0", "an axis of size 0"),
    ("trace mynets:TwoHeads --input 1,6", "the module cannot be traced with these inputs"),
    ("trace mynets:LeNet --arg width --input 1,1,28,28", "--arg width is no key=value"),
    ("trace mynets:LeNet --arg width=1 --arg width=2 --input 1,5", "--arg gives width twice"),
    ("trace mynets:LeNet --arg breadth=1 --input 1,5", "unexpected keyword argument 'breadth'"),
    ("trace mynets:raises --arg width=5 --input 1,5", "raised ValueError: width 5 is odd"),
    ("trace mynets:Counts --input 1,4", "chooses its way by the values"),
    (
        "trace torch.nn:Linear --arg in_features=4 --arg out_features=4 --input 1,4",
        "has weights without a name before them",
    ),
    ("trace mynets:TwoHeads --input 1,5 --input-file x", "--input and --input-file"),
    ("trace mynets:TwoHeads --input-file x", "there is no such file"),
]


def test_a_module_that_fails_when_it_is_asked_for_a_name(net2net: Net2Net, folder: Path) -> None:
    Path("lazy.py").write_text("def __getattr__(name): raise KeyError(name)\n")
    said = net2net("trace", "lazy:Net", "--input", "2,3", code=2).err
    assert "looking up `lazy:Net` raised KeyError: 'Net'" in said


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_what_is_wrong_is_told(net2net: Net2Net, folder: Path, line: str, said: str) -> None:
    ended = net2net(*line.split(), code=2)
    assert said in ended.err
    assert ended.out == ""
    assert 1 <= len(ended.err.splitlines()) <= 4


def test_a_factory_that_raises_is_told_with_its_line(net2net: Net2Net, folder: Path) -> None:
    ended = net2net("trace", "mynets:raises", "--input", "1,5", code=2)
    line = (folder / "mynets.py").read_text().splitlines().index(
        '    raise ValueError(f"width {width} is odd\\nand a second line that nobody needs")'
    )  # fmt: skip
    assert f"mynets.py:{line + 1}" in ended.err
    assert "second line" not in ended.err


ENDS = """
def quits():
    raise SystemExit(0)

def interrupted():
    raise KeyboardInterrupt
"""


@pytest.mark.parametrize("name", ["quits", "interrupted"])
def test_a_module_that_ends_python_is_no_success(net2net: Net2Net, folder: Path, name: str) -> None:
    (folder / "ending.py").write_text(ENDS)
    told = net2net("trace", f"ending:{name}", "--input", "1,3", "-o", "out.yaml", code=2)
    assert f"`ending:{name}` ends Python" in told.err
    assert not (folder / "out.yaml").exists()


def test_inputs_beyond_memory_are_refused_with_the_figure(net2net: Net2Net, folder: Path) -> None:
    """Before anything of their size is made: 4.8 TB of images."""
    told = net2net("trace", "torch.nn:ReLU", "--input", "1,2,100000,1000000", code=2)
    assert "the probe takes about" in told.err
    assert "GB for inputs of these shapes, and" in told.err
    assert "--input" in told.err
    told = net2net("trace", "torch.nn:ReLU", "--input", "1,99999999999999999999", code=2)
    assert "no tensor has so many entries" in told.err
