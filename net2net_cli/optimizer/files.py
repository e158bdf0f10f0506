"""Where a training run's state lies, and where the student's goes: whole, and with the student."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from net2net_cli.errors import CheckpointError, OutputError, UsageError
from net2net_cli.io import Source, Target, belongs, check_output
from net2net_cli.io.dcp import METADATA, DcpSource
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.temporary import publish, temporary
from net2net_cli.io.torch_file import TorchSource
from net2net_cli.io.training import read_training, save_torch
from net2net_cli.optimizer.flattened import nested
from net2net_cli.optimizer.kinds import Map
from net2net_cli.optimizer.reading import holds_optimizer

NAMES = ("optimizer.pt", "optimizer.bin")
"""What Trainer and accelerate call the optimizer's file in their folders."""

BESIDE = (
    "scheduler.pt", "scheduler.bin", "scaler.pt", "rng_state*.pth", "random_states_*.pkl",
    "trainer_state.json", "training_args.bin",
)  # fmt: skip
"""Their other files of a run, which stay true of a student."""


@dataclass(frozen=True)
class StateOptions:
    """Which state is carried, and how: ``file`` is None where it is to be found beside the
    weights, ``out`` where its name follows from the student's."""

    file: Path | None = None
    out: str | None = None
    map: Map = "step"
    reset: bool = False


@dataclass(frozen=True)
class Place:
    """Where the student's state goes: a file of its own, or ``inside``, the name of one in the
    student's folder; ``shown`` is how a user would name it. ``joined``: it is written with the
    weights, as a part of them."""

    target: Target | None
    inside: str | None
    shown: Path
    joined: bool = False


def find_state(source: Source) -> Path | None:
    """The file with the state of the run that wrote a checkpoint: in its folder, or itself."""
    path = source.path
    if path is None:
        return None
    if isinstance(source, DcpSource):
        return path if holds_optimizer(nested(source.training())) else None
    if path.is_dir():
        return next((path / name for name in NAMES if (path / name).is_file()), None)
    if isinstance(source, TorchSource) and holds_optimizer(source.loaded):
        return path
    return None


def read_state(file: Path) -> Any:
    """The content of a state's file; CheckpointError where it cannot be read."""
    name = file.name
    if not file.exists():
        raise CheckpointError(f"no optimizer's state `{shown(file)}`")
    if (file / METADATA).is_file():
        return nested(DcpSource(file, str(file)).training())
    if file.is_dir():
        raise CheckpointError(
            "a folder, not the file with an optimizer's state",
            where=shown(file),
            hint=_inside(file),
        )
    if fnmatchcase(name, "*zero_pp_rank_*") or fnmatchcase(name, "*.distcp"):
        raise CheckpointError(
            "one rank's part of a state that was divided among several",
            where=shown(file),
            hint="name the folder with all parts, if it is one of torch.distributed.checkpoint",
        )
    return read_training(file)


def is_flat(file: Path) -> bool:
    """Whether a state is in a folder of torch.distributed.checkpoint, with dots in its keys."""
    if not (file / METADATA).is_file():
        return False
    data = DcpSource(file, str(file)).training()
    return not holds_optimizer(data) and holds_optimizer(nested(data))


def _inside(folder: Path) -> str | None:
    there = next((name for name in NAMES if (folder / name).is_file()), None)
    return f"did you mean `{shown(folder / there)}`?" if there else None


def others_beside(file: Path) -> dict[str, Path]:
    """The run's other files in the state's folder, by name.

    CheckpointError for a link that leads out of it.
    """
    with reported(CheckpointError, "read", file.parent):
        found = sorted(entry.name for entry in os.scandir(file.parent) if entry.is_file())
    others = {n: file.parent / n for n in found if any(fnmatchcase(n, p) for p in BESIDE)}
    for name, path in others.items():
        if not belongs(path):
            raise CheckpointError(
                f"`{name}` is a link that leads out of the folder, and would be copied along",
                where=shown(file.parent),
                hint="put the file itself there, or leave the state behind: --optimizer none",
            )
    return others


