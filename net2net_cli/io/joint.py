"""One checkpoint written by several processes: who writes what, and what a restart picks up.

Each writes its parts of tensors at their places in the same files, so that what comes out is, byte
for byte, what one process writes. All must see the output and the source under the same names.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from net2net_cli.errors import CheckpointError, UsageError
from net2net_cli.io.digest import Leaf, LeafDigests, header_digest
from net2net_cli.io.failures import reported
from net2net_cli.io.journal import Claims, journaling
from net2net_cli.io.model_folder import Fill
from net2net_cli.io.team import LostError, Team, restart_follows
from net2net_cli.io.temporary import job_name
from net2net_cli.io.tensor_file import Made, Part, Produce, in_threads, read_digest, write_parts
from net2net_cli.io.tensors import TensorInfo


@dataclass(frozen=True)
class Joint:
    """Who writes together. ``job`` is all that the bytes depend on beside what ``write_checkpoint``
    is given; ``digests`` are the source's, which all know in the end."""

    team: Team
    job: str
    digests: LeafDigests


ALONE = Joint(Team(), "", {})


@dataclass(frozen=True)
class Begun:
    """What the first process has made room in, for all: a file or folder, and what an earlier run
    of the same job claims to have written there."""

    path: Path
    job: str
    claims: Claims


def job_text(joint: Joint, output: str, *parts: object) -> str:
    """What every process must be about to write. UsageError where they differ."""
    import torch

    told = json.dumps([joint.job, torch.__version__, output, *map(str, parts)])
    text = sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
    require_alike(joint.team, text)
    return text


def require_alike(team: Team, told: str) -> None:
    """UsageError, by all processes, where one has something else to tell than the others."""
    if len(set(team.together(lambda: told))) > 1:
        raise UsageError(
            "the processes of the run were started with different commands, files or versions",
            hint="start all of them with the same command, of the same installation",
        )


SAMPLES, SAMPLE = 64, 64
"""How many places of a file are looked at, and how many bytes of each."""


def sampled(files: Sequence[Path]) -> str:
    """A digest of a few bytes of each file, which tells checkpoints with other weights apart at no
    cost."""
    found = sha256()
    for file in files:
        with reported(CheckpointError, "read", file), file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            found.update(f"{size};".encode())
            for place in range(SAMPLES):
                stream.seek(size * place // SAMPLES)
                found.update(stream.read(SAMPLE))
    return found.hexdigest()


def job_of(text: str, sources: Sequence[Path]) -> str:
    """The job's name: twelve digits. Files that were written to since make another job of it."""
    states = [path.stat() for path in sources]
    told = json.dumps([text, *([s.st_size, s.st_mtime_ns, s.st_ino] for s in states)])
    return sha256(told.encode()).hexdigest()[:12]


def describe(tensors: Sequence[TensorInfo], metadata: Mapping[str, str]) -> str:
    """Tensors and metadata, for ``job_text``."""
    return header_digest(tensors) + json.dumps(metadata, sort_keys=True)


def outlives(error: BaseException) -> bool:
    """Whether a run that ends so leaves what it has written for the next one to pick up."""
    ended = isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM
    return isinstance(error, LostError) or (ended and restart_follows())


def filling(
    joint: Joint, begun: Begun, beside: Path, mine: frozenset[Leaf], produce: Produce, workers: int
) -> Fill:
    """Writes this process' parts of a file, those excepted that lie there as claimed."""

    def all_of_it(descriptor: int, parts: Sequence[Part], label: str) -> LeafDigests:
        return write_parts(descriptor, parts, produce, label, workers)

    if joint.team.size == 1:
        return all_of_it
    log = job_name(beside, begun.job, f"{joint.team.rank}.log")

    def fill(descriptor: int, parts: Sequence[Part], label: str) -> LeafDigests:
        own = [part for part in parts if part.leaf in mine]
        if not own:
            return {}
        with journaling(log, descriptor, joint.digests, label) as journal:
            kept = _kept(descriptor, own, begun.claims.written, label, workers)
            left = [part for part in own if part.leaf not in kept]
            made = _heeding(produce, joint.team)
            return kept | write_parts(descriptor, left, made, label, workers, journal.note)

    return fill


def _kept(
    descriptor: int, own: Sequence[Part], claims: LeafDigests, label: str, workers: int
) -> LeafDigests:
    """The parts that lie there as claimed."""
    claimed = [part for part in own if part.leaf in claims]
    found = in_threads(lambda part: read_digest(descriptor, part, label), claimed, workers)
    return {
        part.leaf: digest
        for part, digest in zip(claimed, found, strict=True)
        if claims[part.leaf] == digest
    }


def _heeding(produce: Produce, team: Team) -> Produce:
    def heeding(info: TensorInfo) -> Made:
        team.heed()
        return produce(info)

    return heeding


def gathered(joint: Joint, fill: Callable[[], LeafDigests]) -> LeafDigests:
    """Have every process fill in its part; the digests of all leaves, the source's noted too."""
    content = LeafDigests()
    for part, digests in joint.team.together(lambda: (fill(), joint.digests)):
        content |= part
        joint.digests.update(digests)
    return content
