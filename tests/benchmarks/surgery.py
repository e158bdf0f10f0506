"""Surgery beside `cp` of the output and beside the script that people write today.

    python -m tests.benchmarks.surgery [--gb 2] [--rounds 5] [--folder /tmp]

A random Llama in bf16 is made once and grown deeper and wider, each time in a process of its own,
with --no-verify. In every round the output is then copied by `cp` (once to prime the page cache,
once that counts) and by `cp` with fsync, which growing does too; so that ratios are to the same
minute of the same machine. Best and median of all rounds, as a table in markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from tests.support.command import command, environment

WIDER = {"hidden_size": 2, "intermediate_size": 2, "num_attention_heads": 2,
         "num_key_value_heads": 2}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """A Llama's sizes; its heads have 64 features, four of them share a key."""

    hidden: int
    blocks: int
    vocabulary: int = 32_000

    @property
    def inner(self) -> int:
        return self.hidden * 11 // 4

    def shapes(self) -> dict[str, tuple[int, ...]]:
        h, m, kv = self.hidden, self.inner, self.hidden // 4
        found: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocabulary, h),
            "lm_head.weight": (self.vocabulary, h),
            "model.norm.weight": (h,),
        }
        block = {
            "input_layernorm": (h,), "post_attention_layernorm": (h,),
            "self_attn.q_proj": (h, h), "self_attn.k_proj": (kv, h), "self_attn.v_proj": (kv, h),
            "self_attn.o_proj": (h, h), "mlp.gate_proj": (m, h), "mlp.up_proj": (m, h),
            "mlp.down_proj": (h, m),
        }  # fmt: skip
        for n in range(self.blocks):
            found |= {f"model.layers.{n}.{name}.weight": s for name, s in block.items()}
        return found

    def config(self) -> dict[str, object]:
        heads = self.hidden // 64
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
            "hidden_size": self.hidden, "intermediate_size": self.inner,
            "num_hidden_layers": self.blocks, "num_attention_heads": heads,
            "num_key_value_heads": heads // 4, "head_dim": 64, "vocab_size": self.vocabulary,
            "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "hidden_act": "silu",
            "rope_theta": 10000.0, "max_position_embeddings": 2048, "initializer_range": 0.02,
            "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        }  # fmt: skip


def write_model(folder: Path, size: Size) -> None:
    """A folder as Hugging Face's, its weights drawn from N(0, 0.02)."""
    import numpy as np  # here, since a child's peak is never below what its parent held

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(size.config()))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in size.shapes().items():
        end = at + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for shape in size.shapes().values():
            drawn = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
            stream.write((drawn.view(np.uint32) >> 16).astype(np.uint16).tobytes())


SCRIPT = """
import sys, torch
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
import os
os.makedirs(target)
save_file(new, target + "/model.safetensors", {"format": "pt"})
"""
"""Loads the whole state dict, edits it and saves it: the same shapes, not all of the same care."""


@dataclass(frozen=True)
class Growth:
    """One row of the table: what is asked of net2net, and of the script."""

    name: str
    source: str
    arguments: Sequence[str]
    script: Sequence[str]


@dataclass(frozen=True)
class Cost:
    """One process: seconds by the clock and of processors, and the most MB that it held at once."""

    wall: float
    cpu: float
    peak: float


def cost_of(words: Sequence[str], **settings: str) -> Cost:
    started = time.monotonic()
    run = subprocess.Popen(words, env=environment(**settings), stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE)  # fmt: skip
    assert run.stderr is not None
    said = run.stderr.read()
    _, status, used = os.wait4(run.pid, 0)
    assert status == 0, said.decode()
    wall = time.monotonic() - started
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def copying(source: Path, target: Path, *, sync: bool) -> float:
    target.unlink(missing_ok=True)
    started = time.monotonic()
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    if sync:
        subprocess.run(["sync", target], check=True)
    return time.monotonic() - started


def measure(growth: Growth, folder: Path, rounds: int) -> str:
    source, out, copy = folder / growth.source, folder / "out", folder / "copy"
    own: list[tuple[Cost, float, float]] = []
    scripts: list[Cost] = []
    nbytes = 0
    for _ in range(rounds):
        words = command("grow", source, *growth.arguments, "-o", out, "--no-verify", "-q")
        shutil.rmtree(out, ignore_errors=True)
        cost = cost_of(words)
        (file,) = out.glob("*.safetensors")
        nbytes = file.stat().st_size
        copying(file, copy, sync=False)
        own.append((cost, copying(file, copy, sync=False), copying(file, copy, sync=True)))
        copy.unlink()
        shutil.rmtree(out)
        scripts.append(
            cost_of([sys.executable, "-c", SCRIPT, str(source), str(out), *growth.script])
        )
    shutil.rmtree(out)
    costs = [cost for cost, _, _ in own]
    row = (
        growth.name,
        f"{sizes(source):.2f} -> {nbytes / 1e9:.2f} GB",
        pair([c.wall for c in costs], "{:.2f}"),
        f"{nbytes / 1e9 / min(c.wall for c in costs):.2f} GB/s",
        pair([cost.wall / plain for cost, plain, _ in own], "{:.2f}"),
        pair([cost.wall / synced for cost, _, synced in own], "{:.2f}"),
        pair([c.cpu for c in costs], "{:.1f}"),
        f"{max(c.peak for c in costs):.0f} MB",
        pair([c.wall for c in scripts], "{:.1f}"),
        f"{max(c.peak for c in scripts):.0f} MB",
    )
    return f"| {' | '.join(row)} |"


def sizes(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 1e9


def pair(values: Sequence[float], form: str) -> str:
    """The best and the median."""
    return f"{form.format(min(values))} / {form.format(median(values))}"


HEAD = (
    "growth, bf16", "size", "seconds", "rate", "times cp", "times cp and fsync", "CPU seconds",
    "peak", "load-edit-save, seconds", "its peak",
)  # fmt: skip


def growths(deep: Size, half: Size) -> list[Growth]:
    blocks = deep.blocks * 5 // 4
    config = half.config()
    twice = [f"--set={key}={by * int(str(config[key]))}" for key, by in WIDER.items()]
    hidden = half.hidden * 3 // 2
    return [
        Growth("depth", "deep", [f"--set=num_hidden_layers={blocks}"], ["deeper", str(blocks)]),
        Growth("width x2, even copies", "half",
               [*twice, "--expansion=duplicate", "--split=even"], ["twice", "0"]),
        Growth("width x2, signed splits", "half",
               [*twice, "--expansion=duplicate", "--split=signed"], ["twice", "0"]),
        Growth("width x1.5, zeros", "half", [f"--set=hidden_size={hidden}"],
               ["zeros", str(hidden - half.hidden)]),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0, help="about the size of the deep teacher")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to write")
    given = parser.parse_args()
    scale = given.gb / 2
    deep, half = Size(2048, max(4, round(20 * scale))), Size(1024, max(4, round(20 * scale)))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; best / median of"
          f" {given.rounds} rounds; page cache primed by a cp before\n")  # fmt: skip
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        for model, size in (("deep", deep), ("half", half)):
            writer = get_context("spawn").Process(target=write_model, args=(folder / model, size))
            writer.start()
            writer.join()
        print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
        for growth in growths(deep, half):
            print(measure(growth, folder, given.rounds), flush=True)


if __name__ == "__main__":
    main()
