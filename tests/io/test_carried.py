"""Which files of a model folder a grown one carries along."""

from __future__ import annotations

import os

import pytest

from net2net_cli.errors import CheckpointError
from net2net_cli.io import small_files, strays
from net2net_cli.io.carried import LIMIT

CARRIED = [
    "LICENSE", "README.md", "added_tokens.json", "chat_template.jinja", "generation_config.json",
    "merges.txt", "preprocessor_config.json", "special_tokens_map.json", "spiece.model",
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.txt",
]  # fmt: skip
LEFT = [
    ".gitattributes", ".x.net2net-1-0123abcd.tmp", "Model.SafeTensors", "adapter_config.json",
    "config.json", "flax_model.msgpack", "model-00001-of-00002.safetensors", "model.onnx",
    "model.safetensors", "model.safetensors.index.json", "modeling_x.py", "net2net.json",
    "optimizer.pt", "optimizer_state", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "q4.gguf", "rng_state_0.pth", "rust_model.ot", "scheduler.json", "spec.yaml", "tf_model.h5",
    "trainer_state.json", "training_args.bin", "x.ckpt",
]  # fmt: skip


def test_tokenizers_and_notes_go_along_and_weights_code_and_training_state_do_not(tmp_path):
    for name in CARRIED + LEFT:
        (tmp_path / name).touch()
    (tmp_path / "onnx").mkdir()
    assert small_files(tmp_path) == {name: tmp_path / name for name in CARRIED}
    assert list(small_files(tmp_path)) == sorted(CARRIED)


def test_links_are_followed_to_plain_files_only(tmp_path):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "blob").write_text("x")
    os.mkfifo(folder / "e.txt")
    for name, to in {
        "a.txt": "deep/blob",
        "b.txt": "e.txt",
        "c.txt": "deep",
        "d.txt": "no",
    }.items():
        (folder / name).symlink_to(folder / to)
    assert list(small_files(folder)) == ["a.txt"]
    assert strays(folder) == []


def test_a_link_that_leads_elsewhere_is_not_carried_along(tmp_path):
    """As in Hugging Face's cache, whose links lead to its blobs; but no further."""
    cache = tmp_path / "models--x"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / "0123").write_text("x")
    (tmp_path / "secret").write_text("x")
    for folder in (cache / "snapshots" / "rev", cache / "snapshots" / "rev" / "part"):
        folder.mkdir(parents=True)
        (folder / "a.txt").symlink_to(os.path.relpath(cache / "blobs" / "0123", folder))
        (folder / "b.txt").symlink_to(tmp_path / "secret")
        (folder / "b.bin").symlink_to(tmp_path / "secret")
        assert list(small_files(folder)) == ["a.txt"]
        assert strays(folder) == ["b.txt"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.txt").symlink_to(cache / "blobs" / "0123")
    assert strays(other) == ["c.txt"]


def test_what_is_large_is_left(tmp_path):
    for name, size in {"a": LIMIT, "b": LIMIT + 1}.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    assert list(small_files(tmp_path)) == ["a"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read"):
        small_files(tmp_path / "none")
