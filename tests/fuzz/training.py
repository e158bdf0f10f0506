"""What training leaves, spoilt: torch files by their objects, optimizers' states, folders of
torch.distributed.checkpoint, and files of inputs."""

from __future__ import annotations

import pickle
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.fuzz.damage import NUMBERS, TEXTS, bytes_of, structure, value
from tests.fuzz.valid import Valid

RAN = "ran"
"""The file that code in a pickle makes, if ever it runs."""


def _laughs() -> Any:
    """Two to the power of 60 items, to whom walks them."""
    found: Any = [3]
    for _ in range(60):
        found = [found, found]
    return found


PICKLES = (
    b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",  # lists in lists
    b"\x80\x02]q\x01h\x01a.",  # a list that holds itself
    b"\x80\x02}q\x01(X\x01\0\0\0ah\x01u.",  # so does a dictionary
    pickle.dumps(_laughs(), 2),
    b"\x80\x02}(X\x05\0\0\0modelh\x01u.",  # what was never there
    b"cos\nsystem\n(S'touch ran'\ntR.",
    b"\x80\x02c__builtin__\neval\nX\x01\0\0\0a\x85R.",
    b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
    b"\x80\x02ctorch\nload\nX\x01\0\0\0a\x85R.",
    b"", b".", b"\x80\x09.",
)  # fmt: skip


class Evil:
    """What a hostile pickle does."""

    def __reduce__(self) -> Any:
        return open, (RAN, "w")


