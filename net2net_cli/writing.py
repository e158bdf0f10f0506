"""How a checkpoint is written, whether a student is grown or a teacher is made again.

Its name and what lies beside it, who writes together, and the proof of what then stands there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from net2net_cli import __version__, families
from net2net_cli.io import ALONE, WORKERS, Joint, Source, Team, TensorInfo, small_files
from net2net_cli.layout import Layout
from net2net_cli.opening import FamilyModel, Model
from net2net_cli.spec import parse_document
from net2net_cli.verify.proof import Proof, WidthProof, prove


@dataclass(frozen=True)
class WriteOptions:
    """How a checkpoint is written: ``shard_bytes`` is the most that a file of a folder holds,
    ``workers`` the threads, ``team`` the processes that share the work, all of which call the same
    function, and ``progress`` is told what is done, bytes so far and in all."""

    overwrite: bool = False
    shard_bytes: int | None = None
    workers: int = WORKERS
    progress: Callable[[str, int, int], None] | None = None
    team: Team = field(default_factory=Team)


FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".dcp")
"""Endings of outputs that are files; of layer specs, all others are too."""


def output_name(model: Model, output: str) -> str:
    """The output's name, with a slash behind it where it is to be a folder: a Hugging Face folder
    grows into another, unless the name says that it is a file."""
    folder = isinstance(model, FamilyModel) and model.folder is not None
    if folder and output != "-" and not output.endswith(("/", *FILES)):
        return f"{output}/"
    return output


def folder_files(spec: str, model: Model) -> dict[str, bytes | Path]:
    """What lies beside the tensors of a transformer: the config of its spec, and whatever came with
    the model that it is made of."""
    if not isinstance(model, FamilyModel):
        return {}
    config = families.whole(parse_document(spec, "the plan's specs"))[1]
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    files: dict[str, bytes | Path] = dict(small_files(model.folder)) if model.folder else {}
    return files | {families.CONFIG: text.encode()}


def joint_of(team: Team, source: Source, *job: object) -> Joint:
    """Who writes together; ``job`` is JSON's own types: all that the bytes depend on beside the
    source."""
    if team.size == 1:
        return ALONE
    return Joint(team, json.dumps([__version__, *job]), source.known_digests())


def prove_written(
    widths: Sequence[WidthProof],
    layout: Layout,
    dtypes: Mapping[str, str],
    there: Mapping[str, TensorInfo],
) -> Proof:
    """Prove the widths, and that the tensors in a file are those of a layout: all that it needs
    (counts of batches may be missing), no others, in their shapes and with these ``dtypes``."""
    wanted = {
        name: (dtypes[name], tensor.shape)
        for name, tensor in layout.tensors.items()
        if name in there or tensor.line.fill != "count"
    }
    written = {n: (info.dtype, info.shape) for n, info in there.items() if n not in layout.aliases}
    return prove(widths, wanted, written)
