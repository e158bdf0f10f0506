"""Each command, end to end, on a small checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from net2net_cli import api, report
from tests.support.command import Net2Net, process

SCHEMA = json.loads((Path(report.__file__).parent / "document.schema.json").read_text())

BIGGER = """
net2net: 1
extends: source
source: ckpt.safetensors
output: bigger.safetensors
layers:
  fc1: {out_features: 24}
  fc1b: {type: Linear, out_features: 24, after: assumed_1}
  relu1b: {type: ReLU}
"""


def read(text: str) -> dict[str, Any]:
    document = json.loads(text)
    jsonschema.validate(document, SCHEMA)
    return document


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in load_file(path).items()}


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


# The two commands that people type first, as written.


def test_widen_works_as_people_type_it(net2net: Net2Net, ckpt: Path) -> None:
    ended = net2net(*["widen", "ckpt", "--layer", "fc1", "--to", "512"])
    student = ckpt.with_name("ckpt-widened.safetensors")
    assert shapes(student)["fc1.weight"] == (512, 12)
    assert shapes(student)["fc2.weight"] == (8, 512)
    assert "ckpt-widened.safetensors" in ended.out
    assert ended.out.splitlines()[-1] == "the student computes what the teacher computes"


def test_grow_works_as_people_type_it(net2net: Net2Net, ckpt: Path) -> None:
    (ckpt.parent / "bigger.yaml").write_text(BIGGER)
    net2net(*["spec", "ckpt", "-o", "ckpt.yaml"])
    ended = net2net(*["grow", "--spec", "bigger.yaml"])
    assert shapes(ckpt.with_name("bigger.safetensors"))["fc1b.weight"] == (24, 24)
    assert "bigger.safetensors" in ended.out
    assert "\ntrain on: " in ended.out
    assert "\nnew: fc1b, relu1b; in part fc1, fc2\n" in ended.out


def test_source_and_output_are_relative_to_the_spec(
    net2net: Net2Net, ckpt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ckpt.parent / "bigger.yaml").write_text(BIGGER)
    net2net(*["spec", "ckpt", "-o", "ckpt.yaml"])
    elsewhere = ckpt.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    net2net(*["grow", "--spec", "../bigger.yaml"])
    assert ckpt.with_name("bigger.safetensors").exists()


# JSON, for each command.


def test_inspect_tells_layers_widths_and_size(net2net: Net2Net, ckpt: Path) -> None:
    document = read(net2net("inspect", ckpt, "--json").out)
    assert document["layers"][0]["name"] == "fc1"
    grows = {tuple(width["members"]): width["grows"] for width in document["widths"]}
    assert "duplicate" in grows["fc1", "fc2"]
    assert grows["out",] == []
    assert document["teacher"]["parameters"] == 16 * 12 + 16 + 8 * 16 + 8 + 4 * 8 + 4
    assert document["teacher"]["dtypes"] == ["float32"]


def test_a_student_tells_where_it_comes_from(net2net: Net2Net, ckpt: Path) -> None:
    grown = read(
        net2net(*["widen", "ckpt", "--layer", "fc1", "--to", "20", "--seed", "3", "--json"]).out
    )
    document = read(net2net(*["inspect", "ckpt-widened", "--json"]).out)
    provenance = document["teacher"]["provenance"]
    assert provenance["teacher"] == grown["teacher"]["digest"]
    assert provenance["seed"] == "3"


def test_spec_is_yaml_that_grow_reads(net2net: Net2Net, ckpt: Path) -> None:
    text = net2net("spec", ckpt).out
    assert text.startswith("net2net: 1\n")
    document = read(net2net("spec", ckpt, "-o", "ckpt.yaml", "--json").out)
    assert document["spec"] == text == Path("ckpt.yaml").read_text()
    assert document["written"] == "ckpt.yaml"
    assert read(net2net("inspect", ckpt, "--json").out)["teacher"]["spec"] == str(
        ckpt.with_suffix(".yaml")
    )


def test_diff_tells_what_differs(net2net: Net2Net, ckpt: Path) -> None:
    Path("bigger.yaml").write_text(BIGGER)
    document = read(net2net("diff", ckpt, "bigger.yaml", "--json", "--exit-code", code=5).out)
    kinds = {item["layer"]: item["kind"] for item in document["differences"]}
    assert kinds == {"fc1": "size", "fc1b": "added", "relu1b": "added"}
    assert read(net2net("diff", ckpt, ckpt, "--json", "--exit-code").out)["differences"] == []


def test_plan_is_saved_and_applied_to_its_checkpoint_only(net2net: Net2Net, ckpt: Path) -> None:
    net2net("plan", ckpt, "--set", "fc1.out_features=20", "-o", "plan.json")
    document = read(net2net("plan", ckpt, "--set", "fc1.out_features=20", "--json").out)
    assert document["plan"] == json.loads(Path("plan.json").read_text())
    applied = read(net2net("apply", "plan.json", ckpt, "-o", "a.safetensors", "--json").out)
    grown = net2net("grow", ckpt, "--set", "fc1.out_features=20", "-o", "b.safetensors", "--json")
    assert applied["student"]["digest"] == read(grown.out)["student"]["digest"]
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    refused = net2net("apply", "plan.json", "a.safetensors", "-o", "c.safetensors", code=2)
    assert "made for another checkpoint" in refused.err


def test_a_plan_of_nothing_changes_nothing(net2net: Net2Net, ckpt: Path) -> None:
    arguments = ("plan", ckpt, "--set", "fc1.out_features=16", "--exit-code")
    ended = net2net(*arguments, "--json")
    assert read(ended.out)["plan"]["changes"] is False
    assert "nothing to do" in net2net(*arguments).out
    assert net2net("plan", ckpt, "--set", "fc1.out_features=17", "--exit-code", code=5)


@pytest.mark.parametrize("flag", ["--dry-run", "--no-verify"])
def test_grow_does_what_its_flags_say(net2net: Net2Net, ckpt: Path, flag: str) -> None:
    arguments = ("grow", ckpt, "--set", "fc1.out_features=20", flag)
    document = read(net2net(*arguments, "--json").out)
    assert document["plan"]["changes"]
    assert ckpt.with_name("ckpt-grown.safetensors").exists() == (flag != "--dry-run")
    if flag == "--no-verify":
        assert document["verification"]["skipped"]


def test_deepen_inserts_layers(net2net: Net2Net, ckpt: Path) -> None:
    net2net("spec", ckpt, "-o", "ckpt.yaml")
    arguments = ("deepen", ckpt, "--after", "fc1", "--name", "extra", "--count", "2")
    document = read(net2net(*arguments, "--json").out)
    kinds = [operation["kind"] for operation in document["plan"]["operations"]]
    assert kinds.count("insert") >= 2
    assert document["verification"]["passed"]
    assert Path("ckpt-deepened.safetensors").exists()


def test_verify_compares_and_fails_loudly(net2net: Net2Net, ckpt: Path) -> None:
    net2net("widen", ckpt, "--layer", "fc1", "--to", "20")
    assert read(net2net("verify", ckpt, "ckpt-widened", "--json").out)["verification"]["passed"]
    spoilt = load_file("ckpt-widened.safetensors")
    spoilt["fc1.weight"][0, 0] += 1
    with safe_open("ckpt-widened.safetensors", "pt") as file:
        save_file(spoilt, "spoilt.safetensors", file.metadata())
    ended = net2net("verify", ckpt, "spoilt", "--json", code=4)
    document = read(ended.out)
    assert not document["verification"]["passed"]
    assert document["exit_code"] == 4
    assert "teacher and student differ" in document["diagnostics"][-1]["message"]
    assert "error: teacher and student differ" in ended.err
    assert "--tolerance" in ended.err
    net2net("verify", ckpt, "spoilt", "--tolerance", "1e9")


def test_a_lost_function_leaves_no_output_behind(net2net: Net2Net, ckpt: Path) -> None:
    arguments = ("widen", ckpt, "--layer", "fc1", "--to", "20", "--expansion", "duplicate")
    ended = net2net(*arguments, "--noise", "0.5", "--tolerance", "1e-12", code=4)
    assert "teacher and student differ" in ended.err
    assert [p.name for p in ckpt.parent.iterdir()] == ["ckpt.safetensors"]


LOSES = ("widen", "ckpt", "--layer", "fc1", "--to", "20", "--expansion", "duplicate",
         "--noise", "0.5", "--tolerance", "1e-12")  # fmt: skip


def test_a_lost_function_is_shown_as_a_kept_one(net2net: Net2Net, ckpt: Path) -> None:
    ended = net2net(*LOSES, "--report", "lost.html", code=4)
    assert "DIFFERENT" in ended.out
    assert ended.out.splitlines()[-1] == "the student does not compute what the teacher computes"
    assert "DIFFERENT" in Path("lost.html").read_text()
    document = read(net2net(*LOSES, "--json", code=4).out)
    assert document["exit_code"] == 4
    assert document["plan"]["changes"]
    assert document["student"] is None
    (probe,) = document["verification"]["probes"]
    assert not probe["passed"]
    assert probe["relative_error"] > probe["tolerance"] == 1e-12
    assert document["diagnostics"][-1]["severity"] == "error"
    assert not Path("ckpt-widened.safetensors").exists()


def test_a_lost_function_sends_nothing_down_the_pipe(ckpt: Path) -> None:
    ended = process(*LOSES, "-o", "-", cwd=ckpt.parent)
    assert ended.returncode == 4
    assert ended.stdout == b""
    assert b"DIFFERENT" in ended.stderr


def test_the_library_tells_of_a_lost_function(ckpt: Path) -> None:
    model = api.open_model(str(ckpt))
    plan = api.widen_plan(model, "fc1", 20, api.Choices("duplicate", noise=0.5))
    options = api.RunOptions(probe=api.ProbeOptions(tolerance=1e-12))
    with pytest.raises(api.NotPreservedError) as caught:
        api.apply_plan(plan, model, "x.safetensors", options)
    assert not caught.value.verification.passed
    assert caught.value.verification.proof.holds
    assert not Path("x.safetensors").exists()


def test_the_target_that_no_growth_reaches_is_refused(net2net: Net2Net, ckpt: Path) -> None:
    ended = net2net("grow", ckpt, "--set", "fc1.out_features=8", "--json", code=3)
    document = read(ended.out)
    assert document["exit_code"] == 3
    assert "shrinks from 16 to 8" in document["diagnostics"][0]["message"]


# Names, streams, and what is never overwritten.


def test_commands_chain_with_no_files_between(ckpt: Path) -> None:
    first = process("widen", "ckpt", "--layer", "fc1", "--to", "24", "-o", "-", cwd=ckpt.parent)
    assert first.returncode == 0
    assert b"the student computes what the teacher computes" in first.stderr
    second = process(
        "deepen", "-", "--after", "fc1", "-o", "b.safetensors", cwd=ckpt.parent, given=first.stdout
    )
    assert second.returncode == 0, second.stderr
    third = process("verify", "ckpt", "b", cwd=ckpt.parent)
    assert third.returncode == 0, third.stdout


def test_a_stream_has_no_name_to_derive_an_output_from(ckpt: Path) -> None:
    ended = process("widen", "-", "--layer", "fc1", "--to", "24", given=ckpt.read_bytes())
    assert ended.returncode == 2
    assert b"say -o OUT" in ended.stderr


@pytest.mark.parametrize("output", ["there.safetensors", "ckpt.safetensors", "link.safetensors"])
def test_what_exists_is_not_overwritten(net2net: Net2Net, ckpt: Path, output: str) -> None:
    Path("there.safetensors").write_text("precious")
    Path("link.safetensors").symlink_to("ckpt.safetensors")
    before = Path(output).read_bytes()
    arguments = ("widen", ckpt, "--layer", "fc1", "--to", "24", "-o", output)
    assert "hint: " in net2net(*arguments, code=2).err
    assert Path(output).read_bytes() == before
    if output == "there.safetensors":
        net2net(*arguments, "--overwrite")
        assert Path(output).read_bytes() != before
    else:
        net2net(*arguments, "--overwrite", code=2)
        assert Path(output).read_bytes() == before


@pytest.mark.parametrize("what", ["plan", "spec"])
def test_text_files_are_not_overwritten_either(net2net: Net2Net, ckpt: Path, what: str) -> None:
    Path("out.txt").write_text("precious")
    target = ("--set", "fc1.out_features=20") if what == "plan" else ()
    arguments = (what, ckpt, *target, "-o", "out.txt")
    assert "exists" in net2net(*arguments, code=2).err
    assert Path("out.txt").read_text() == "precious"
    net2net(*arguments, "--overwrite")
    assert Path("out.txt").read_text() != "precious"
    assert "is the checkpoint" in net2net(*arguments[:-1], ckpt, "--overwrite", code=2).err


def test_another_checkpoint_than_expected_is_refused(net2net: Net2Net, ckpt: Path) -> None:
    document = read(net2net("widen", ckpt, "--layer", "fc1", "--to", "20", "--json").out)
    arguments = ("widen", ckpt, "--layer", "fc1", "--to", "20", "--overwrite", "--expect-teacher")
    net2net(*arguments, document["teacher"]["digest"])
    assert "expected was" in net2net(*arguments, document["student"]["digest"], code=2).err


def test_a_student_in_shards_is_read_again(net2net: Net2Net, ckpt: Path, folder: Path) -> None:
    arguments = ("widen", ckpt, "--layer", "fc1", "--to", "200", "--max-shard-size", "1kB")
    net2net(*arguments, "-o", "student/")
    assert len(list((folder / "student").glob("*.safetensors"))) > 1
    net2net("verify", ckpt, "student")


def test_other_tensors_than_floats_survive(net2net: Net2Net, folder: Path) -> None:
    torch.save({"fc1.weight": torch.randn(4, 3), "fc1.bias": torch.randn(4),
                "fc2.weight": torch.randn(2, 4), "fc2.bias": torch.randn(2)}, "t.pt")  # fmt: skip
    net2net("widen", "t", "--layer", "fc1", "--to", "8")
    assert torch.load(folder / "t-widened.pt", weights_only=True)["fc1.weight"].shape == (8, 3)
