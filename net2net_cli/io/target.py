"""Where an output goes, and every reason not to write it there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from net2net_cli.errors import OutputError, closest
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.occupied import check_folder
from net2net_cli.io.temporary import exists_error
from net2net_cli.io.torch_file import ENDINGS as TORCH_ENDINGS

DCP = ".dcp"
"""The ending of a folder that is to be one of torch.distributed.checkpoint."""

_EFFECTIVE = os.access in os.supports_effective_ids


@dataclass(frozen=True)
class Target:
    """An output that may be written.

    ``shown`` is the file or folder as the user would name it (None: standard output), ``file`` the
    same with links resolved.
    """

    shown: Path | None
    file: Path | None
    format: Literal["safetensors", "torch", "folder", "dcp"]

    @property
    def divisible(self) -> bool:
        """Whether several processes can write it together."""
        return self.format not in ("torch", "dcp") and self.file is not None


def check_output(
    output: str, sources: Sequence[Path] = (), *, overwrite: bool = False, folders: bool = True
) -> Target:
    """Where the output goes: a file, a folder (``OUT/``, ``OUT.dcp``, one that is there) or ``-``.

    OutputError where it exists and ``overwrite`` is false, is one of ``sources`` (files or
    folders), has no folder to lie in, is no plain file or no folder that may be replaced
    (``check_folder``), is a terminal, or is a folder where ``folders`` is false. Touches nothing.
    """
    if output == "-":
        if sys.stdout is not None and sys.stdout.isatty():
            raise OutputError(
                "a checkpoint cannot be written to a terminal",
                hint="redirect standard output, or name a file with -o",
            )
        return Target(None, None, "safetensors")
    if not output or "\0" in output:
        raise OutputError(f"`{shown(output)}` cannot be the name of an output")
    with reported(OutputError, "write", output):
        path = Path(output)
        file = Path(os.path.realpath(path))
        if output.endswith(os.sep) or path.is_dir() or path.suffix == DCP:
            if not folders:
                raise OutputError(
                    f"`{shown(output)}` names a folder", hint="name a file to be written"
                )
            _check_parent(file.parent, path)
            check_folder(file, path, sources, overwrite=overwrite)
            return Target(path, file, "dcp" if path.suffix == DCP else "folder")
        _check_parent(file.parent, path)
        _check_file(file, path, sources, overwrite=overwrite)
    return Target(path, file, "torch" if path.suffix in TORCH_ENDINGS else "safetensors")


def _check_parent(folder: Path, path: Path) -> None:
    if folder.is_dir():
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
            raise OutputError(f"cannot write `{shown(path)}`: its folder is not writable")
        return
    if os.path.lexists(folder):
        raise OutputError(f"cannot write `{shown(path)}`: `{shown(folder)}` is not a folder")
    hint = ""
    if folder.parent.is_dir():
        folders = [e.name for e in os.scandir(folder.parent) if e.is_dir()]
        hint = closest(folder.name, [shown(name) for name in folders])
    raise OutputError(
        f"cannot write `{shown(path)}`: its folder does not exist",
        hint=hint or f"make it first: mkdir -p {shown(path.parent)}",
    )


def _check_file(file: Path, path: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    if not file.exists():
        return
    read = [f for s in sources for f in (s.iterdir() if s.is_dir() else [s])]
    if any(source.exists() and source.samefile(file) for source in read):
        raise OutputError(
            f"`{shown(path)}` is the checkpoint that is read", hint="choose another name"
        )
    if not file.is_file():
        raise OutputError(
            f"`{shown(path)}` is no plain file",
            hint="`-o -` writes to standard output, which may go anywhere",
        )
    if not overwrite:
        raise exists_error(path)
