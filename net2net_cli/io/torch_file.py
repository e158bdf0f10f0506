"""A torch file (``.pt``, ``.pth``, ``.bin``) as a source.

Loaded with ``weights_only``: a pickle that would run code is refused, never run. A dictionary that
keeps the state dict beside an optimizer or an epoch is unwrapped.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from net2net_cli.errors import CheckpointError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.failures import is_unicode, reported, shown
from net2net_cli.io.plain import check_plain, trouble
from net2net_cli.io.tensors import TensorInfo, raw_bytes

if TYPE_CHECKING:
    import torch

ENDINGS = (".pt", ".pth", ".bin")
"""The names that torch files go by."""

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the state dict, in the order tried."""

_SAVE_STATE_DICT = (
    "where you trust it, load it with the code that wrote it, and save `model.state_dict()` alone"
)


class TorchSource(Source):
    """The state dict of a torch file; contiguous tensors share memory with the file."""

    def __init__(self, file: Path, label: str, path: Path | None) -> None:
        """Loads ``file``; errors call it ``label``. ``path`` is None where it will not last."""
        self.label = label
        self.path = path
        self.files = () if path is None else (path,)
        with reported(CheckpointError, "read", label):
            loaded = load_torch(file, shown(label))
        self._state = _state_dict(loaded, shown(label))
        self.tensors = {
            name: _info(name, tensor, shown(label)) for name, tensor in self._state.items()
        }
        self.metadata = {}

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes; a copy where it was not contiguous."""
        return raw_bytes(self._state[name])

    def close(self) -> None:
        """Forgets the state dict."""
        self._state = {}


def load_torch(file: Path, where: str) -> Any:
    """What a torch file holds, with ``weights_only``; shares memory with the file where it can.

    CheckpointError where it is damaged, or holds what would run code; OSError.
    """
    is_zip = _check_archive(file, where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of protocols; what cannot be read is an error
        loaded = _load(file, where, is_zip=is_zip)
    check_plain(loaded, where)
    return loaded


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


def _load(file: Path, where: str, *, is_zip: bool) -> Any:
    import torch

    try:
        if is_zip and file.suffix != ".safetensors":  # torch goes by the name, we by the content
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        with file.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
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


def _damaged(error: Exception, where: str) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[-1][:200]
    return CheckpointError(
        f"the file is truncated, damaged or not torch's: {shown(reason)}", where=where
    )


def _state_dict(loaded: Any, where: str) -> dict[str, torch.Tensor]:
    """The tensors by name; CheckpointError names what else is there."""
    import torch

    found = loaded
    if isinstance(loaded, Mapping):
        wrapped = [loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)]
        found = wrapped[0] if wrapped else loaded
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


def _info(name: str, tensor: torch.Tensor, where: str) -> TensorInfo:
    problem = trouble(tensor) if is_unicode(name) else "has a name that is not valid Unicode"
    if problem:
        raise CheckpointError(f"tensor `{shown(name)}` {problem}", where=where)
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorInfo(name, dtype, tuple(tensor.shape))
