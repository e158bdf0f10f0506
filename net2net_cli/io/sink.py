"""Writing a checkpoint: streamed tensor by tensor, checked, and there whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from net2net_cli.errors import OutputError
from net2net_cli.io.digest import LeafDigests, tree_digest
from net2net_cli.io.exchange import publish_folder
from net2net_cli.io.failures import reported
from net2net_cli.io.joint import (
    ALONE,
    Begun,
    Joint,
    describe,
    filling,
    gathered,
    job_of,
    job_text,
    outlives,
    sampled,
)
from net2net_cli.io.journal import Claims, read_journals
from net2net_cli.io.model_folder import (
    Content,
    Shards,
    fill_shards,
    head_shards,
    reserve_shards,
    write_files,
)
from net2net_cli.io.occupied import check_folder
from net2net_cli.io.shards import split
from net2net_cli.io.spool import PIECE, spool_file
from net2net_cli.io.target import Target, check_output
from net2net_cli.io.temporary import (
    clear_folder,
    job_temporary,
    journals,
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
    Training,
    collect,
    write_safetensors,
    write_torch,
)
from net2net_cli.io.tensors import TensorInfo

if TYPE_CHECKING:
    pass

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
    joint: Joint = ALONE,
    training: Training | None = None,
) -> Written:
    """Writes the tensors to a file, a folder or ``-``; ``produce`` is called once for each, from
    ``workers`` threads at once. ``final`` gives the metadata once all are made, of the same length.

    The format follows the name's ending: a torch file for those of torch_file.ENDINGS (held in
    memory as a whole), safetensors for all others. A folder is one of Hugging Face's:
    ``shard_bytes`` (5 GB) limits the tensors in a file, and ``files`` lie beside them. What is
    written has a temporary name, is given to ``check``, and is renamed only when that returned; the
    files that ``finish`` then gives go into the folder too. Whatever is raised leaves nothing
    behind.

    A torch file and a folder of torch.distributed.checkpoint (held in memory, too) have what
    ``training`` makes of the weights.

    Several processes that all call it share the work by ``joint``; ``finish`` and ``final`` are the
    first one's, ``check`` is everybody's. What cannot be divided (see Target), the first one writes
    and checks alone.

    OutputError for every reason not to write; AssertionError where ``produce`` breaks its promise,
    and for ``files`` or ``finish`` where there is no folder.
    """
    # All have looked before the first one writes: what it wrote would be in the others' way.
    checked = joint.team.together(lambda: check_output(output, sources, overwrite=overwrite))
    target = checked[joint.team.rank]
    assert len({t.name for t in tensors}) == len(tensors), "two tensors have one name"
    folder = target.format == "folder"
    assert folder or not files, "a file has no other files beside it"
    assert folder or finish is None, "a file has no other files beside it"
    if not target.divisible or target.file is None:
        write = _write_dcp if target.format == "dcp" else _write_whole
        return joint.team.lead(
            lambda: write(
                target, tensors, metadata, produce, check, final, training, workers,
                overwrite=overwrite,
            )
        )  # fmt: skip
    shards = Shards(split(tensors, shard_bytes) if folder else {"": tensors}, metadata)
    writing = _Writing(
        joint, target, target.file, target.shown or target.file, shards, sources, overwrite
    )

    def complete(temp: Path) -> None:
        head_shards(shards, temp, writing.label, final)
        if folder:
            _add(temp, files, writing.label)

    def end(temp: Path) -> None:
        if finish:
            _add(temp, finish(), writing.label)

    content = writing.run(produce, complete, check, end, workers)
    return Written(target.shown, tree_digest(tensors, content), shards.size, metadata=True)


def _add(folder: Path, files: Mapping[str, Content], label: Path) -> None:
    write_files(folder, files, label)
    sync_folder(folder)


@dataclass(frozen=True)
class _Writing:
    """A file, or a folder, of safetensors on its way to its name: ``file`` with links resolved,
    ``label`` as the user would name it."""

    joint: Joint
    target: Target
    file: Path
    label: Path
    shards: Shards
    sources: Sequence[Path]
    overwrite: bool

    def run(
        self,
        produce: Produce,
        complete: Callable[[Path], None],
        check: Check | None,
        end: Callable[[Path], None],
        workers: int,
    ) -> LeafDigests:
        """Make room, have every process write its part, ``complete`` it, have every process
        ``check`` it, ``end`` it and give it its name: alone, or by the first process. Gives the
        digest of each leaf."""
        team = self.joint.team
        with ExitStack() as temporaries:
            begun = self._together(temporaries) if team.size > 1 else self._alone(temporaries)
            content = gathered(self.joint, lambda: self._filled(begun, produce, workers))

            def ended() -> None:
                end(begun.path)
                self._publish(begun.path)

            team.lead(lambda: complete(begun.path))
            if check:
                check(begun.path)
            team.lead(ended)
        return content

    def _alone(self, temporaries: ExitStack) -> Begun:
        if self.target.format == "folder":
            temp = temporaries.enter_context(temporary_folder(self.file))
        else:
            temp = temporaries.enter_context(temporary(self.file))[0]
        reserve_shards(self.shards, temp, self.label)
        return Begun(temp, "", Claims())

    def _together(self, temporaries: ExitStack) -> Begun:
        """The first process begins; what an earlier run of the same job left is picked up."""
        shards, joint = self.shards, self.joint
        tensors = [info for own in shards.files.values() for info in own]
        told = describe(tensors, shards.metadata), sampled(self.sources)
        text = job_text(joint, str(self.label), told, sorted(shards.files), self.target.format)

        def begin() -> Begun:
            job = job_of(text, self.sources)
            temp = temporaries.enter_context(job_temporary(self.file, job, outlives))
            if self.target.format == "folder":
                with reported(OutputError, "write", self.label):
                    clear_folder(temp, keep=shards.files)
            reserve_shards(shards, temp, self.label)
            return Begun(temp, job, read_journals(journals(self.file, job)))

        begun = joint.team.lead(begin)
        joint.digests.update(begun.claims.source)
        return begun

    def _filled(self, begun: Begun, produce: Produce, workers: int) -> LeafDigests:
        team, shards = self.joint.team, self.shards
        mine = team.share([info for own in shards.files.values() for info in own])
        fill = filling(self.joint, begun, self.file, mine, produce, workers)
        sync = team.size > 1 or len(shards.files) > 1
        return fill_shards(shards, begun.path, self.label, fill, sync=sync)

    def _publish(self, temp: Path) -> None:
        if self.target.format != "folder":
            publish(temp, self.file, overwrite=self.overwrite)
            return
        # Hours may have passed, and somebody may have put there what must not go.
        with reported(OutputError, "write", self.label):
            check_folder(self.file, self.label, self.sources, overwrite=self.overwrite)
        publish_folder(temp, self.file, overwrite=self.overwrite)


def _write_whole(
    target: Target,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    produce: Produce,
    check: Check | None,
    final: Final | None,
    training: Training | None,
    workers: int,
    *,
    overwrite: bool,
) -> Written:
    """By one process: a torch file, or standard output."""
    torch_file = target.format == "torch"
    opened = temporary(target.file) if target.file else spool_file("stdout", OutputError)
    with opened as (temp, descriptor):
        label = str(target.shown or temp)
        if torch_file:
            content = write_torch(descriptor, tensors, produce, label, training)
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
    return Written(target.shown, tree_digest(tensors, content), size, not torch_file)


def _write_dcp(
    target: Target,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    produce: Produce,
    check: Check | None,
    final: Final | None,
    training: Training | None,
    _workers: int,
    *,
    overwrite: bool,
) -> Written:
    """A folder of torch.distributed.checkpoint."""
    from net2net_cli.io.dcp import save

    assert target.file is not None
    label = target.shown or target.file
    with temporary_folder(target.file) as temp:
        state, content = collect(tensors, produce)
        whole = training(state) if training else {"model": state}
        save(temp, whole, final() if final else metadata, str(label))
        if check:
            check(temp)
        size = sum(path.stat().st_size for path in temp.iterdir())
        publish_folder(temp, target.file, overwrite=overwrite)
    return Written(target.shown, tree_digest(tensors, content), size, metadata=True)


def _copy_to_stdout(descriptor: int) -> None:
    stream = sys.stdout.buffer
    with reported(OutputError, "write", "standard output"):
        os.lseek(descriptor, 0, os.SEEK_SET)
        while piece := os.read(descriptor, PIECE):
            stream.write(piece)
        stream.flush()
