"""The header of a safetensors file: parsed with every check that the format asks for, and written.

A file is 8 bytes of length (little endian), a JSON object of that length, and the data. The object
maps each tensor's name to its type, shape and place in the data; ``__metadata__`` maps text to
text. The data hold no holes and no overlaps, and end with the file. Rules from the format's
description in the safetensors repository.
"""

from __future__ import annotations

import gc
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeGuard

from net2net_cli.errors import CheckpointError, OutputError
from net2net_cli.io.dtypes import FROM_SAFETENSORS, SIZES, TO_SAFETENSORS
from net2net_cli.io.failures import is_unicode, shown
from net2net_cli.io.tensors import TensorInfo

LIMIT = 100_000_000
"""The longest header that the format allows, in bytes."""

PAGE = 4096
"""Written data start at a multiple of this, so that mapped tensors are aligned."""


_KEYS = {"dtype", "shape", "data_offsets"}

_Entry = tuple[Any, tuple[Any, ...] | None, tuple[Any, ...] | None]
"""What a header says of a tensor: dtype, shape and place; None for what is no list."""


@dataclass(frozen=True)
class Header:
    """``spans`` holds where each tensor's bytes start and end, counted from the file's start."""

    tensors: Mapping[str, TensorInfo]
    spans: Mapping[str, tuple[int, int]]
    metadata: Mapping[str, str]


def read_header(file: BinaryIO, size: int, where: str) -> Header:
    """The header of a file of that many bytes, read from its start; nothing else is read.

    CheckpointError names what is wrong with it, and the tensor.
    """
    if size == 0:
        raise CheckpointError("the file is empty", where=where)
    if size < 8:
        raise CheckpointError(
            f"the file is truncated: it has {size} bytes, a safetensors header starts with 8",
            where=where,
        )
    (length,) = struct.unpack("<Q", file.read(8))
    if length > LIMIT:
        raise CheckpointError(
            f"not a safetensors file: its header would have {length} bytes (at most {LIMIT})",
            where=where,
        )
    if length > size - 8:
        raise CheckpointError(
            f"the file is truncated: its header has {length} bytes, only {size - 8} are there",
            where=where,
            hint="copy or download it again",
        )
    return _parse(file.read(length), 8 + length, size, where)


