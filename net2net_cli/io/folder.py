"""A Hugging Face folder as a source: ``model.safetensors``, or shards named by an index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from net2net_cli.errors import CheckpointError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.safetensors import SafetensorsSource

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


class FolderSource(Source):
    """A folder with a checkpoint in one or more safetensors files.

    ``metadata`` is the only file's, or what all shards agree on.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        self.path = path
        if (path / SINGLE).exists():
            shards = {SINGLE: SafetensorsSource(path / SINGLE, str(path / SINGLE), path / SINGLE)}
            self._owner = dict.fromkeys(shards[SINGLE].tensors, SINGLE)
        elif (path / INDEX).exists():
            self._owner = _read_index(path / INDEX)
            shards = _open_shards(path, self._owner)
        else:
            raise _not_a_checkpoint(path, label)
        self._shards = shards
        self.files = tuple(path / name for name in shards)
        self.tensors = {name: shards[owner].tensors[name] for name, owner in self._owner.items()}
        self.metadata = dict(
            set.intersection(*(set(shard.metadata.items()) for shard in shards.values()))
        )

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes, in its shard."""
        return self._shards[self._owner[name]].raw(name)

    def close(self) -> None:
        """Closes every shard."""
        for shard in self._shards.values():
            shard.close()


def _read_index(path: Path) -> dict[str, str]:
    """Tensor name -> shard, as the index says; every shard lies inside the folder."""
    where = shown(path)
    with reported(CheckpointError, "read", path):
        data = path.read_bytes()
    try:
        index: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the index is not valid JSON: {error}", where=where) from error
    owner = index.get("weight_map") if isinstance(index, dict) else None
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


def _open_shards(folder: Path, owner: Mapping[str, str]) -> dict[str, SafetensorsSource]:
    index = shown(folder / INDEX)
    shards: dict[str, SafetensorsSource] = {}
    for file in sorted(set(owner.values())):
        path = folder / file
        if not path.exists():
            raise CheckpointError(
                f"the shard `{shown(file)}` is missing",
                where=index,
                hint="the download may be incomplete",
            )
        shards[file] = SafetensorsSource(path, str(path), path)
    for name, file in owner.items():
        if name not in shards[file].tensors:
            raise CheckpointError(
                f"tensor `{shown(name)}` is not in the shard `{shown(file)}`", where=index
            )
    for file, shard in shards.items():
        for name in shard.tensors:
            if owner.get(name) != file:
                raise CheckpointError(
                    f"the shard `{shown(file)}` holds tensor `{shown(name)}`, "
                    "which the index does not put there",
                    where=index,
                )
    return shards


def _not_a_checkpoint(path: Path, label: str) -> CheckpointError:
    with reported(CheckpointError, "read", label):
        names = sorted(entry.name for entry in path.iterdir())
    found = [n for n in names if n.endswith((".safetensors", ".bin", ".pt", ".pth"))]
    hint = "name the file itself: " + ", ".join(shown(path / n) for n in found[:3])
    return CheckpointError(
        f"the folder `{shown(label)}` holds neither {SINGLE} nor {INDEX}",
        hint=hint if found else None,
    )
