"""A folder in the output's place, and every reason not to replace it.

It would go as a whole: so it must be a checkpoint and nothing else, as far as can be told.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from net2net_cli.errors import OutputError
from net2net_cli.io.failures import shown
from net2net_cli.io.shards import INDEX, SINGLE, TORCH_INDEX, TORCH_SINGLE
from net2net_cli.io.temporary import exists_error

_EFFECTIVE = os.access in os.supports_effective_ids
_MODEL = (
    ".metadata",
    SINGLE,
    INDEX,
    "model-*.safetensors",
    TORCH_SINGLE,
    TORCH_INDEX,
    "pytorch_model-*.bin",
)
_WEIGHTS = ("*.safetensors", "*.bin")


def check_folder(
    folder: Path, name: Path, sources: Sequence[Path], *, overwrite: bool = False
) -> None:
    """Refuses to replace ``folder``, which a user calls ``name`` (a link, perhaps).

    OutputError where one of ``sources`` (files or folders) is it or lies in it, where it is a mount
    point or the current folder, and, unless it is empty, where it is no checkpoint, holds a folder,
    or ``overwrite`` is false.
    """
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise OutputError(f"`{shown(name)}` is not a folder")
        return
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    _check_sources(folder, name, entries, sources)
    if os.path.ismount(folder):
        raise _kept(name, "is a mount point", "name a folder in it")
    if folder.samefile(os.curdir):
        raise _kept(name, "is the current folder", "name another one, or a file")
    if not entries:
        return
    _check_entries(folder, name, entries)
    if not overwrite:
        raise exists_error(name)


def _check_sources(
    folder: Path, name: Path, entries: Iterable[os.DirEntry[str]], sources: Sequence[Path]
) -> None:
    own = {(s.st_dev, s.st_ino) for s in _stats(Path(entry.path) for entry in entries)}
    for source in sources:
        parts = [source, *source.iterdir()] if source.is_dir() else [source]
        read = {(s.st_dev, s.st_ino) for s in _stats(parts)}
        homes = (source, source.parent, Path(os.path.realpath(source)).parent)
        if read & own or any(home.exists() and home.samefile(folder) for home in homes):
            raise OutputError(
                f"`{shown(name)}` holds the checkpoint that is read", hint="choose another name"
            )


def _stats(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    for path in paths:
        if path.exists():
            yield path.stat()


def _check_entries(folder: Path, name: Path, entries: Sequence[os.DirEntry[str]]) -> None:
    names = [entry.name for entry in entries]
    patterns = _WEIGHTS if "config.json" in names else _MODEL
    if not any(fnmatchcase(n, p) for n in names for p in patterns):
        raise _kept(
            name, "is not a folder of a checkpoint", f"name a new folder: {shown(name / 'NEW')}/"
        )
    for entry in entries:
        what = f"holds `{shown(entry.name)}`, which is no plain file"
        if entry.is_dir() or not (entry.is_file() or entry.is_symlink()):
            raise _kept(name, what, "choose another name, or remove it first")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
        raise _kept(name, "is not writable", "choose another name")


def _kept(name: Path, reason: str, hint: str) -> OutputError:
    return OutputError(f"`{shown(name)}` cannot be replaced: it {reason}", hint=hint)
