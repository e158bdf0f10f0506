"""How others do the same growth, and the copy that all are held against."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.surgery.models import Size

SCRIPT = """
import os, sys, torch
from safetensors.torch import load_file, save_file
source, target, how, count = sys.argv[1:5]
state = load_file(source + "/model.safetensors")
if how == "deeper":
    blocks = 1 + max(int(n.split(".")[2]) for n in state if ".layers." in n)
    more, after = int(count) - blocks, {}
    for i in range(more):
        after.setdefault((i + 1) * blocks // more - 1, None)
    new, at = {n: t for n, t in state.items() if ".layers." not in n}, 0
    for old in range(blocks):
        for copy in range(1 + (old in after)):
            for n, t in state.items():
                if n.startswith(f"model.layers.{old}."):
                    rest = n.split(".", 3)[3]
                    zero = copy and rest in ("self_attn.o_proj.weight", "mlp.down_proj.weight")
                    new[f"model.layers.{at}.{rest}"] = torch.zeros_like(t) if zero else t.clone()
            at += 1
elif how == "twice":
    new = {}
    for n, t in state.items():
        if t.ndim == 1:
            new[n] = t.repeat(2)
        elif "embed" in n:
            new[n] = t.repeat(1, 2)
        elif "lm_head" in n:
            new[n] = t.repeat(1, 2) / 2
        else:
            new[n] = t.repeat(2, 2) / 2
else:
    hidden, more, new = state["model.norm.weight"].shape[0], int(count), {}
    for n, t in state.items():
        shape = [s + more if s == hidden else s for s in t.shape]
        if "self_attn" in n:
            writes = "o_proj" in n
            shape = [t.shape[0] + writes * more, t.shape[1] + (not writes) * more]
        new[n] = torch.zeros(shape, dtype=t.dtype)
        new[n][tuple(slice(0, s) for s in t.shape)] = t
os.makedirs(target)
save_file(new, target + "/model.safetensors", {"format": "pt"})
"""
"""Loads the whole state dict, edits it and saves it: the same shapes, not all of the same care."""


def script(source: Path, target: Path, how: str, count: int) -> list[str]:
    """The script's words."""
    return [sys.executable, "-c", SCRIPT, str(source), str(target), how, str(count)]


@dataclass(frozen=True)
class Mergekit:
    """Where its command lies."""

    tool: Path

    def version(self) -> str | None:
        """None where it is not installed."""
        found = sorted(self.tool.parent.parent.glob("lib/*/site-packages/mergekit-*.dist-info"))
        return found[0].name.removesuffix(".dist-info").partition("-")[2] if found else None

    def deeper(self, source: Path, target: Path, size: Size, wanted: int) -> list[str]:
        """Passthrough: every block, and after some of them a copy that adds nothing."""
        config = target.with_suffix(".yaml")
        config.write_text(passthrough(source, size.blocks, wanted))
        return [str(self.tool), str(config), str(target), "--quiet", "--no-write-model-card",
                "--no-copy-tokenizer", "--clone-tensors"]  # fmt: skip


def passthrough(source: Path, blocks: int, wanted: int) -> str:
    """mergekit's configuration of such a growth, the new blocks spaced evenly."""
    more = wanted - blocks
    after = {(i + 1) * blocks // more for i in range(more)}
    lines, start = ["merge_method: passthrough", "dtype: bfloat16", "slices:"], 0
    for end in sorted(after | {blocks}):
        lines += _slice(source, start, end)
        if end in after:
            zero = [{"filter": name, "value": 0.0} for name in ("o_proj", "down_proj")]
            lines += _slice(source, end - 1, end)
            lines += [f"    parameters: {{scale: {[*zero, {'value': 1.0}]}}}"]
        start = end
    return "\n".join(lines) + "\n"


def _slice(source: Path, start: int, end: int) -> list[str]:
    return ["- sources:", f"  - model: {source}", f"    layer_range: [{start}, {end}]"]


def copied(source: Path, target: Path) -> list[str]:
    """`cp`, and the disk waited for."""
    return ["sh", "-c", 'cp --reflink=never "$1" "$2" && sync "$2"', "cp", str(source), str(target)]