def torch_objects(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A torch file whose objects are others: tensors that are views beyond their storage's size,
    sparse, of other types; code; names that are none."""
    content = torch.load(valid.folder / draw.choice(["ckpt.pt", "run.pt"]))
    if draw.random() < 0.1:
        _archive(draw.choice(PICKLES), folder / "x.pt")
    else:
        _save(_spoilt(content, draw), folder / "x.pt", draw)
    return draw.choice([
        ["inspect", "x.pt"], ["spec", "x.pt"],
        ["widen", "x.pt", "--layer", "fc1", "--to", "9", "-o", "out.safetensors"],
        ["deepen", "x.pt", "--after", "fc1", "-o", "out.pt"],
        ["verify", "x.pt", "x.pt"],
    ])  # fmt: skip


def optimizer_state(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """An optimizer's state that does not fit, beside the weights or with them."""
    name = draw.choice(["opt.pt", "opt.pt", "run.pt"])
    if draw.random() < 0.2:
        (folder / name).write_bytes(bytes_of(valid.read(name), draw))
    else:
        _save(_spoilt(torch.load(valid.folder / name), draw), folder / name, draw)
    shutil.copy(valid.folder / "chain.safetensors", folder / "chain.safetensors")
    words = ["widen", "chain.safetensors", "--layer", "fc1", "--to", "9", "-o", "out.safetensors"]
    if name == "run.pt" and draw.random() < 0.5:
        words[1] = name
    else:
        words += ["--optimizer", name]
    more = ["--optimizer-reset", "--optimizer-map=gradient", "--split=even", "--no-verify"]
    return words + [option for option in more if draw.random() < 0.2]


def dcp_folder(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """A folder of torch.distributed.checkpoint with other metadata, or damaged chunks."""
    shutil.copytree(valid.folder / "run.dcp", folder / "run")
    path = folder / "run" / ".metadata"
    match draw.randrange(5):
        case 0:
            path.write_bytes(bytes_of(path.read_bytes(), draw))
        case 1:
            chunk = folder / "run" / "__0_0.distcp"
            chunk.write_bytes(bytes_of(chunk.read_bytes(), draw))
        case 2:
            path.write_bytes(pickle.dumps(draw.choice([Evil(), {"a": Evil()}, value(draw)])))
        case _:
            found = pickle.loads(path.read_bytes())
            for _ in range(draw.choice([1, 1, 2])):
                _spoil_metadata(found, draw)
            if draw.random() < 0.1:
                part = draw.choice(["state_dict_metadata", "planner_data", "storage_data"])
                setattr(found, part, draw.choice([None, {}, [], 3, {"a": 3}]))
            path.write_bytes(pickle.dumps(found))
    shutil.copy(valid.folder / "chain.safetensors", folder / "chain.safetensors")
    widen = ["widen", "run", "--layer", "fc1", "--to", "9", "-o"]
    return draw.choice([
        ["inspect", "run"], ["spec", "run"], [*widen, "out.dcp"], [*widen, "out.safetensors"],
        ["widen", "chain.safetensors", *widen[2:], "out.pt", "--optimizer", "run"],
    ])  # fmt: skip


def _spoil_metadata(found: Any, draw: Random) -> None:
    """One thing that the metadata say of one item."""
    records, places, paths = found.state_dict_metadata, found.storage_data, found.planner_data
    name = draw.choice(list(records))
    index = draw.choice([key for key in places if key.fqn == name] or list(places))
    odd: list[Any] = [*NUMBERS[:12], "1", None]
    match draw.randrange(8):
        case 0:
            records[draw.choice(TEXTS)] = records.pop(name)
        case 1:
            paths[name] = draw.choice([(), ("model",), tuple(draw.choices(TEXTS, k=3)), 3,
                                       ("model", 0), (0, 1, 2), ("net2net", "spec")])  # fmt: skip
        case 2 if hasattr(records[name], "size"):
            old = tuple(records[name].size)
            size = draw.choice([(2**20, 2**20), (2**16, 2**15), (*old, 1), old[1:], (-1, 3), (0,)])
            records[name] = replace(records[name], size=_size(size))
        case 3:
            places[index] = replace(places[index], relative_path=draw.choice(
                ["../chain.safetensors", "/etc/passwd", "/dev/zero", "nothing", "", ".", *TEXTS]
            ))  # fmt: skip
        case 4:
            places[index] = replace(places[index], offset=draw.choice(odd))
        case 5:
            places[index] = replace(places[index], length=draw.choice(odd))
        case 6:
            offset = draw.choice([(1, 0), (0,), (2**40, 0), (-1, 0), (0, 0, 0)])
            places[replace(index, offset=_size(offset))] = places.pop(index)
        case _:
            other = draw.choice(list(places))
            places[index] = places[other]


def _size(numbers: tuple[int, ...]) -> Any:
    """As torch would pickle it, which does not take what is no size."""
    return torch.Size(numbers) if all(n >= 0 for n in numbers) else numbers


def inputs_file(valid: Valid, draw: Random, folder: Path) -> list[str]:
    """Inputs for the probe, for BatchNorms and for tracing that are none."""
    for name in ("ckpt.safetensors", "ckpt.yaml", "nets.py"):
        shutil.copy(valid.folder / name, folder / name)
    path = folder / "data.safetensors"
    shape = draw.choice([(4, 3, 6, 6)] * 3 + [(3, 6, 6), (0, 3, 6, 6), (4,), (), (4, 3, 7, 7),
                                             (1, 3, 6, 6), (4, 3)])  # fmt: skip
    kinds = [torch.float32] * 4 + [torch.int64, torch.bool, torch.bfloat16, torch.complex64]
    batch = torch.ones(shape).to(draw.choice(kinds))
    if batch.is_floating_point() and draw.random() < 0.3:
        batch = batch * draw.choice([float("nan"), float("inf"), 0.0, 1e38])
    names = draw.choice([["input"], ["x"], ["input", "x"], [draw.choice(TEXTS)], []])
    names = [name.encode("utf-8", "replace").decode() for name in names]
    save_file({name: batch.clone() for name in names}, path)
    if draw.random() < 0.3:
        path.write_bytes(bytes_of(path.read_bytes(), draw))
    widen = ["widen", "ckpt", "--layer", "fc1", "--to", "8", "-o", "out.safetensors"]
    deepen = ["deepen", "ckpt", "--after", "act", "-o", "out.safetensors"]
    return draw.choice([
        [*widen, "--probe-data", path.name], [*deepen, "--calibrate", path.name],
        [*deepen, "--calibrate", path.name, "--mode", "evaluation"],
        ["verify", "ckpt", "ckpt", "--probe-data", path.name],
        ["inspect", "ckpt", "--train", "--probe-data", path.name],
        ["trace", "nets:Image", "--input-file", path.name, "-o", "out.yaml"],
    ])  # fmt: skip


def _spoilt(content: Any, draw: Random) -> Any:
    """Other objects in it, and now and then another tensor or code in the place of a tensor."""
    found = structure(content, draw) if draw.random() < 0.7 else content
    holders = list(_holders(found))
    for holder, key in draw.sample(holders, min(len(holders), draw.choice([0, 1, 1, 2]))):
        holder[key] = Evil() if draw.random() < 0.05 else _another(holder[key], draw)
    return found


def _holders(node: Any) -> Any:
    """Where tensors stand in dictionaries."""
    for key, child in node.items() if isinstance(node, dict) else ():
        if isinstance(child, Tensor):
            yield node, key
        elif isinstance(child, dict):
            yield from _holders(child)


def _another(tensor: Tensor, draw: Random) -> Any:
    match draw.randrange(10):
        case 0:
            return torch.zeros(1).expand(
                2 ** draw.choice([10, 28, 40])
            )  # one number, said very often
        case 1:
            return torch.zeros(1).expand(2**20, 2**20)
        case 2:
            return torch.zeros(0, 3)
        case 3:
            return tensor.to(draw.choice([torch.int8, torch.complex64, torch.bool, torch.float16,
                                          torch.float64, torch.float8_e5m2]))  # fmt: skip
        case 4:
            return tensor.float().to_sparse()
        case 5:
            return torch.empty(2**40, device="meta")
        case 6:
            return tensor.float() * draw.choice([float("nan"), float("inf"), 1e38, 0.0])
        case 7:
            return torch.nn.Parameter(tensor.float().t() if tensor.ndim == 2 else tensor.float())
        case 8:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it is on its way out of torch
                return torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)
        case _:
            return tensor[None].float()


def _archive(pickled: bytes, file: Path) -> None:
    """A torch file around a pickle of one's own."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")


def _save(content: Any, file: Path, draw: Random) -> None:
    """As torch's archives, or as the bare pickles before them, which say more of themselves."""
    try:
        torch.save(content, file, _use_new_zipfile_serialization=draw.random() < 0.8)
    except (RuntimeError, ValueError, TypeError, UnicodeEncodeError):  # torch writes no such thing
        torch.save({"fc1.weight": [content is None]}, file)
