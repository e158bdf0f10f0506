"""`net2net export`: where the file goes, what is in it, what is refused."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import jsonschema
import pytest
import torch
from safetensors.torch import load_file, save_file
from syrupy.assertion import SnapshotAssertion

from net2net_cli import report
from tests.support.command import Net2Net, process

SCHEMA = json.loads((Path(report.__file__).parent / "document.schema.json").read_text())

pytestmark = pytest.mark.usefixtures("ckpt")


def test_a_student_as_a_file(net2net: Net2Net, snapshot: SnapshotAssertion) -> None:
    net2net("widen", "ckpt", "--layer", "fc1", "--to", 40, "-o", "student.safetensors")
    ended = net2net("export", "student", "-o", "student.py", "--class-name", "Wide")
    assert ended.out == snapshot(name="said")
    assert Path("student.py").read_text() == snapshot(name="file")
    network = runpy.run_path("student.py")["Wide"]()
    network.load_state_dict(load_file("student.safetensors"), strict=True)
    assert network(torch.zeros(2, 12)).shape == (2, 4)


def test_the_text_goes_to_standard_output(net2net: Net2Net) -> None:
    net2net("export", "ckpt", "-o", "ckpt.py")
    text = Path("ckpt.py").read_text()
    assert net2net("export", "ckpt").out == net2net("export", "ckpt", "-o", "-").out == text
    document = json.loads(net2net("export", "ckpt", "--json").out)
    jsonschema.validate(document, SCHEMA)
    assert document["code"] == text
    assert f"```python\n{text}```" in net2net("export", "ckpt", "--format", "markdown").out


def test_what_is_piped_in_has_no_name(ckpt: Path) -> None:
    ended = process("export", "-", given=ckpt.read_bytes())
    assert b"The network of `student.safetensors`" in ended.stdout


def test_a_torch_file_is_loaded_as_one(net2net: Net2Net) -> None:
    torch.save(load_file("ckpt.safetensors"), "saved.pt")
    assert 'torch.load("saved.pt", weights_only=True)' in net2net("export", "saved.pt").out


def test_a_file_that_exists_stays(net2net: Net2Net) -> None:
    Path("there.py").write_text("mine")
    ended = net2net("export", "ckpt", "-o", "there.py", code=2)
    assert "error: `there.py` exists" in ended.err
    assert Path("there.py").read_text() == "mine"
    net2net("export", "ckpt", "-o", "there.py", "--overwrite")
    assert "class Network" in Path("there.py").read_text()
    ended = net2net("export", "ckpt", "-o", "ckpt.safetensors", "--overwrite", code=2)
    assert "ckpt.safetensors" in ended.err


@pytest.mark.parametrize("name", ["2nd", "class", "my network", "", "nn", "Tensor", "né"])
def test_what_is_no_name_for_a_class(net2net: Net2Net, name: str) -> None:
    ended = net2net("export", "ckpt", "-o", "student.py", "--class-name", name, code=2)
    assert "error: " in ended.err
    assert "hint: " in ended.err
    assert not Path("student.py").exists()


def test_a_class_of_the_files_own_makes_room(net2net: Net2Net) -> None:
    """A class that is alike may not take the network's name."""
    Path("twice.yaml").write_text(
        "net2net: 1\ninput: [4]\nlayers:\n"
        "  unit1: &unit {type: Add, branches: [{fc: {type: Linear, out_features: 4}}, {}]}\n"
        "  unit2: *unit\n"
    )
    state = {f"unit{n}.fc.{own}": torch.randn(4, *axes)
             for n in (1, 2) for own, axes in (("weight", (4,)), ("bias", ()))}  # fmt: skip
    save_file(state, "twice.safetensors")
    text = net2net("export", "twice", "--class-name", "Unit").out
    assert "class Unit2(nn.Module):\n" in text
    Path("twice.py").write_text(text)
    runpy.run_path("twice.py")["Unit"]().load_state_dict(state, strict=True)


def test_transformers_has_the_class_of_a_transformer(net2net: Net2Net, folder: Path) -> None:
    (folder / "llama").mkdir()
    from tests.families.growing import first_of
    from tests.support.families import make_teacher

    make_teacher(first_of("llama"), folder / "llama")
    ended = net2net("export", "llama", "-o", "student.py", code=2)
    assert ended.err.splitlines() == [
        "error: the transformers library has the class of a llama already",
        "  --> llama",
        "hint: transformers' AutoModel.from_pretrained('llama') opens it",
    ]
