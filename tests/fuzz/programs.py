"""Command lines of ``trace``, and checkpoints and specs that become a program by ``export``."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from random import Random

import yaml

from tests.fuzz.damage import TEXTS, structure, value, word, yaml_of
from tests.fuzz.valid import SPEC, STAGES, Valid

FACTORIES = (
    "nets:Net", "nets:Net", "nets:Image", "nets:Ids", "nets:build", "nets:made", "nets:Strange",
    "nets:number", "nets:nothing", "nets:raises", "nets:ends", "nets:interrupted", "nets:deep",
    "nets:Nett", "nets:Net.forward", "nets:Net.__init__", "nets:__name__", "nets:torch",
    "nets:nn.Linear", "nets:nn.Sequential", "nets:nn.Identity", "nets:nn.Module", "nets", "nets:",
    ":Net", "nets.py:Net", "./nets:Net", "nets:Net:x", "nets::Net", "..nets:Net", "no_such:Net",
    "torch:nn.Linear", "torch.nn:Linear", "torch.nn:Transformer", "builtins:dict", "math:pi",
    "torch.nn:LSTM", "broken:Net", "json:loads", "torch:tensor", "nets:Net.no.such", "nets:x" * 99,
)  # fmt: skip
BROKEN = (
    "def (", "raise ValueError('\\x1b[31m')", "import no_such_module", "\0", "Net = 3",
    "raise SystemExit(3)", "x = [" * 500, "def __getattr__(name): raise KeyError(name)",
    "import sys\nsys.stdout.write('said')\nfrom torch.nn import ReLU as Net",
    "from torch.nn import Linear\nNet = lambda: Linear(3, 2)", "1/0", "assert False, 'a' * 10**6",
)  # fmt: skip
SHAPES = (
    "2,3", "2,3", "2,3", "1,3", "2,3,8,8", "2,3,8,8", "2x3x8x8", "2,5:int64", "ids=2,5:int64",
    "x=2,3", "x=2,3:float64", "2,3:int8", "0,3", "2,0", "", ",", "2,", "-1,3", "2.5,3", "1e3,3",
    "2,3:float128", "y=2,3", "=2,3", "2,99999999999999999999", "2,3,100000,100000",
    "99999999999,3", "2,3,8,8,8,8", "1", "2,3:bool", "x=2,3,x=2,3", "2,3:", "2,3,1000,1000",
    "2,3\n", "\x1b[2J=2,3", "4000000000,4000000000", "2,3,0x8,8", "2 , 3",
)  # fmt: skip
ARGUMENTS = (
    "width=5", "depth=2", "bias=false", "width=0", "width=-3", "width=x",
    "width=1000000000000", "config.a.b=3", "config=3", "width", "=3", "width=", "width=[1",
    "in_features=3", "out_features=2", "channels=6", "size=2", "size=[1,2]", "count=7", "a.=3",
    "width=!!python/name:os.system", "bias=null", "self=3", "x=&a [*a]", "__class__=3",
)  # fmt: skip


def module(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A module to trace that does not exist, does not build or does not run, for inputs and with
    arguments that do not fit."""
    shutil.copy(valid.folder / "nets.py", folder / "nets.py")
    (folder / "broken.py").write_text(draw.choice(BROKEN))
    _forget("nets", "broken")
    fits = {"nets:Net": "2,3", "nets:Image": "2,3,8,8", "nets:Ids": "2,5:int64"}
    target = draw.choice(list(fits))
    if draw.random() < 0.3:
        return ["trace", target, "--input", fits[target], *_arguments(draw), "-o", "out.yaml"]
    words = ["trace", draw.choice([*FACTORIES, *FACTORIES, word(draw.choice(TEXTS))])]
    for _ in range(draw.choice([0, 1, 1, 1, 1, 1, 2])):
        words += ["--input", draw.choice([*SHAPES, word(value(draw))])]
    return [*words, *_arguments(draw), *draw.choice([[], ["-o", "out.yaml"]])]


def _arguments(draw: Random) -> list[str]:
    words = []
    for _ in range(draw.choice([0, 0, 0, 1, 1, 2])):
        said = f"{draw.choice(['width', 'depth', 'x', 'config.y'])}={word(value(draw))}"
        words += ["--arg", draw.choice([*ARGUMENTS, *ARGUMENTS, said])]
    return words


def _forget(*names: str) -> None:
    """As in a process that imports them for the first time."""
    for name in names:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


NAMES = (
    "class", "self", "nn", "torch", "forward", "__init__", "super", "print('run')", "a-b", "1", "é",
    "x" * 300, "training", "to", "a'b", 'a"b', "a\\", "a\nimport os", "modules", "_parameters", "f",
    "import os", '"""', "{0}", "%s", "match", "None", "x", "weight",
)  # fmt: skip


def written_module(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A spec whose names and values would become parts of a program."""
    name, text = draw.choice([("ckpt", SPEC), ("stages", STAGES)])
    document = yaml.safe_load(text)
    if draw.random() < 0.6:
        layers = document["layers"]
        old, new = draw.choice(list(layers)), draw.choice(NAMES)
        document["layers"] = {new if n == old else n: layer for n, layer in layers.items()}
        text = yaml.safe_dump(document, sort_keys=False)
    if draw.random() < 0.3:
        text = yaml.safe_dump(structure(yaml.safe_load(text), draw), sort_keys=False)
    (folder / "s.yaml").write_bytes(text.encode("utf-8", "replace"))
    if draw.random() < 0.2:
        (folder / "s.yaml").write_bytes(yaml_of(text, draw))
    _checkpoint(valid, name, text, folder)
    words = ["export", f"{name}.safetensors", "--source-spec", "s.yaml", "-o", "out.py"]
    if draw.random() < 0.3:
        words += ["--class-name", draw.choice([*NAMES, word(draw.choice(TEXTS))])]
    return words


def _checkpoint(valid: Valid, name: str, text: str, folder: Path) -> None:
    """The tensors, renamed as the layers are, so that the names reach the program."""
    from safetensors.torch import load_file, save_file

    before = list(yaml.safe_load({"ckpt": SPEC, "stages": STAGES}[name])["layers"])
    found = yaml.safe_load(text)
    layers = found.get("layers") if isinstance(found, dict) else None
    after = [str(key) for key in layers] if isinstance(layers, dict) else before
    names = dict(zip(before, after, strict=False))
    state = load_file(valid.folder / f"{name}.safetensors")
    renamed = {}
    for key, tensor in state.items():
        first, dot, rest = key.partition(".")
        renamed[(names.get(first, first) + dot + rest).encode("utf-8", "replace").decode()] = tensor
    save_file(renamed, folder / f"{name}.safetensors")