def place_of(
    options: StateOptions, file: Path, student: Target, sources: Sequence[Path], *, overwrite: bool
) -> Place:
    """Where the student's state goes; refuses what cannot be written, before any work."""
    if options.out is None and student.format == "folder":
        assert student.shown is not None
        inside = file.name if file.name in NAMES else NAMES[0]
        return Place(None, inside, student.shown / inside)
    if options.out is None and (
        student.format == "dcp" or (student.format == "torch" and _is_one_of(file, sources))
    ):
        assert student.shown is not None
        return Place(None, None, student.shown, joined=True)
    name = options.out
    if name is None:
        if student.shown is None:
            raise UsageError(
                "the student goes to standard output, and the optimizer's state has no name",
                hint="say --optimizer-out FILE, or `--optimizer none`",
            )
        name = str(student.shown.with_name(f"{student.shown.stem}.optimizer.pt"))
        _check_left(name, student.shown, overwrite=overwrite)
    if name == "-":
        raise UsageError("--optimizer-out names a file; standard output is for a checkpoint")
    target = check_output(name, [*sources, file], overwrite=overwrite, folders=False)
    if target.file == student.file:
        raise OutputError(f"`{shown(name)}` is the student's name, too", hint="choose another")
    assert target.shown is not None
    return Place(target, None, target.shown)


def _is_one_of(file: Path, others: Sequence[Path]) -> bool:
    return file.exists() and any(other.exists() and other.samefile(file) for other in others)


def _check_left(name: str, student: Path, *, overwrite: bool) -> None:
    """A state without a student is what a run leaves that was killed between the two."""
    if os.path.lexists(name) and not os.path.lexists(student) and not overwrite:
        raise OutputError(
            f"`{shown(name)}` exists, and no `{shown(student)}`",
            hint="a run that was killed may have left it: remove it, or add --overwrite",
        )


class Pending:
    """The student's state on its way: written and named once the student is verified, just before
    that is. ``alone`` is its file while it has a name and the student none; a file that replaced
    another is not counted, for which it is too late."""

    def __init__(self, place: Place, temp: Path | None, descriptor: int) -> None:
        self.place, self.temp, self.descriptor = place, temp, descriptor
        self.nbytes = 0
        self.alone: Path | None = None

    def write(self, content: Any, student: Path) -> None:
        """Write the content: into the ``student``, where that is a folder on its way, too."""
        label = str(self.place.shown)
        if self.place.inside is None:
            save_torch(content, self.descriptor, label)
            with reported(OutputError, "write", label):
                os.fsync(self.descriptor)
                self.nbytes = os.fstat(self.descriptor).st_size
            return
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        with reported(OutputError, "write", label):
            descriptor = os.open(student / self.place.inside, flags, 0o666)
        try:
            save_torch(content, descriptor, label)
            with reported(OutputError, "write", label):
                os.fsync(descriptor)
                self.nbytes = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def publish(self, *, overwrite: bool) -> None:
        """Give a file of its own its name."""
        if self.temp is not None and self.place.target and self.place.target.file:
            publish(self.temp, self.place.target.file, overwrite=overwrite)
            self.alone = None if overwrite else self.place.target.file

    def keep(self) -> None:
        """The student has its name, too: the file stays."""
        self.alone = None


@contextmanager
def pending(place: Place) -> Iterator[Pending]:
    """A state on its way; what has no name at the end is removed."""
    if place.target is None or place.target.file is None:
        yield Pending(place, None, -1)
        return
    with temporary(place.target.file) as (temp, descriptor):
        way = Pending(place, temp, descriptor)
        try:
            yield way
        finally:
            if way.alone is not None:
                way.alone.unlink(missing_ok=True)
