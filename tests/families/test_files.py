"""The folders that come out: shards, saved plans, the same bytes twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from net2net_cli import api
from tests.families.growing import Teachers, error, first_of, grow, written
from tests.support.families import load, make_teacher

SHARD = 20_000


def files(folder: Path) -> dict[str, bytes]:
    """Every file by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "t5"])
def test_shards_hold_what_one_file_would(family: str, teachers: Teachers, tmp_path: Path) -> None:
    case = first_of(family)
    teacher, settings = teachers.folder(case), case.grown["everything"]
    whole = grow(teacher, settings, tmp_path / "whole")
    parts = grow(teacher, settings, tmp_path / "parts", shard_bytes=SHARD)
    assert whole.digest == parts.digest
    assert error(teacher, tmp_path / "parts", case.architecture) <= case.tolerance

    names = sorted(path.name for path in (tmp_path / "parts").glob("*.safetensors"))
    count = len(names)
    assert count > 2
    assert names == [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    index = json.loads((tmp_path / "parts" / "model.safetensors.index.json").read_text("utf-8"))
    held = {n: file for file in names for n in load_file(tmp_path / "parts" / file)}
    assert index["weight_map"] == held
    for name in names:
        state = load_file(tmp_path / "parts" / name)
        assert sum(t.nbytes for t in state.values()) <= SHARD or len(state) == 1


def test_a_teacher_in_shards_grows_as_the_same_in_one_file(tmp_path: Path) -> None:
    case = first_of("llama")
    model = make_teacher(case, tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    grown = [
        grow(tmp_path / name, case.grown["everything"], tmp_path / f"{name}-grown")
        for name in ("one", "many")
    ]
    assert grown[0].digest == grown[1].digest
    assert grown[0].teacher_digest == grown[1].teacher_digest


@pytest.mark.parametrize("family", ["llama", "qwen3_moe", "bert"])
def test_a_saved_plan_writes_the_same_files(
    family: str, teachers: Teachers, tmp_path: Path
) -> None:
    case = first_of(family)
    teacher, settings = str(teachers.folder(case)), case.grown["everything"]
    grow(teachers.folder(case), settings, tmp_path / "grown")
    plan = api.make_plan(api.open_model(teacher), None, written(settings))
    saved = api.from_json(api.to_json(plan), "plan.json")
    assert saved == plan
    model = api.open_planned(saved, teacher)
    with model.source:
        api.apply_plan(saved, model, f"{tmp_path / 'applied'}/", api.RunOptions(verify=False))
    assert files(tmp_path / "applied") == files(tmp_path / "grown")


def test_the_seed_says_what_is_written(teachers: Teachers, tmp_path: Path) -> None:
    case = first_of("llama")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        choices = api.Choices(seed=seed)
        grow(teachers.folder(case), case.grown["everything"], tmp_path / name, choices)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    states = [load_file(tmp_path / name / "model.safetensors") for name in ("a", "c")]
    assert any((states[0][n] != states[1][n]).any() for n in states[0])
    assert error(teachers.folder(case), tmp_path / "c", case.architecture) <= case.tolerance


def test_small_files_come_along_and_weights_of_other_kinds_do_not(tmp_path: Path) -> None:
    case = first_of("llama")
    make_teacher(case, tmp_path / "teacher")
    (tmp_path / "teacher" / "tokenizer.json").write_text('{"any": "thing"}')
    (tmp_path / "teacher" / "pytorch_model.bin").write_bytes(b"weights of the teacher's")
    (tmp_path / "teacher" / "flax_model.msgpack").write_bytes(b"weights of the teacher's")
    grow(tmp_path / "teacher", case.grown["mlp"], tmp_path / "student")
    assert sorted(files(tmp_path / "student")) == [
        "config.json", "generation_config.json", "model.safetensors", "net2net.json",
        "tokenizer.json",
    ]  # fmt: skip


def test_a_student_tells_how_it_came_to_be(teachers: Teachers, tmp_path: Path) -> None:
    case = first_of("llama")
    grown = grow(teachers.folder(case), case.grown["everything"], tmp_path / "student")
    notes = json.loads((tmp_path / "student" / "net2net.json").read_text("utf-8"))
    assert notes["teacher"] == grown.teacher_digest
    assert notes["verification"]["proof"]["holds"]
    assert notes["verification"]["skipped"]
    assert notes["plan"]["operations"]
    assert str(tmp_path) not in json.dumps(notes)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
def test_a_tied_head_stays_tied_and_unstored(
    family: str, teachers: Teachers, tmp_path: Path
) -> None:
    case = first_of(family)
    grow(teachers.folder(case), case.grown["everything"], tmp_path / "student")
    folders = (teachers.folder(case), tmp_path / "student")
    models = [load(folder, case.architecture) for folder in folders]
    stored = [set(load_file(folder / "model.safetensors")) for folder in folders]
    heads = [
        {name for name, tensor in model.state_dict().items()
         if tensor.data_ptr() == model.get_input_embeddings().weight.data_ptr()}
        for model in models
    ]  # fmt: skip
    assert heads[0] == heads[1]
    assert heads[0] & stored[0] == heads[1] & stored[1]
