"""A torch file (``.pt``, ``.pth``, ``.bin``, Lightning's ``.ckpt``) as a source.

Loaded with ``weights_only``: a pickle that would run code is refused, never run. A dictionary that
keeps the state dict beside an optimizer or an epoch is unwrapped.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sys import byteorder
from typing import TYPE_CHECKING, Any, BinaryIO

from net2net_cli.errors import CheckpointError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.failures import is_unicode, reported, shown
from net2net_cli.io.opened import Opened
from net2net_cli.io.plain import check_plain, trouble
from net2net_cli.io.tensors import TensorInfo, from_bytes, raw_bytes

if TYPE_CHECKING:
    import torch

ENDINGS = (".pt", ".pth", ".bin", ".ckpt")
"""The names that torch files go by."""

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the state dict, in the order tried."""

_SAVE_STATE_DICT = (
    "where you trust it, load it with the code that wrote it, and save `model.state_dict()` alone"
)


class TorchSource(Source):
    """The state dict of a torch file, whose tensors are read when they are wanted."""

    def __init__(self, file: Path, label: str, path: Path | None) -> None:
        """Loads ``file``; errors call it ``label``. ``path`` is None where it will not last."""
        self.label = label
        self.path = path
        self.files = () if path is None else (path,)
        self._content = TorchContent(file, label)
        self._state = _state_dict(self._content.loaded, shown(label))
        self.tensors = {
            name: _info(name, tensor, shown(label), lazy=self._content.lazy)
            for name, tensor in self._state.items()
        }
        self.metadata = {}

    @property
    def loaded(self) -> Any:
        """All that it holds, in collections that can be walked; tensors may be without data."""
        return self._content.loaded

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes, in memory of their own where it is not held in memory anyway."""
        return raw_bytes(self._content.tensor(self._state[name]))

    def read(self, name: str, at: int, into: memoryview) -> None:
        """A part of them, from the file where they lie in it as they are."""
        if not self._content.read(self._state[name], at, into):
            super().read(name, at, into)

    def close(self) -> None:
        """Forgets the state dict."""
        self._state = {}
        self._content.close()


class TorchContent:
    """What a torch file holds, with ``weights_only``: ``loaded``, in collections that can be
    walked. Its tensors are on the meta device and ``lazy``, where each can be read from the file by
    itself; else (old formats, odd archives) they are all in memory."""

    def __init__(self, file: Path, label: str) -> None:
        """CheckpointError where it is damaged, or holds what would run code, or cannot be read."""
        where = shown(label)
        with reported(CheckpointError, "read", label):
            is_zip = _check_archive(file, where)
            with file.open("rb") as stream:
                self._opened = Opened(stream, label)
                found = _outline(stream, where) if is_zip else None
                self.lazy = found is not None
                self.loaded = found if self.lazy else _load(stream, where, "cpu")

    def tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """One of ``loaded``, in memory."""
        import torch

        if not self.lazy:
            return tensor
        span = _span(tensor)
        data = memoryview(bytearray(span.size))
        self._opened.read(span.start, data)
        entries = (span.size // tensor.element_size(),)
        flat = from_bytes(data, TensorInfo("", _dtype(tensor), entries))
        made = torch.as_strided(flat, tensor.shape, tensor.stride(), 0)
        return made.conj() if tensor.is_conj() else made

    def read(self, tensor: torch.Tensor, at: int, into: memoryview) -> bool:
        """Fills ``into`` with a tensor's bytes from ``at`` on; gives whether they lie in the file
        as they are, else nothing is done."""
        if not self.lazy or not tensor.is_contiguous() or tensor.is_conj():
            return False
        self._opened.read(_span(tensor).start + at, into)
        return True

    def close(self) -> None:
        """Closes the file."""
        self._opened.close()


def load_torch(file: Path, where: str) -> Any:
    """What a torch file holds, with ``weights_only``, in memory.

    CheckpointError where it is damaged, or holds what would run code; OSError.
    """
    _check_archive(file, where)
    with file.open("rb") as stream:
        return _load(stream, where, "cpu")


@dataclass(frozen=True)
class Span:
    """Where a tensor's entries lie in the file, from the first to behind the last."""

    start: int
    size: int


