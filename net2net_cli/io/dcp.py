"""A folder of torch.distributed.checkpoint (DCP), as FSDP and torchtitan write it, as a source.

``.metadata`` names every tensor and says in which files its chunks lie, whatever number of ranks
wrote them; no process group is needed to read them. It is a pickle: only the plain records that
torch writes there are made of it, anything else is refused, never run.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from net2net_cli.errors import CheckpointError, OutputError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.dtypes import SIZES
from net2net_cli.io.failures import is_unicode, reported, shown
from net2net_cli.io.plain import check_plain, trouble
from net2net_cli.io.tensors import TensorInfo, raw_bytes
from net2net_cli.io.torch_file import WRAPPERS

if TYPE_CHECKING:
    from torch import Tensor

METADATA = ".metadata"

OWN = "net2net"
"""Under which key a folder that net2net wrote holds what a safetensors file has as metadata."""

Key = tuple[str | int, ...]
"""Where an item stands in the nested dictionary that was saved."""

_RECORDS = {
    "torch.distributed.checkpoint.metadata": {
        "Metadata", "TensorStorageMetadata", "TensorProperties", "ChunkStorageMetadata",
        "BytesStorageMetadata", "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo", "_StoragePrefix"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size"},
    "pathlib": {"Path", "PosixPath", "PurePosixPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePosixPath"},
    "collections": {"OrderedDict"},
}  # fmt: skip


class _Unpickler(pickle._Unpickler):  # noqa: SLF001
    """Makes nothing but what a DCP's metadata is made of.

    It is Python's own in Python: the one in C takes 16 bytes for every number that a PUT may name,
    so that six bytes of a file fill any memory.
    """

    def find_class(self, module: str, name: str) -> Any:
        import torch

        kind = getattr(torch, name, None) if module == "torch" else None
        if isinstance(kind, torch.dtype):
            return kind
        if name not in _RECORDS.get(module, ()):
            raise pickle.UnpicklingError(f"loading it would run `{module}.{name}`")
        if module.startswith("pathlib"):
            return PurePosixPath
        return super().find_class(module, name)


@dataclass(frozen=True)
class Chunk:
    """A part of a tensor (or an object as a whole): where it begins in it, and in which file."""

    offsets: tuple[int, ...]
    file: str
    start: int
    length: int


@dataclass(frozen=True)
class Item:
    """One thing that was saved: a tensor with its shape and dtype, or an object without."""

    key: Key
    info: TensorInfo | None
    chunks: tuple[Chunk, ...]


Box = tuple[tuple[int, int], ...]
"""A part's place: where it begins and ends on each axis."""


def _overlap(one: Box, other: Box) -> bool:
    return all(a < d and c < b for (a, b), (c, d) in zip(one, other, strict=True))


