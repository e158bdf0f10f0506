"""`net2net shrink`: the teacher again, out of what grow, widen, deepen and apply wrote."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from net2net_cli import report
from tests.support.checkpoints import same
from tests.support.command import Net2Net, environment, process

SCHEMA = json.loads((Path(report.__file__).parent / "document.schema.json").read_text())


@pytest.fixture
def student(net2net: Net2Net, ckpt: Path) -> Path:
    """The checkpoint, wider and deeper."""
    net2net(*["widen", "ckpt", "--layer", "fc1", "--to", "37", "-o", "wide.safetensors"])
    return ckpt.with_name("wide.safetensors")


def is_teacher(path: Path, ckpt: Path) -> bool:
    made, old = load_file(path), load_file(ckpt)
    return made.keys() == old.keys() and all(same(made[name], old[name]) for name in old)


def trained(student: Path) -> None:
    """Move every weight, keep the metadata."""
    state = {name: tensor + 1 for name, tensor in load_file(student).items()}
    with safe_open(student, "pt") as file:
        save_file(state, student, file.metadata())


def test_shrink_works_as_people_type_it(net2net: Net2Net, ckpt: Path, student: Path) -> None:
    ended = net2net("shrink", "wide")
    lines = ended.out.splitlines()
    assert lines[0] == "read wide.safetensors, its spec embedded in its metadata"
    assert lines[1].startswith("wrote wide-shrunk.safetensors, ")
    assert ended.err == ""
    assert lines[2] == "every tensor is the teacher's, byte for byte"
    assert len(lines) == 3
    assert is_teacher(ckpt.with_name("wide-shrunk.safetensors"), ckpt)


def test_what_was_grown_in_steps_is_shrunk_in_steps(
    net2net: Net2Net, ckpt: Path, student: Path
) -> None:
    net2net(*["deepen", "wide", "--after", "fc1", "--count", "2", "-o", "deep.safetensors"])
    net2net("shrink", "deep", "-o", "back.safetensors")
    assert is_teacher(Path("back.safetensors"), student)
    assert "carries no plan" in net2net("shrink", "back", code=2).err


def test_the_document_tells_what_came_back(net2net: Net2Net, ckpt: Path, student: Path) -> None:
    ended = net2net("shrink", student, "-o", "t.safetensors", "--json", "--report", "r.json")
    document = json.loads(ended.out)
    jsonschema.validate(document, SCHEMA)
    assert json.loads(Path("r.json").read_text()) == document
    inspected = json.loads(net2net("inspect", ckpt, "--json").out)
    assert document["shrunk"] == {
        "same": True, "tensors": 6, "rounded": [], "dtypes_known": True,
    }  # fmt: skip
    assert document["student"]["checkpoint"] == str(student)
    assert document["student"]["provenance"]["teacher"] == document["teacher"]["digest"]
    assert document["teacher"]["checkpoint"] == "t.safetensors"
    assert document["teacher"]["parameters"] == inspected["teacher"]["parameters"]
    assert document["diagnostics"] == []
    assert json.loads(net2net("inspect", ckpt, "--json").out)["shrunk"] is None


@pytest.mark.parametrize("ending", [".html", ".md"])
def test_reports_say_so_too(net2net: Net2Net, student: Path, ending: str) -> None:
    net2net("shrink", student, "--report", f"r{ending}")
    assert "s, byte for byte" in Path(f"r{ending}").read_text()


def test_a_trained_student_is_no_failure(net2net: Net2Net, student: Path) -> None:
    trained(student)
    ended = net2net("shrink", student)
    assert ended.out.splitlines()[-1] == "not byte for byte the teacher: the weights are others"
    assert "note: the student was trained or edited since, this is not the teacher" in ended.err
    assert net2net("shrink", student, "--overwrite", "--quiet").err == ""


def test_rounding_is_told(net2net: Net2Net, ckpt: Path) -> None:
    net2net(*["widen", "ckpt", "--layer", "fc1", "--to", "37", "--dtype", "bfloat16"])
    ended = net2net("shrink", "ckpt-widened", "-o", "t.safetensors")
    assert ended.out.splitlines()[-1] == (
        "not byte for byte the teacher: 6 of 6 tensors are rounded"
    )
    assert "6 of 6 tensors were scaled or cast" in ended.err
    assert {t.dtype for t in load_file("t.safetensors").values()} == {torch.float32}


def test_streams_in_and_out(ckpt: Path, student: Path) -> None:
    """The real entry point, as a process of its own."""
    ended = process("shrink", "-", "-o", "-", cwd=ckpt.parent, given=student.read_bytes())
    assert ended.returncode == 0, ended.stderr
    assert b"s, byte for byte" in ended.stderr
    ckpt.with_name("t.safetensors").write_bytes(ended.stdout)
    assert is_teacher(ckpt.with_name("t.safetensors"), ckpt)


def test_an_output_is_written_whole_or_not_at_all(
    net2net: Net2Net, ckpt: Path, student: Path
) -> None:
    before = student.read_bytes()
    assert "is the checkpoint that is read" in net2net("shrink", student, "-o", student, code=2).err
    ended = net2net("shrink", student, "-o", student, "--overwrite", code=2)
    assert "is the checkpoint that is read" in ended.err
    assert student.read_bytes() == before
    assert "exists" in net2net("shrink", student, "-o", ckpt, code=2).err
    net2net("shrink", student, "-o", ckpt, "--overwrite")
    assert sorted(path.name for path in ckpt.parent.iterdir()) == [
        "ckpt.safetensors", "wide.safetensors",
    ]  # fmt: skip


def test_what_cannot_be_shrunk_is_told(net2net: Net2Net, ckpt: Path, student: Path) -> None:
    torch.save(load_file(student), "student.pt")
    for name in ("ckpt", "student.pt"):
        ended = net2net("shrink", name, code=2)
        lines = ended.err.splitlines()
        assert lines[0] == "error: the checkpoint carries no plan in its metadata"
        assert lines[1].startswith(f"  --> {name}")
        assert lines[2].startswith("hint: only what net2net has written")
    assert "-o - and --format json both" in net2net("shrink", student, "-o-", "--json", code=2).err
    ended = net2net("shrink", student, "--report", "r.svg", code=2)
    assert "no network to draw" in ended.err
    assert not Path("wide-shrunk.safetensors").exists()


def test_a_folder_becomes_a_folder(net2net: Net2Net, ckpt: Path) -> None:
    from tests.support.families import Case, make_teacher

    case = Case("gpt2", "GPT2LMHeadModel", {
        "vocab_size": 61, "n_embd": 24, "n_head": 3, "n_layer": 2, "n_positions": 32,
        "bos_token_id": 1, "eos_token_id": 2,
    })  # fmt: skip
    make_teacher(case, Path("small"))
    Path("small/tokenizer.json").write_text("{}")
    settings = [f"--set={text}" for text in ("n_embd=48", "n_head=6", "n_layer=3", "n_inner=101")]
    net2net("grow", "small", *settings, "--expansion", "duplicate", "-o", "large", "--no-verify")
    ended = net2net("shrink", "large", "--max-shard-size", "20kB")
    assert ended.out.splitlines()[-1] == "every tensor is the teacher's, byte for byte"
    shrunk = Path("large-shrunk")
    assert (shrunk / "config.json").read_text() == Path("small/config.json").read_text()
    assert (shrunk / "tokenizer.json").exists()
    assert not (shrunk / "net2net.json").exists()
    assert len(list(shrunk.glob("*.safetensors"))) > 1
    old = load_file("small/model.safetensors")
    made = {n: t for path in shrunk.glob("*.safetensors") for n, t in load_file(path).items()}
    assert made.keys() == old.keys()
    assert all(same(made[name], tensor) for name, tensor in old.items())


def test_deeper_students_are_shrunk_without_torch(net2net: Net2Net, ckpt: Path) -> None:
    """Nothing has to be computed: bytes are copied."""
    import subprocess
    import sys

    net2net(*["deepen", "ckpt", "--after", "fc1"])
    code = (
        "import sys; from net2net_cli.cli.main import run;"
        " code = run(['shrink', 'ckpt-deepened', '-o', 't.safetensors']);"
        " sys.exit(code or 10 * ('torch' in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ckpt.parent, env=environment(), check=True)
    assert is_teacher(Path("t.safetensors"), ckpt)
