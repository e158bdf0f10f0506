"""Hugging Face folders: one file, or shards named by an index that is not trusted."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli.errors import CheckpointError
from net2net_cli.io import open_source
from tests.support.checkpoints import same, state

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def shard(folder, tensors):
    """The tensors in two shards, and the index."""
    names = sorted(tensors)
    parts = {FIRST: names[:4], SECOND: names[4:]}
    folder.mkdir(exist_ok=True)
    for number, (file, own) in enumerate(parts.items()):
        save_file(
            {n: tensors[n] for n in own}, folder / file, {"format": "pt", "part": str(number)}
        )
    write_index(folder, {n: file for file, own in parts.items() for n in own})
    return folder


def write_index(folder, weight_map):
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_shards_read_as_the_single_file_they_were_cut_from(tmp_path):
    single = tmp_path / "single"
    single.mkdir()
    save_file(state(), single / "model.safetensors")
    shard(tmp_path / "cut", state())
    with open_source(single) as one, open_source(tmp_path / "cut") as many:
        assert one.digest() == many.digest()
        assert one.header_digest() == many.header_digest()
        assert many.metadata == {"format": "pt"}
        assert many.path == tmp_path / "cut"
        assert [f.name for f in many.files] == [FIRST, SECOND]
        assert [f.name for f in one.files] == ["model.safetensors"]
        for name, tensor in state().items():
            assert same(many.tensor(name), tensor)


def test_shards_may_be_links_to_elsewhere(tmp_path):
    folder = shard(tmp_path / "hf", state())
    (folder / FIRST).rename(tmp_path / "blob")
    (folder / FIRST).symlink_to("../blob")
    assert set(open_source(folder).tensors) == set(state())


@pytest.mark.parametrize(
    "outside", ["../x.safetensors", "/etc/passwd", "a/../../x", "", 3, None, "a\0"]
)
def test_a_shard_outside_the_folder_is_refused(tmp_path, outside):
    folder = shard(tmp_path / "hf", state())
    save_file({"w": torch.ones(1)}, tmp_path / "x.safetensors")
    write_index(folder, {"w": outside})
    with pytest.raises(CheckpointError) as refused:
        open_source(folder)
    assert "not a file of this folder" in refused.value.message
    assert refused.value.where == str(folder / INDEX)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": {}}', "[" * 100_000, "\xff"])
def test_a_broken_index_is_refused(tmp_path, index):
    (tmp_path / INDEX).write_text(index, "latin-1")
    with pytest.raises(CheckpointError) as refused:
        open_source(tmp_path)
    assert "the index" in refused.value.message


def test_an_index_that_disagrees_with_its_shards_is_refused(tmp_path):
    folder = shard(tmp_path / "hf", state())
    owner = json.loads((folder / INDEX).read_text())["weight_map"]
    write_index(folder, {**owner, "ghost": FIRST})
    with pytest.raises(CheckpointError, match="tensor `ghost` is not in the shard"):
        open_source(folder)
    write_index(folder, {n: f for n, f in owner.items() if n != "waves"})
    with pytest.raises(CheckpointError, match="holds tensor `waves`, which the index does not"):
        open_source(folder)
    write_index(folder, {**owner, "ghost": "model-3.safetensors"})
    with pytest.raises(CheckpointError, match=r"the shard `model-3.safetensors` is missing"):
        open_source(folder)


def test_another_folder_is_refused_with_what_was_looked_for(tmp_path):
    with pytest.raises(CheckpointError) as refused:
        open_source(tmp_path)
    assert refused.value.message.endswith("neither model.safetensors nor " + INDEX)
    assert refused.value.hint is None
    (tmp_path / "weights.bin").touch()
    with pytest.raises(CheckpointError) as refused:
        open_source(tmp_path)
    assert refused.value.hint == f"name the file itself: {tmp_path / 'weights.bin'}"


def torch_shards(folder, tensors):
    """The tensors in two torch files, and their index."""
    folder.mkdir(exist_ok=True)
    owner = {n: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, n in enumerate(tensors)}
    for file in set(owner.values()):
        torch.save({n: t for n, t in tensors.items() if owner[n] == file}, folder / file)
    index = {"metadata": {}, "weight_map": owner}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def test_torch_files_are_read_where_there_are_no_others(tmp_path):
    (tmp_path / "one").mkdir()
    torch.save(state(), tmp_path / "one/pytorch_model.bin")
    torch_shards(tmp_path / "cut", state())
    shard(tmp_path / "safe", state())
    with (
        open_source(tmp_path / "one") as one,
        open_source(tmp_path / "cut") as many,
        open_source(tmp_path / "safe") as safe,
    ):
        assert one.digest() == many.digest() == safe.digest()
        assert one.header_digest() == many.header_digest() == safe.header_digest()
        assert one.metadata == many.metadata == {}
        assert [f.name for f in one.files] == ["pytorch_model.bin"]
        assert len(many.files) == 2
    torch.save({"other": torch.ones(1)}, tmp_path / "safe/pytorch_model.bin")
    assert set(open_source(tmp_path / "safe").tensors) == set(state())


def test_code_in_a_torch_shard_is_refused(tmp_path):
    folder = torch_shards(tmp_path / "hf", state())
    file = folder / "pytorch_model-00002-of-00002.bin"
    torch.save({"model": torch.nn.Linear(2, 2)}, file)
    with pytest.raises(CheckpointError, match="loading it would run") as refused:
        open_source(folder)
    assert refused.value.where == str(file)


def test_a_pointer_in_place_of_a_file_is_told(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(CheckpointError, match="a Git LFS pointer"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("there", "message", "hint"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "holds an adapter", "merge_and_un"),
        (["adapter_model.bin"], "holds an adapter (LoRA) only: adapter_model.bin", "PEFT"),
        ([FIRST, SECOND], f"holds shards ({FIRST}, {SECOND}) without their index", INDEX),
        (
            ["pytorch_model-00001-of-00002.bin"],
            "without their index pytorch_model.bin.index.json",
            "incomplete",
        ),
        (["consolidated.00.pth", "params.json"], "own layout: consolidated.00.pth", "convert"),
        (["consolidated.safetensors"], "own layout: consolidated.safetensors", "convert"),
        (["tf_model.h5", "x.gguf"], "(tf_model.h5, x.gguf cannot be read)", None),
    ],
)
def test_what_else_a_folder_may_hold_is_told(tmp_path, there, message, hint):
    for name in ("config.json", *there):
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError) as refused:
        open_source(tmp_path)
    assert message in refused.value.message
    assert (hint is None) == (refused.value.hint is None)
    assert hint is None or hint in refused.value.hint


def test_an_adapter_beside_a_model_does_not_matter(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    save_file(state(), tmp_path / "model.safetensors")
    assert set(open_source(tmp_path).tensors) == set(state())


def test_a_broken_shard_is_named(tmp_path):
    folder = shard(tmp_path / "hf", state())
    (folder / SECOND).write_bytes(b"")
    with pytest.raises(CheckpointError) as refused:
        open_source(folder)
    assert refused.value.where == str(folder / SECOND)