def _span(tensor: torch.Tensor) -> Span:
    """That of a tensor of an outline."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    entries = 1 + sum((size - 1) * step for size, step in steps) if tensor.numel() else 0
    first, size = _record_of(tensor), tensor.element_size()
    assert first is not None
    return Span(first + int(tensor.storage_offset()) * size, entries * size)


def _record_of(tensor: torch.Tensor) -> int | None:
    """Where a tensor's record begins in the file, as torch reckons; None where it does not say so,
    as none before 2.7 does."""
    found: int | None = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    return found


def _outline(stream: BinaryIO, where: str) -> Any:
    """What an archive holds, without its data; None where not all of that can be found in it. A
    failure is no reason to give up: some kinds of tensors cannot be without data."""
    import zipfile

    odd = (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, struct.error)
    try:
        records = _records(stream)
    except odd:  # a damaged archive: torch has the words for it, if it cannot read that either
        return None
    with suppress(CheckpointError):
        loaded = _load(stream, where, "meta")
        if all(_lies_in(tensor, records) for tensor in _tensors(loaded)):
            return loaded
    return None


def _records(stream: BinaryIO) -> dict[int, int]:
    """Where the data of an archive's records begin -> their sizes. Empty where their bytes are not
    in this machine's order."""
    import zipfile

    found = {}
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            name = entry.filename.partition("/")[2]
            if name == "byteorder" and archive.read(entry).decode("ascii", "replace") != byteorder:
                return {}
            if name.startswith("data/"):
                stream.seek(entry.header_offset + 26)
                name_size, extra_size = struct.unpack("<HH", stream.read(4))
                found[entry.header_offset + 30 + name_size + extra_size] = entry.file_size
    return found


def _tensors(node: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(node, torch.Tensor):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _tensors(value)
    elif isinstance(node, list | tuple | set | frozenset):
        for value in node:
            yield from _tensors(value)


def _lies_in(tensor: torch.Tensor, records: Mapping[int, int]) -> bool:
    """Whether a tensor lies in one of the records: torch reckons where that should be, which holds
    for what it wrote itself, and does not look how long it is."""
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_neg():
        return False
    first = _record_of(tensor)
    if tensor.device.type != "meta" or first is None or first not in records:
        return False
    span = _span(tensor)
    return span.start + span.size <= first + records[first]


def _check_archive(file: Path, where: str) -> bool:
    """Whether the file is a zip archive (or else a bare pickle), and one that torch wrote."""
    import zipfile

    with file.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"the file is truncated or damaged: {error}",
            where=where,
            hint="copy or download it again",
        ) from error
    parts = {part for entry in entries for part in entry.filename.split("/")[1:]}
    if "constants.pkl" in parts:
        raise CheckpointError(
            "a TorchScript program, not a state dict",
            where=where,
            hint="where you trust it: torch.save(torch.jit.load(FILE).state_dict(), NEW)",
        )
    if "data.pkl" not in parts:
        raise CheckpointError("a zip archive, but not one of torch's", where=where)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError("a compressed archive; torch's are not", where=where)
    return True


def _load(stream: BinaryIO, where: str, device: str) -> Any:
    import torch

    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols; what cannot be read is an error
            loaded = torch.load(stream, map_location=device, weights_only=True)
    except (OSError, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        if name is None:
            raise _damaged(error, where) from error
        raise CheckpointError(
            f"it holds more than tensors: loading it would run `{name[1]}`",
            where=where,
            hint=_SAVE_STATE_DICT,
        ) from error
    except Exception as error:  # damaged pickles raise anything at all
        raise _damaged(error, where) from error
    check_plain(loaded, where)
    return loaded


def _damaged(error: Exception, where: str) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[-1][:200]
    return CheckpointError(
        f"the file is truncated, damaged or not torch's: {shown(reason)}", where=where
    )


def wrapper_of(loaded: Any) -> str | None:
    """The key under which a training run's file keeps the weights; None: it is they."""
    if not isinstance(loaded, Mapping):
        return None
    return next((key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None)


def _state_dict(loaded: Any, where: str) -> dict[str, torch.Tensor]:
    """The tensors by name; CheckpointError names what else is there."""
    import torch

    wrapper = wrapper_of(loaded)
    found = loaded if wrapper is None else loaded[wrapper]
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"it holds a {type(found).__name__}, not a state dict",
            where=where,
            hint="save `model.state_dict()`",
        )
    others = [
        f"`{shown(str(key))}` ({type(value).__name__})"
        for key, value in found.items()
        if not isinstance(key, str) or not isinstance(value, torch.Tensor)
    ]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise CheckpointError(
            f"the state dict holds what is no tensor: {', '.join(others[:3])}{more}",
            where=where,
            hint="save the tensors alone; a wrapper's key may be " + ", ".join(WRAPPERS),
        )
    return dict(found)


def _info(name: str, tensor: torch.Tensor, where: str, *, lazy: bool) -> TensorInfo:
    problem = "has a name that is not valid Unicode"
    if is_unicode(name):
        problem = trouble(tensor, "meta" if lazy else "cpu") or ""
    if problem:
        raise CheckpointError(f"tensor `{shown(name)}` {problem}", where=where)
    return TensorInfo(name, _dtype(tensor), tuple(tensor.shape))


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
