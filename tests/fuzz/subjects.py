"""What is fuzzed: every kind of file that a user can name, and the words of the command line.

A subject writes spoilt inputs into a folder and gives the words behind ``net2net``.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from net2net_cli.families import families
from tests.fuzz.damage import TEXTS, bytes_of, json_of, structure, value, word, yaml_of
from tests.fuzz.programs import module, written_module
from tests.fuzz.targets import larger, sizes
from tests.fuzz.training import dcp_folder, inputs_file, optimizer_state, torch_objects
from tests.fuzz.valid import LLAMA, SPEC, TARGET, Valid

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
    text = json_of(header)
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
    count = draw.choice([1_000] * 7 + [20_000]) if kind == "many" else 20
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
    text = json_of(header)
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
    (folder / name).write_bytes(yaml_of(text, draw))
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
        path.write_bytes(json_of(structure(json.loads(path.read_text()), draw)))
    else:
        path.write_bytes(bytes_of(path.read_bytes(), draw))
    return _family_command(draw)


def family_file(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A family of the user's own that is none."""
    shutil.copytree(valid.folder / "llama", folder / "llama")
    text = _llama_family()
    (folder / "f.yaml").write_bytes(yaml_of(text, draw))
    return [*_family_command(draw), "--family-file", "f.yaml"]


def settings(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """Sizes for a transformer that it cannot have."""
    shutil.copytree(valid.folder / "llama", folder / "llama")
    keys = [*LLAMA, "family", "num_local_experts", "", "layers.0", "\x1b[2J"]
    words = ["plan", "llama"]
    for _ in range(draw.choice([1, 1, 2, 3])):
        said = draw.choice([*map(str, range(20)), value(draw), draw.choice(TEXTS)])
        words += ["--set", f"{draw.choice(keys)}={word(said)}"]
    return words


def saved_plan(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A plan that somebody edited."""
    for name in ("ckpt.safetensors", "ckpt.yaml"):
        shutil.copy(valid.folder / name, folder / name)
    made = valid.folder / "plan.json"
    path = folder / "plan.json"
    if draw.random() < 0.8:
        path.write_bytes(json_of(structure(json.loads(made.read_text()), draw)))
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
        metadata[key] = json_of(structure(inner, draw)).decode("utf-8", "replace")
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
                found[at : at + 1] = [word(value(draw))]
            case _:
                said = [draw.choice(options)]
                if draw.random() < 0.7:
                    said.append(word(draw.choice([value(draw), *map(str, NICE)])))
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
    "torch file's objects": torch_objects,
    "optimizer's state": optimizer_state,
    "distributed checkpoint": dcp_folder,
    "inputs": inputs_file,
    "export": written_module,
    "trace": module,
    "target": larger,
    "sizes of layers": sizes,
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


def _llama_family() -> str:
    from importlib.resources import files

    assert "llama" in families()
    return (files("net2net_cli.families") / "data" / "llama.yaml").read_text()
