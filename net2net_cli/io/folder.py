"""A Hugging Face folder as a source: one file, or shards named by an index.

``model.safetensors`` and its shards come first, as in transformers; ``pytorch_model.bin`` and its
shards are read where there are none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from net2net_cli.errors import CheckpointError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.config import read_json
from net2net_cli.io.failures import shown
from net2net_cli.io.file import open_file
from net2net_cli.io.shards import INDEX, SINGLE, TORCH_INDEX, TORCH_SINGLE
from net2net_cli.io.unreadable import not_a_checkpoint

_INDEX_LIMIT = 100_000_000  # bytes; a million tensors
_KINDS = ((SINGLE, INDEX), (TORCH_SINGLE, TORCH_INDEX))


class FolderSource(Source):
    """A folder with a checkpoint in one or more files.

    ``metadata`` is the only file's, or what all shards agree on.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        self.path = path
        self._shards, self._owner = _open(path, label)
        self.files = tuple(path / name for name in self._shards)
        self.tensors = {
            name: self._shards[owner].tensors[name] for name, owner in self._owner.items()
        }
        self.metadata = dict(
            set.intersection(*(set(shard.metadata.items()) for shard in self._shards.values()))
        )

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes, in its shard."""
        return self._shards[self._owner[name]].raw(name)

    def read(self, name: str, at: int, into: memoryview) -> None:
        """As its shard does."""
        self._shards[self._owner[name]].read(name, at, into)

    def release(self, name: str) -> None:
        """As its shard does."""
        self._shards[self._owner[name]].release(name)

    def close(self) -> None:
        """Closes every shard."""
        for shard in self._shards.values():
            shard.close()


def _open(folder: Path, label: str) -> tuple[dict[str, Source], dict[str, str]]:
    """The files by name, and each tensor's file."""
    for single, index in _KINDS:
        if (folder / single).exists():
            source = open_file(folder / single, str(folder / single), folder / single)
            return {single: source}, dict.fromkeys(source.tensors, single)
        if (folder / index).exists():
            owner = _read_index(folder / index)
            return _open_shards(folder, folder / index, owner), owner
    raise not_a_checkpoint(folder, label)


def _read_index(path: Path) -> dict[str, str]:
    """Tensor name -> shard, as the index says; every shard lies inside the folder."""
    index = read_json(path, "the index", kind=CheckpointError, limit=_INDEX_LIMIT)
    where, owner = shown(path), index.get("weight_map")
    if not isinstance(owner, dict) or not owner:
        raise CheckpointError("the index has no `weight_map` of tensors to files", where=where)
    for name, shard in owner.items():
        if not isinstance(shard, str) or not _is_inside(shard):
            raise CheckpointError(
                f"the index puts tensor `{shown(name)}` in {shown(json.dumps(shard))}, "
                "which is not a file of this folder",
                where=where,
            )
    return owner


def _is_inside(shard: str) -> bool:
    # By its text: a shard may well be a link, as in the cache of Hugging Face's own library.
    path = PurePosixPath(shard)
    return bool(path.parts) and not path.is_absolute() and not {"..", "\0"} & {*path.parts, *shard}


def _open_shards(folder: Path, index: Path, owner: Mapping[str, str]) -> dict[str, Source]:
    where = shown(index)
    shards: dict[str, Source] = {}
    for file in sorted(set(owner.values())):
        path = folder / file
        if not path.exists():
            raise CheckpointError(
                f"the shard `{shown(file)}` is missing",
                where=where,
                hint="the download may be incomplete",
            )
        shards[file] = open_file(path, str(path), path)
    for name, file in owner.items():
        if name not in shards[file].tensors:
            raise CheckpointError(
                f"tensor `{shown(name)}` is not in the shard `{shown(file)}`", where=where
            )
    for file, shard in shards.items():
        for name in shard.tensors:
            if owner.get(name) != file:
                raise CheckpointError(
                    f"the shard `{shown(file)}` holds tensor `{shown(name)}`, "
                    "which the index does not put there",
                    where=where,
                )
    return shards
