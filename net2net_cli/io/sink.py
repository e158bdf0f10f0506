"""Writing a checkpoint: streamed tensor by tensor, checked, and there whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from net2net_cli.errors import OutputError
from net2net_cli.io.digest import tree_digest
from net2net_cli.io.exchange import publish_folder
from net2net_cli.io.failures import reported
from net2net_cli.io.model_folder import Content, write_files, write_shards
from net2net_cli.io.occupied import check_folder
from net2net_cli.io.shards import split
from net2net_cli.io.spool import PIECE, spool_file
from net2net_cli.io.target import Target, check_output
from net2net_cli.io.temporary import (
    publish,
    stale_temporaries,
    sync_folder,
    temporary,
    temporary_folder,
)
from net2net_cli.io.tensor_file import (
    WORKERS,
    Final,
    Produce,
    write_safetensors,
    write_torch,
)
from net2net_cli.io.tensors import TensorInfo

__all__ = ["Produce", "Written", "check_output", "stale_temporaries", "write_checkpoint"]

Check = Callable[[Path], None]
Finish = Callable[[], Mapping[str, bytes]]


@dataclass(frozen=True)
class Written:
    """What was written: ``path`` of the file or folder (None: standard output), content digest.

    ``nbytes`` is the size of the file, or of all files with tensors; ``metadata`` says whether the
    metadata went with it: a torch state dict has no room for any.
    """

    path: Path | None
    digest: str
    nbytes: int
    metadata: bool


def write_checkpoint(
    output: str,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    produce: Produce,
    *,
    overwrite: bool = False,
    sources: Sequence[Path] = (),
    check: Check | None = None,
    files: Mapping[str, Content] = MappingProxyType({}),
    shard_bytes: int | None = None,
    finish: Finish | None = None,
    final: Final | None = None,
    workers: int = WORKERS,
) -> Written:
    """Writes the tensors to a file, a folder or ``-``; ``produce`` is called once for each, from
    ``workers`` threads at once. ``final`` gives the metadata once all are made, of the same length.

    The format follows the name's ending: a torch state dict for .pt, .pth and .bin (held in memory
    as a whole), safetensors for all others. A folder is one of Hugging Face's: ``shard_bytes`` (5
    GB) limits the tensors in a file, and ``files`` lie beside them. What is written has a temporary
    name, is given to ``check``, and is renamed only when that returned; the files that ``finish``
    then gives go into the folder too. Whatever is raised leaves nothing behind.

    OutputError for every reason not to write; AssertionError where ``produce`` breaks its promise,
    and for ``files`` or ``finish`` where there is no folder.
    """
    target = check_output(output, sources, overwrite=overwrite)
    assert len({t.name for t in tensors}) == len(tensors), "two tensors have one name"
    if target.format == "folder":
        shards = split(tensors, shard_bytes)
        with _folder(target, sources, overwrite=overwrite) as (temp, label):
            content, size = write_shards(temp, shards, metadata, produce, label, final, workers)
            write_files(temp, files, label)
            sync_folder(temp)
            if check:
                check(temp)
            if finish:
                write_files(temp, finish(), label)
                sync_folder(temp)
        return Written(target.shown, tree_digest(content), size, metadata=True)
    assert not files, "a file has no other files beside it"
    assert finish is None, "a file has no other files beside it"
    return _write_file(
        target, tensors, metadata, produce, check, final, workers, overwrite=overwrite
    )


@contextmanager
def _folder(
    target: Target, sources: Sequence[Path], *, overwrite: bool
) -> Iterator[tuple[Path, Path]]:
    """A temporary folder, which takes its name at the end, and what errors call it."""
    assert target.file is not None
    assert target.shown is not None
    with temporary_folder(target.file) as temp:
        yield temp, target.shown
        # Hours may have passed, and somebody may have put there what must not go.
        with reported(OutputError, "write", target.shown):
            check_folder(target.file, target.shown, sources, overwrite=overwrite)
        publish_folder(temp, target.file, overwrite=overwrite)


def _write_file(
    target: Target,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    produce: Produce,
    check: Check | None,
    final: Final | None,
    workers: int,
    *,
    overwrite: bool,
) -> Written:
    torch_file = target.format == "torch"
    opened = temporary(target.file) if target.file else spool_file("stdout", OutputError)
    with opened as (temp, descriptor):
        label = str(target.shown or temp)
        if torch_file:
            content = write_torch(descriptor, tensors, produce, label)
        else:
            content = write_safetensors(
                descriptor, tensors, metadata, produce, label, final, workers
            )
        with reported(OutputError, "write", label):
            if target.file:
                os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        if check:
            check(temp)
        if target.file:
            publish(temp, target.file, overwrite=overwrite)
        else:
            _copy_to_stdout(descriptor)
    return Written(target.shown, tree_digest(content), size, not torch_file)


def _copy_to_stdout(descriptor: int) -> None:
    stream = sys.stdout.buffer
    with reported(OutputError, "write", "standard output"):
        os.lseek(descriptor, 0, os.SEEK_SET)
        while piece := os.read(descriptor, PIECE):
            stream.write(piece)
        stream.flush()
