"""What is fuzzed: every kind of file that a user can name, and the words of the command line.

A subject writes spoilt inputs into a folder and gives the words behind ``net2net``.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from net2net_cli.families import families
from tests.fuzz.damage import TEXTS, bytes_of, structure, value

SPEC = """\
net2net: 1
input: [3, 6, 6]
layers:
  conv: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
  bn: {type: BatchNorm2d}
  act: {type: ReLU}
  mixed:
    type: Concat
    branches:
      a: {one: {type: Conv2d, out_channels: 3, kernel_size: 1}, relu: {type: ReLU}}
      b: {two: {type: Conv2d, out_channels: 2, kernel_size: 3, padding: 1}}
      c: {}
  pool: {type: AdaptiveAvgPool2d, output_size: 1}
  flat: {type: Flatten}
  fc1: {type: Linear, out_features: 6}
  relu1: {type: ReLU}
  out: {type: Linear, out_features: 4}
"""
TARGET = """\
net2net: 1
extends: source
layers:
  conv: {out_channels: 6}
  fc1: {out_features: 9}
  fc1b: {type: Linear, out_features: 6, after: relu1}
  relu1b: {type: ReLU}
"""
SHAPES = {
    "conv.weight": (4, 3, 3, 3), "bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,),
    "bn.running_var": (4,), "bn.num_batches_tracked": (), "mixed.a.one.weight": (3, 4, 1, 1),
    "mixed.a.one.bias": (3,), "mixed.b.two.weight": (2, 4, 3, 3), "mixed.b.two.bias": (2,),
    "fc1.weight": (6, 9), "fc1.bias": (6,), "out.weight": (4, 6), "out.bias": (4,),
}  # fmt: skip
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8,
    "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": 11, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
    "max_position_embeddings": 32, "hidden_act": "silu", "torch_dtype": "float32",
}  # fmt: skip


@dataclass(frozen=True)
class Valid:
    """Valid inputs, made once."""

    folder: Path

    def make(self) -> None:
        """Write them."""
        generator = torch.Generator().manual_seed(0)
        state = {n: torch.rand(s, generator=generator) + 0.1 for n, s in SHAPES.items()}
        state["bn.num_batches_tracked"] = torch.tensor(3)
        save_file(state, self.folder / "ckpt.safetensors")
        torch.save(state, self.folder / "ckpt.pt")
        (self.folder / "ckpt.yaml").write_text(SPEC)
        (self.folder / "target.yaml").write_text(TARGET)
        chain = {n: t for n, t in state.items() if n.startswith(("fc1", "out"))}
        save_file(chain, self.folder / "chain.safetensors")
        self._llama(generator)

    def _llama(self, generator: torch.Generator) -> None:
        folder = self.folder / "llama"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(LLAMA))
        state: dict[str, torch.Tensor] = {}

        def add(name: str, *shape: int) -> None:
            state[name] = torch.rand(shape, generator=generator)

        for i in range(2):
            for name in "qkvo":
                add(f"model.layers.{i}.self_attn.{name}_proj.weight", 8, 8)
            add(f"model.layers.{i}.mlp.gate_proj.weight", 12, 8)
            add(f"model.layers.{i}.mlp.up_proj.weight", 12, 8)
            add(f"model.layers.{i}.mlp.down_proj.weight", 8, 12)
            add(f"model.layers.{i}.input_layernorm.weight", 8)
            add(f"model.layers.{i}.post_attention_layernorm.weight", 8)
        add("model.embed_tokens.weight", 11, 8)
        add("model.norm.weight", 8)
        add("lm_head.weight", 11, 8)
        names = sorted(state)
        parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
        for file, own in parts.items():
            save_file({n: state[n] for n in own}, folder / file, {"format": "pt"})
        where = {n: file for file, own in parts.items() for n in own}
        index = {"metadata": {"total_size": 1}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    def read(self, name: str) -> bytes:
        """One of them."""
        return (self.folder / name).read_bytes()


Subject = Callable[[Valid, Random, Path], list[str]]


def safetensors_bytes(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A checkpoint with changed bytes."""
    name = draw.choice(["chain", "ckpt"])
    (folder / "x.safetensors").write_bytes(bytes_of(valid.read(f"{name}.safetensors"), draw))
    return _any_command("x.safetensors", draw)