def _parse(data: bytes, start: int, size: int, where: str) -> Header:
    with _no_search_for_garbage():
        entries = _json_object(data, where)
        metadata = _metadata(entries.pop("__metadata__", None), where)
        tensors: dict[str, TensorInfo] = {}
        spans: dict[str, tuple[int, int]] = {}
        for name in list(entries):
            tensors[name], (first, end) = _tensor(name, entries.pop(name), where)
            spans[name] = (start + first, start + end)
        _check_spans(spans, start, size, where)
    return Header(tensors, spans, metadata)


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """A million entries make none; to look for it among them again and again takes longer than to
    read them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _json_object(data: bytes, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Entry:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise CheckpointError(f"the header names `{shown(twice)}` twice", where=where)
        if found.keys() == _KEYS and isinstance(found["shape"], list):
            return _entry(found)
        return found

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"the header is not UTF-8 (byte {8 + error.start} of the file)", where=where
        ) from error
    try:
        found = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the header is not valid JSON: {error}", where=where) from error
    if not isinstance(found, dict):
        raise CheckpointError("the header is not a JSON object", where=where)
    return found


def _entry(found: Mapping[str, Any]) -> _Entry:
    """What an object says of a tensor, in less memory than it takes itself."""
    code, shape, span = (found.get(key) for key in ("dtype", "shape", "data_offsets"))
    return (
        code,
        tuple(shape) if isinstance(shape, list) else None,
        tuple(span) if isinstance(span, list) else None,
    )


def _metadata(entry: Any, where: str) -> dict[str, str]:
    if entry is None:
        return {}
    if not isinstance(entry, dict):
        raise CheckpointError("the header's `__metadata__` is not an object", where=where)
    for key, value in entry.items():
        if not isinstance(value, str) or not is_unicode(key + value):
            raise CheckpointError(f"the metadata's `{shown(key)}` is not text", where=where)
    return entry


def _tensor(name: str, entry: Any, where: str) -> tuple[TensorInfo, tuple[int, int]]:
    def refuse(problem: str) -> CheckpointError:
        return CheckpointError(f"tensor `{shown(name)}`: {problem}", where=where)

    if not is_unicode(name):
        raise refuse("its name is not valid Unicode")
    if not isinstance(entry, dict | tuple):
        raise refuse("its entry in the header is not an object")
    code, shape, span = entry if isinstance(entry, tuple) else _entry(entry)
    if not isinstance(code, str) or code not in FROM_SAFETENSORS:
        raise refuse(f"unknown dtype {shown(json.dumps(code))}")
    if not _whole_numbers(shape):
        raise refuse("its shape is not a list of whole numbers")
    if not _whole_numbers(span) or len(span) != 2 or span[0] > span[1]:
        raise refuse("its data_offsets are not a start and an end")
    info = TensorInfo(name, FROM_SAFETENSORS[code], tuple(shape))
    if info.nbytes != span[1] - span[0]:
        raise refuse(
            f"{info.dtype} of shape {list(shape)} takes {_bytes(info.nbytes)}, "
            f"the header gives it {span[1] - span[0]}"
        )
    return info, (span[0], span[1])


def _check_spans(spans: Mapping[str, tuple[int, int]], start: int, size: int, where: str) -> None:
    position, before = start, ""
    for name, (first, end) in sorted(spans.items(), key=lambda item: item[1]):
        if end > size:
            raise CheckpointError(
                f"the file is truncated: tensor `{shown(name)}` ends at byte {_bytes(end)}, "
                f"the file at {size}",
                where=where,
                hint="copy or download it again",
            )
        if first < position:
            raise CheckpointError(
                f"tensors `{shown(before)}` and `{shown(name)}` overlap", where=where
            )
        if first > position:
            raise CheckpointError(
                f"{first - position} bytes before tensor `{shown(name)}` belong to no tensor",
                where=where,
            )
        position, before = end, name
    if position < size:
        raise CheckpointError(
            f"{size - position} bytes at the end of the file belong to no tensor", where=where
        )


def _whole_numbers(value: tuple[Any, ...] | None) -> TypeGuard[tuple[int, ...]]:
    return value is not None and all(type(v) is int and v >= 0 for v in value)


def _bytes(count: int) -> str:
    return str(count) if count < 2**64 else "more than 2**64"


def write_order(tensors: Sequence[TensorInfo]) -> list[TensorInfo]:
    """The order of the tensors in the data: larger elements first, so that all are aligned."""
    return sorted(tensors, key=lambda t: (-SIZES[t.dtype], t.name))


def render_header(tensors: Sequence[TensorInfo], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of a file that holds these tensors in ``write_order``, padded.

    OutputError for an element type that the format does not know, and for too long a header.
    """
    entries: dict[str, Any] = {"__metadata__": {**metadata, "format": "pt"}}
    position = 0
    for tensor in write_order(tensors):
        if tensor.name in entries:
            raise OutputError(f"no tensor of a safetensors file can be named `{tensor.name}`")
        if tensor.dtype not in TO_SAFETENSORS:
            raise OutputError(
                f"safetensors cannot hold {tensor.dtype} (tensor `{shown(tensor.name)}`)",
                hint="write a torch file instead, with a name that ends in .pt",
            )
        entries[tensor.name] = {
            "data_offsets": [position, position + tensor.nbytes],
            "dtype": TO_SAFETENSORS[tensor.dtype],
            "shape": list(tensor.shape),
        }
        position += tensor.nbytes
    text = json.dumps(entries, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    data = text.encode("utf-8")
    data += b" " * (-(8 + len(data)) % PAGE)
    if len(data) > LIMIT:
        raise OutputError(f"the header has {len(data)} bytes, safetensors allows {LIMIT}")
    return struct.pack("<Q", len(data)) + data
