"""Every family's students hold their teachers: what was scaled is rounded, all else comes back
byte for byte, in a folder as the teacher's was. NET2NET_ALL=1 tries every growth of every class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from net2net_cli import api
from net2net_cli.errors import CheckpointError
from net2net_cli.expansion import Split
from net2net_cli.plan import Insert
from tests.families.growing import (
    ALL,
    UPCYCLED,
    Teachers,
    chosen,
    config_of,
    error,
    first_of,
    grow,
)
from tests.support.checkpoints import names, same
from tests.support.families import Case, Settings

WHOLE = ("llama", "gpt2")
"""Families of which every growth is tried; of others the one that grows everything at once."""
UPCYCLINGS = ("experts_by_default", "experts_and_everything")


def tried() -> Iterator[tuple[Case, str]]:
    """Cases and labels of their growths."""
    for case, label in chosen():
        if ALL or case.family in WHOLE or label == "everything":
            yield case, label
    for case, _ in UPCYCLED:
        yield from ((case, label) for label in case.grown if ALL or label in UPCYCLINGS)


GROWTHS = list(tried())


def shrunk(student: Path, output: Path, shard_bytes: int | None = None) -> api.Shrunk:
    """Shrink a folder by what lies in it alone."""
    opened = api.open_student(str(student))
    with opened.model.source:
        return api.shrink(opened, f"{output}/", api.WriteOptions(shard_bytes=shard_bytes))


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


def check(teacher: Path, found: api.Shrunk) -> set[str]:
    """Names, shapes and dtypes are the teacher's, and every byte that was not rounded; gives the
    names of those that are not the same."""
    assert found.written is not None
    old, new = state_of(teacher), state_of(found.written)
    assert {n: (t.shape, t.dtype) for n, t in new.items()} == {
        n: (t.shape, t.dtype) for n, t in old.items()
    }
    different = {name for name, tensor in new.items() if not same(tensor, old[name])}
    assert different <= set(found.rounded)
    assert found.same == (not different)
    for name in different:
        near = 4 * torch.finfo(old[name].dtype).eps  # where gains are 1 + w, of that
        assert torch.allclose(new[name], old[name], rtol=near, atol=near)
    assert config_of(found.written) == config_of(teacher)
    assert found.known
    assert found.proof.holds
    return different


@pytest.mark.parametrize(("case", "label"), GROWTHS, ids=[f"{c}-{label}" for c, label in GROWTHS])
def test_a_teacher_comes_back(case: Case, label: str, teachers: Teachers, tmp_path: Path) -> None:
    teacher = teachers.folder(case)
    grow(teacher, case.grown[label], tmp_path / "student")
    found = shrunk(tmp_path / "student", tmp_path / "shrunk")
    check(teacher, found)
    if label in ("mlp", "vocabulary", "depth"):
        assert found.same
        assert found.rounded == ()
        assert found.notes == ()


@pytest.mark.parametrize("split", ["even", "signed", "whole"])
@pytest.mark.parametrize(("family", "settings"), [
    ("llama", {"num_hidden_layers": 5, "intermediate_size": 90, "num_attention_heads": 8,
               "num_key_value_heads": 4, "hidden_size": 48}),
    ("gpt2", {"n_layer": 5, "n_inner": 100, "n_head": 6, "n_embd": 48}),
    ("bert", {"intermediate_size": 90, "hidden_size": 48, "num_attention_heads": 6}),
])  # fmt: skip
def test_what_is_copied_comes_back_byte_for_byte(
    family: str, settings: Settings, split: Split, teachers: Teachers, tmp_path: Path
) -> None:
    """Blocks, units, heads and a stream that is copied evenly."""
    case = first_of(family)
    teacher = teachers.folder(case)
    grow(teacher, settings, tmp_path / "student", api.Choices("duplicate", split))
    found = shrunk(tmp_path / "student", tmp_path / "shrunk")
    check(teacher, found)
    assert found.same, found.rounded


def test_a_stream_that_zeros_made_wider_has_rounded_gains_alone(
    teachers: Teachers, tmp_path: Path
) -> None:
    teacher = teachers.folder(first_of("llama"))
    grow(teacher, {"hidden_size": 28, "num_hidden_layers": 4}, tmp_path / "student")
    found = shrunk(tmp_path / "student", tmp_path / "shrunk")
    assert check(teacher, found) <= set(found.rounded)
    assert found.rounded
    assert all("norm" in name for name in found.rounded)
    assert f"{len(found.rounded)} of {found.tensors} tensors were scaled" in found.notes[0]
    assert error(teacher, tmp_path / "shrunk", "LlamaForCausalLM") <= 2e-6


def test_shards_and_files_of_a_folder_come_along(teachers: Teachers, tmp_path: Path) -> None:
    """The plan lies in every shard; what goes with it does not."""
    teacher, student = teachers.folder(first_of("llama")), tmp_path / "student"
    grow(teacher, {"intermediate_size": 90}, student, shard_bytes=20_000)
    (student / "tokenizer.json").write_text("{}")
    (student / "run.py").write_text("print()")
    found = shrunk(student, tmp_path / "shrunk", shard_bytes=30_000)
    check(teacher, found)
    assert found.same
    there = names(tmp_path / "shrunk")
    assert "model.safetensors.index.json" in there
    assert {"tokenizer.json", "generation_config.json", "config.json"} <= set(there)
    assert not {"run.py", "net2net.json"} & set(there)
    for path in (tmp_path / "shrunk").glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert set(file.metadata()) == {"format", "net2net.spec"}
    assert (tmp_path / "shrunk/config.json").read_text() == (teacher / "config.json").read_text()


def test_old_blocks_are_taken_where_students_were_trained(
    teachers: Teachers, tmp_path: Path
) -> None:
    teacher, student = teachers.folder(first_of("llama")), tmp_path / "student"
    grown = grow(teacher, {"num_hidden_layers": 5}, student)
    inserted = [o.layer for o in grown.plan.operations if isinstance(o, Insert)]
    state = state_of(student)
    with safe_open(student / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    for name, tensor in state.items():
        if any(name.startswith(f"{layer}.") for layer in inserted):
            tensor.add_(1)
    save_file(state, student / "model.safetensors", metadata)
    found = shrunk(student, tmp_path / "shrunk")
    assert found.same
    assert check(teacher, found) == set()


def test_a_plan_for_other_sizes_is_refused(teachers: Teachers, tmp_path: Path) -> None:
    teacher = teachers.folder(first_of("llama"))
    grow(teacher, {"intermediate_size": 90}, tmp_path / "student")
    grow(teacher, {"intermediate_size": 91}, tmp_path / "wider")
    state = state_of(tmp_path / "student")
    with safe_open(tmp_path / "wider/model.safetensors", "pt") as file:
        save_file(state, tmp_path / "student/model.safetensors", file.metadata())
    with pytest.raises(CheckpointError, match="has shape"):
        shrunk(tmp_path / "student", tmp_path / "shrunk")
    assert not (tmp_path / "shrunk").exists()