def safetensors_header(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A checkpoint whose header says something else."""
    data = valid.read(draw.choice(["chain.safetensors", "ckpt.safetensors"]))
    (length,) = struct.unpack("<Q", data[:8])
    header = structure(json.loads(data[8 : 8 + length]), draw)
    text = _json(header)
    claimed = draw.choice([len(text)] * 9 + [draw.choice([0, 7, 2**31, 2**40, 2**63])])
    body = data[8 + length :]
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", claimed) + text + body)
    return _any_command("x.safetensors", draw)


def many_tensors(_valid: Valid, draw: Random, folder: Path) -> list[str]:
    """Very many tensors, very long names, names that a terminal would obey, sizes beyond reason."""
    names = {
        "many": lambda i: f"layer{i}.weight",
        "long": lambda i: f"{'x' * 100_000}{i}",
        "obeyed": lambda i: f"\x1b]0;owned\x07\x1b[2J{i}.weight",
    }
    kind = draw.choice(list(names))
    count = draw.choice([1_000, 20_000]) if kind == "many" else 20
    huge = draw.random() < 0.3
    shape = [2**20, 2**20] if huge else [1]
    size = 4 * 2**40 if huge else 4
    header = {
        names[kind](i): {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [size * i, size * i + size],
        }
        for i in range(count)
    }
    text = _json(header)
    body = b"" if huge else bytes(size * count)
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    return _any_command("x.safetensors", draw)


def torch_bytes(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A torch file with changed bytes."""
    (folder / "x.pt").write_bytes(bytes_of(valid.read("ckpt.pt"), draw))
    return _any_command("x.pt", draw)


def layer_spec(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A spec, of the checkpoint or the target, with other values or other text."""
    name, text = draw.choice([("s.yaml", SPEC), ("t.yaml", TARGET)])
    (folder / name).write_bytes(_yaml(text, draw))
    shutil.copy(valid.folder / "ckpt.safetensors", folder / "ckpt.safetensors")
    if name == "s.yaml":
        spec = ["--source-spec", "s.yaml"]
        return _any_command("ckpt.safetensors", draw, *spec)
    shutil.copy(valid.folder / "ckpt.yaml", folder / "ckpt.yaml")
    command = draw.choice(["plan", "grow", "diff"])
    if command == "diff":
        return ["diff", "ckpt.yaml", "t.yaml"]
    return [command, "ckpt.safetensors", "--spec", "t.yaml", *_out(command)]


def bomb(_valid: Valid, draw: Random, folder: Path) -> list[str]:
    """YAML that would grow without end, or nests without end."""
    anchors = "\n".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" if i else "a0: &a0 [x, x, x]"
        for i in range(draw.choice([3, 12, 40]))
    )
    deep = draw.choice([30, 3_000, 200_000])
    texts = [
        anchors,
        f"net2net: 1\n{anchors}\nlayers: *a2\n",
        "[" * deep,
        "{a: " * deep,
        "net2net: 1\nlayers: &l\n  x: *l\n",
        "- " * deep + "x",
        "? " * deep,
        "a: " + "9" * 10**5,
        "net2net: 1\ninput: [3]\nlayers:\n"
        + "".join(f"  l{i}: {{type: ReLU}}\n" for i in range(2000)),
    ]
    (folder / "b.yaml").write_text(draw.choice(texts))
    return draw.choice([["diff", "b.yaml", "b.yaml"], ["plan", "ckpt", "--spec", "b.yaml"]])


def model_folder(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A Hugging Face folder with a spoilt config, index or shard."""
    shutil.copytree(valid.folder / "llama", folder / "llama")
    name = draw.choice(["config.json", "config.json", "model.safetensors.index.json",
                        "model-1.safetensors"])  # fmt: skip
    path = folder / "llama" / name
    if name.endswith(".json") and draw.random() < 0.8:
        path.write_bytes(_json(structure(json.loads(path.read_text()), draw)))
    else:
        path.write_bytes(bytes_of(path.read_bytes(), draw))
    return _family_command(draw)


def family_file(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A family of the user's own that is none."""
    shutil.copytree(valid.folder / "llama", folder / "llama")
    text = _llama_family()
    (folder / "f.yaml").write_bytes(_yaml(text, draw))
    return [*_family_command(draw), "--family-file", "f.yaml"]


def settings(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """Sizes for a transformer that it cannot have."""
    shutil.copytree(valid.folder / "llama", folder / "llama")
    keys = [*LLAMA, "family", "num_local_experts", "", "layers.0", "\x1b[2J"]
    words = ["plan", "llama"]
    for _ in range(draw.choice([1, 1, 2, 3])):
        said = draw.choice([*map(str, range(20)), value(draw), draw.choice(TEXTS)])
        words += ["--set", f"{draw.choice(keys)}={_word(said)}"]
    return words


def saved_plan(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A plan that somebody edited."""
    for name in ("ckpt.safetensors", "ckpt.yaml"):
        shutil.copy(valid.folder / name, folder / name)
    made = valid.folder / "plan.json"
    path = folder / "plan.json"
    if draw.random() < 0.8:
        path.write_bytes(_json(structure(json.loads(made.read_text()), draw)))
    else:
        path.write_bytes(bytes_of(made.read_bytes(), draw))
    return ["apply", "plan.json", "ckpt.safetensors", "-o", "out.safetensors"]


def student_metadata(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A student whose own metadata were edited."""
    data = valid.read("student.safetensors")
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    key = draw.choice([k for k in metadata if k != "format"])
    try:
        inner = json.loads(metadata[key])
    except ValueError:
        inner = None
    if isinstance(inner, dict) and draw.random() < 0.8:
        metadata[key] = _json(structure(inner, draw)).decode("utf-8", "replace")
    else:
        metadata[key] = bytes_of(metadata[key].encode(), draw).decode("utf-8", "replace")
    text = json.dumps(header).encode()
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return draw.choice([
        ["shrink", "x.safetensors", "-o", "out.safetensors"], ["inspect", "x.safetensors"],
        ["widen", "x.safetensors", "--layer", "fc1", "--to", "20", "-o", "out.safetensors"],
    ])  # fmt: skip


def words(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A command line that a hand slipped on."""
    for name in ("ckpt.safetensors", "ckpt.yaml", "target.yaml"):
        shutil.copy(valid.folder / name, folder / name)
    line = draw.choice([
        ["widen", "ckpt", "--layer", "fc1", "--to", "9", "-o", "out.safetensors"],
        ["grow", "ckpt", "--spec", "target.yaml", "-o", "out.safetensors"],
        ["deepen", "ckpt", "--after", "relu1", "--count", "2", "-o", "out.safetensors"],
        ["inspect", "ckpt"], ["spec", "ckpt"], ["verify", "ckpt", "ckpt"],
        ["diff", "ckpt.yaml", "target.yaml"], ["plan", "ckpt", "--spec", "target.yaml"],
    ])  # fmt: skip
    options = ["--split", "--expansion", "--noise", "--seed", "--probes", "--tolerance", "--device",
               "--dtype", "--workers", "--probe-memory", "--max-shard-size", "--format", "--report",
               "--set", "--probe-data", "--source-spec", "--expect-teacher", "--calibrate", "-o",
               "--json", "--dry-run", "--no-verify", "--overwrite", "-q", "-v", "--debug", "-x",
               "--where", "--no-such", "--"]  # fmt: skip
    found = list(line)
    for _ in range(draw.choice([1, 1, 2, 3])):
        at = draw.randrange(len(found) + 1)
        match draw.randrange(4):
            case 0:
                del found[at : at + 1]
            case 1:
                found[at : at + 1] = [_word(value(draw))]
            case _:
                said = [draw.choice(options)]
                if draw.random() < 0.7:
                    said.append(_word(draw.choice([value(draw), *map(str, NICE)])))
                found += said
    return [word.replace("\0", "") for word in found]


NICE = (
    "even",
    "duplicate",
    "fresh",
    "0.1",
    "3",
    "cpu",
    "bfloat16",
    "1GB",
    "json",
    "r.html",
    "fc1=3",
)

SUBJECTS: Mapping[str, Subject] = {
    "safetensors: bytes": safetensors_bytes,
    "safetensors: header": safetensors_header,
    "safetensors: beyond reason": many_tensors,
    "torch file": torch_bytes,
    "spec": layer_spec,
    "YAML bombs": bomb,
    "Hugging Face folder": model_folder,
    "family file": family_file,
    "settings": settings,
    "saved plan": saved_plan,
    "student's metadata": student_metadata,
    "command line": words,
}


def _any_command(name: str, draw: Random, *more: str) -> list[str]:
    command = draw.choice(["inspect", "spec", "widen", "deepen", "plan", "inspect", "spec"])
    own = {
        "widen": ["--layer", "fc1", "--to", "9"], "deepen": ["--after", "fc1"],
        "plan": ["--set", "fc1.out_features=8"],
    }  # fmt: skip
    return [command, name, *own.get(command, []), *more, *_out(command)]


def _family_command(draw: Random) -> list[str]:
    return draw.choice([
        ["inspect", "llama"], ["plan", "llama", "--set", "intermediate_size=20"],
        ["plan", "llama", "--set", "num_hidden_layers=4"], ["spec", "llama"],
        ["grow", "llama", "--set", "hidden_size=16", "--no-verify", "-o", "out"],
        ["widen", "llama", "--layer", "intermediate_size", "--to", "13", "-o", "out"],
    ])  # fmt: skip


def _out(command: str) -> list[str]:
    return ["-o", "out.safetensors"] if command in ("widen", "deepen", "grow") else []


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _yaml(text: str, draw: Random) -> bytes:
    if draw.random() < 0.2:
        return bytes_of(text.encode(), draw)
    changed = structure(yaml.safe_load(text), draw)
    return yaml.safe_dump(changed, sort_keys=False, default_flow_style=None).encode(
        "utf-8", "replace"
    )


def _word(said: Any) -> str:
    text = said if isinstance(said, str) else json.dumps(said)
    return text.encode("utf-8", "replace").decode()[:2000]


def _llama_family() -> str:
    from importlib.resources import files

    assert "llama" in families()
    return (files("net2net_cli.families") / "data" / "llama.yaml").read_text()