class Contents:
    """What a DCP folder holds, read item by item."""

    def __init__(self, folder: Path, label: str) -> None:
        """Reads the metadata alone. CheckpointError where it is damaged, or no metadata."""
        self.folder, self.label = folder, label
        metadata, where = _metadata(folder, label), shown(label)
        try:
            self.items = tuple(_items(metadata, where))
            _check_keys(self.items, where)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _damaged(error, where) from error
        self._check_sizes()

    def _check_sizes(self) -> None:
        """The chunks lie in their files, and are as large as what they are said to hold."""
        sizes: dict[str, int] = {}
        for item in self.items:
            for file in {chunk.file for chunk in item.chunks} - sizes.keys():
                with reported(CheckpointError, "read", self.folder / file):
                    sizes[file] = (self.folder / file).stat().st_size
            name = shown(".".join(map(str, item.key)))
            if any(c.start + c.length > sizes[c.file] for c in item.chunks):
                raise CheckpointError(
                    f"`{name}` lies behind the end of its file", where=shown(self.label)
                )
            held = sum(chunk.length for chunk in item.chunks)
            if item.info and item.info.nbytes > held:
                raise CheckpointError(
                    f"`{name}` claims {item.info.nbytes:,} bytes, and its parts hold {held:,}",
                    where=shown(self.label),
                )

    def read(self, item: Item) -> Any:
        """A tensor, joined from its chunks, or an object of plain data."""
        import torch

        parts = [(chunk, self._chunk(chunk)) for chunk in item.chunks]
        if item.info is None:
            return parts[0][1]
        made = torch.empty(item.info.shape, dtype=getattr(torch, item.info.dtype))
        taken: list[Box] = []
        for chunk, part in parts:
            box = self._box(item, chunk, part)
            if any(_overlap(box, other) for other in taken):
                raise self._unfit(item, "overlap")
            taken.append(box)
            made[tuple(slice(low, high) for low, high in box)] = part
        if sum(part.numel() for _, part in parts) < made.numel():
            raise self._unfit(item, "are missing")
        return made

    def _box(self, item: Item, chunk: Chunk, part: Any) -> Box:
        """The place of a part in its tensor; CheckpointError where it has none."""
        import torch

        assert item.info is not None
        if not isinstance(part, torch.Tensor) or trouble(part):
            raise self._unfit(item, "are no tensors that can be read")
        offsets, shape = chunk.offsets or (0,) * part.ndim, item.info.shape
        fits = len(offsets) == part.ndim == len(shape)
        box = tuple((low, low + n) for low, n in zip(offsets, part.shape, strict=False))
        if not fits or any(high > size for (_, high), size in zip(box, shape, strict=False)):
            raise self._unfit(item, f"do not fit into its shape {list(shape)}")
        return box

    def _unfit(self, item: Item, how: str) -> CheckpointError:
        name = shown(".".join(map(str, item.key)))
        return CheckpointError(f"parts of the tensor `{name}` {how}", where=shown(self.label))

    def _chunk(self, chunk: Chunk) -> Any:
        import torch

        path = self.folder / chunk.file
        with reported(CheckpointError, "read", path), path.open("rb") as stream:
            stream.seek(chunk.start)
            data = io.BytesIO(stream.read(chunk.length))
        try:
            found = torch.load(data, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # damaged pickles raise anything at all
            raise CheckpointError(
                f"a chunk is damaged, or holds more than tensors and plain data: {_line(error)}",
                where=shown(path),
            ) from error
        check_plain(found, shown(path))
        return found


def _line(error: Exception) -> str:
    return shown((str(error).strip() or type(error).__name__).splitlines()[0][:200])


def _metadata(folder: Path, label: str) -> Any:
    path = folder / METADATA
    try:
        with reported(CheckpointError, "read", path):
            data = path.read_bytes()
        found = _Unpickler(io.BytesIO(data)).load()
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # as above
        raise _damaged(error, shown(label)) from error
    if not isinstance(getattr(found, "state_dict_metadata", None), Mapping):
        raise CheckpointError("the metadata names no tensors", where=shown(path))
    return found


def _damaged(error: Exception, where: str) -> CheckpointError:
    return CheckpointError(
        f"the metadata is damaged, or none of torch.distributed.checkpoint: {_line(error)}",
        where=where,
    )


def _items(metadata: Any, where: str) -> Iterator[Item]:
    """What the records say, which may be anything: AttributeError, LookupError, TypeError and
    ValueError mean that they are damaged."""
    chunks: dict[str, list[Chunk]] = {}
    for index, info in (metadata.storage_data or {}).items():
        name = str(info.relative_path)
        encoded = getattr(info, "transform_descriptors", None)
        if encoded or not is_unicode(name) or "\0" in name or PurePosixPath(name).name != name:
            raise CheckpointError(
                f"`{shown(index.fqn)}` lies in `{shown(name)}`, outside of the folder, or encoded",
                where=where,
            )
        offsets = _naturals(index.offset or ())
        start, length = _naturals((info.offset, info.length))
        chunks.setdefault(index.fqn, []).append(Chunk(offsets, name, start, length))
    paths = metadata.planner_data or {}
    for name, record in metadata.state_dict_metadata.items():
        own = tuple(chunks.get(name, ()))
        if not own:
            raise CheckpointError(f"`{shown(name)}` lies in no file", where=where)
        key = tuple(paths.get(name, (name,)))
        fit = (isinstance(part, str | int) and is_unicode(str(part)) for part in key)
        if not key or not all(fit):
            raise TypeError(f"the key of `{name}` is none")
        yield Item(key, _info(name, record, where), own)


def _naturals(numbers: Any) -> tuple[int, ...]:
    found = tuple(numbers)
    if not all(isinstance(number, int) and 0 <= number < 2**63 for number in found):
        raise ValueError(f"{found} are no sizes and places")
    return found


def _check_keys(items: Sequence[Item], where: str) -> None:
    """Every key is there once, and is not the beginning of another."""
    keys = {item.key for item in items}
    begun = {item.key[:at] for item in items for at in range(1, len(item.key))}
    if len(keys) < len(items) or keys & begun:
        raise CheckpointError("the metadata put two things under one key", where=where)


def _info(name: str, record: Any, where: str) -> TensorInfo | None:
    if not hasattr(record, "size"):
        return None
    dtype = str(record.properties.dtype).removeprefix("torch.")
    if dtype not in SIZES:
        raise CheckpointError(
            f"tensor `{shown(name)}` has the type {dtype}, which is not supported", where=where
        )
    return TensorInfo(name, dtype, _naturals(record.size))


class DcpSource(Source):
    """The weights in a DCP folder: those under `model`, or all that stand by themselves."""

    def __init__(self, path: Path, label: str) -> None:
        self.label, self.path = label, path
        self.contents = Contents(path, label)
        self.metadata = dict(self._noted())
        self.wrapper, self._weights = weights(self.contents)
        if not self._weights:
            raise CheckpointError("it holds no weights", where=shown(label))
        self.files = tuple(sorted(p for p in path.iterdir() if p.is_file()))
        self.tensors = {
            name: TensorInfo(name, item.info.dtype, item.info.shape)
            for name, item in self._weights.items()
            if item.info
        }

    def _noted(self) -> Iterator[tuple[str, str]]:
        """What net2net noted when it wrote the folder."""
        for item in self.contents.items:
            if item.key[0] == OWN and len(item.key) == 2 and item.info is None:
                yield str(item.key[1]), str(self.contents.read(item))

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes, in memory of their own."""
        return raw_bytes(self.contents.read(self._weights[name]))

    def close(self) -> None:
        """Nothing is held open."""

    def training(self) -> Any:
        """Everything but the weights, nested as it was saved."""
        found: Any = {}
        used = {item.key for item in self._weights.values()}
        for item in self.contents.items:
            if item.key not in used and item.key[0] != OWN:
                _put(found, item.key, self.contents.read(item))
        return _lists(found)


def weights(contents: Contents) -> tuple[str | None, Mapping[str, Item]]:
    """The tensors of the network by name, and the key that they lie under, if they do. Single
    numbers without a module's name are none of them."""
    for wrapper in WRAPPERS:
        inside = [i for i in contents.items if i.info and len(i.key) == 2 and i.key[0] == wrapper]
        if inside:
            return wrapper, {str(item.key[1]): item for item in inside}
    alone = [i for i in contents.items if i.info and len(i.key) == 1]
    return None, {n: i for i in alone if "." in (n := str(i.key[0])) or (i.info and i.info.shape)}


def wrapped(source: Source, state: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """The student's weights under the key that its teacher's lie under in a DCP, or `model`."""
    wrapper = source.wrapper if isinstance(source, DcpSource) else WRAPPERS[-1]
    return state if wrapper is None else {wrapper: dict(state)}


def _put(found: Any, key: Key, value: Any) -> None:
    for part in key[:-1]:
        found = found.setdefault(part, {})
    found[key[-1]] = value


def _lists(data: Any) -> Any:
    """Dictionaries whose keys are places are the lists that they were."""
    if not isinstance(data, dict):
        return data
    inner = {key: _lists(value) for key, value in data.items()}
    if inner and all(isinstance(key, int) for key in inner):
        return [inner[key] for key in sorted(inner)]
    return inner


def save(folder: Path, content: Mapping[str, Any], metadata: Mapping[str, str], label: str) -> None:
    """Writes a DCP folder. Its bytes hold no path and no time. OutputError where that fails."""
    import warnings

    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save as save_dcp

    content = {**content, OWN: dict(metadata)}
    writer = FileSystemWriter(folder, single_file_per_rank=True, sync_files=True)
    with reported(OutputError, "write", label):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of there being no process group
                save_dcp(content, storage_writer=writer, no_dist=True)
        except CheckpointException as error:
            failure = next(iter(error.failures.values()))[0]
            if isinstance(failure, OSError) or not isinstance(failure, Exception):
                raise failure from error  # torch wraps a signal's SystemExit, too
            raise
        found = _metadata(folder, label)
        found.storage_meta = None  # the folder's name, and a number drawn for the run
        with (folder / METADATA).open("wb") as stream:
            pickle.dump(found, stream)
            stream.flush()
            os.fsync(stream.fileno())
