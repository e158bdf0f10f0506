"""Folders without a checkpoint that can be read: what is missing, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from net2net_cli.errors import CheckpointError
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.shards import INDEX, SINGLE, TORCH_INDEX

_FOREIGN = ("*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.ot")


def not_a_checkpoint(path: Path, label: str) -> CheckpointError:
    """The error for such a folder; CheckpointError, too, where it cannot be listed."""
    with reported(CheckpointError, "read", label):
        names = sorted(entry.name for entry in path.iterdir())

    def named(*patterns: str) -> list[str]:
        return [n for n in names if any(fnmatchcase(n, p) for p in patterns)]

    folder = f"the folder `{shown(label)}`"
    if adapters := named("adapter_config.json", "adapter_model.*"):
        return CheckpointError(
            f"{folder} holds an adapter (LoRA) only: {_some(adapters)}",
            hint="merge it into its base model first: PEFT's merge_and_unload",
        )
    for pattern, index in (
        ("model-*-of-*.safetensors", INDEX),
        ("pytorch_model-*-of-*.bin", TORCH_INDEX),
    ):
        if shards := named(pattern):
            return CheckpointError(
                f"{folder} holds shards ({_some(shards)}) without their index {index}",
                hint=f"the download may be incomplete: fetch {index} too",
            )
    if own := named("consolidated.*"):
        return CheckpointError(
            f"{folder} holds a checkpoint in its authors' own layout: {_some(own)}",
            hint="get the same model in Hugging Face's layout, or convert it with transformers",
        )
    files = named("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")
    foreign = [] if files else named(*_FOREIGN)
    hint = "name the file itself: " + ", ".join(shown(path / n) for n in files[:3])
    also = f" ({_some(foreign)} cannot be read)" if foreign else ""
    return CheckpointError(
        f"{folder} holds no checkpoint{also}: neither {SINGLE} nor {INDEX}",
        hint=hint if files else None,
    )


def _some(names: Sequence[str]) -> str:
    return shown(", ".join(names[:2])) + (", ..." if len(names) > 2 else "")
