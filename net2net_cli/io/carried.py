"""The small files of a model folder that a grown one carries along: tokenizer, licence, notes."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

from net2net_cli.errors import CheckpointError
from net2net_cli.io.failures import reported

LIMIT = 200_000_000
"""The largest file that is carried along, in bytes: above it, it can only be weights."""

_LEFT = (
    # hidden, and what is written anew
    ".*", "config.json", "net2net.json", "spec.yaml",
    # weights, also those of other frameworks
    "*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.index.json", "*.gguf", "*.onnx",
    "*.onnx_data", "*.msgpack", "*.h5", "*.ot", "*.npz", "*.distcp",
    # sentence-transformers' list of folders, which are not carried; without it, it takes the mean
    "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json",
    # an adapter's, which libraries would load on top of the grown model
    "adapter_config.json",
    # the state of a training run
    "optimizer*", "scheduler*", "rng_state*", "trainer_state.json", "training_args.bin",
    # code that loading the folder may run
    "*.py",
)  # fmt: skip


def small_files(folder: Path) -> dict[str, Path]:
    """Name -> path of each, sorted; links are followed to plain files that belong to the folder,
    folders are left out.

    CheckpointError where the folder cannot be read.
    """
    return {name: folder / name for name in _names(folder) if belongs(folder / name)}


def strays(folder: Path) -> list[str]:
    """The names of links that would be carried along, but lead elsewhere; sorted."""
    return [name for name in _names(folder) if not belongs(folder / name)]


def belongs(file: Path) -> bool:
    """Whether a file lies in its folder, or in the blobs of Hugging Face's cache, where the
    folder's are (models--X/snapshots/REVISION/NAME -> models--X/blobs/DIGEST): a link that came
    with a checkpoint must not bring other files of the user's into a folder that is passed on."""
    folder, there = file.parent.resolve(), file.resolve()
    caches = [up.parent / "blobs" for up in folder.parents if up.name == "snapshots"]
    return any(there.is_relative_to(place) for place in (folder, *caches))


def _names(folder: Path) -> list[str]:
    with reported(CheckpointError, "read", folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _is_carried(entry))


def _is_carried(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    if any(fnmatchcase(name, pattern) for pattern in _LEFT):
        return False
    return entry.is_file() and entry.stat().st_size <= LIMIT
