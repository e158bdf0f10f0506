"""The specs of `specs/`: which there are, how they are read, and weights to run them with."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from net2net_cli.layout import GraphLayout
from net2net_cli.spec import Document, Spec, read_document, resolve, to_spec

SPECS = Path(__file__).parents[2] / "specs"

PAIRS = (
    ("mlp", "mlp_wider"),
    ("mlp", "mlp_deeper"),
    ("lenet", "lenet_wider"),
    ("lenet", "lenet_deeper"),
    ("digits", "digits_bigger"),
    ("vgg11_bn", "vgg11_bn_wider"),
    ("vgg11_bn", "vgg11_bn_deeper"),
    ("resnet18", "resnet18_wider"),
    ("resnet18", "resnet18_deeper"),
    ("resnet50", "resnet50_wider"),
    ("resnet50", "resnet50_deeper"),
    ("googlenet", "googlenet_wider"),
    ("googlenet", "googlenet_deeper"),
    ("mobilenet_v2", "mobilenet_v2_wider"),
    ("mobilenet_v2", "mobilenet_v2_deeper"),
    ("densenet121", "densenet121_wider"),
    ("densenet121", "densenet121_deeper"),
    ("convnext_tiny", "convnext_tiny_wider"),
    ("convnext_tiny", "convnext_tiny_deeper"),
    ("crepe_tiny", "crepe_tiny_wider"),
    ("crepe_tiny", "crepe_tiny_deeper"),
    ("crepe_full", "crepe_full_wider"),
    ("crepe_full", "crepe_full_deeper"),
)
"""Teacher and target: the target starts from the teacher's own spec."""

FAMILIES = ("llama_1b_to_2b", "gpt2_to_medium", "mixtral_from_mistral")
"""Targets for transformers, whose teachers are others' checkpoints."""

TEACHERS = tuple(dict.fromkeys(teacher for teacher, _ in PAIRS))
NAMES = tuple(dict.fromkeys(name for pair in PAIRS for name in pair))

_TEACHER_OF = {target: teacher for teacher, target in PAIRS}


@cache
def read(name: str) -> Document:
    """The spec of that name with its `extends` carried out."""
    source = read(_TEACHER_OF[name]) if name in _TEACHER_OF else None
    return resolve(read_document(SPECS / f"{name}.yaml"), source)


@cache
def network(name: str, image: int = 64) -> Spec:
    """The graph of that spec, for images of ``image`` pixels a side where it takes larger ones."""
    spec = to_spec(read(name))
    return replace(spec, inputs=tuple(replace(i, shape=_cut(i.shape, image)) for i in spec.inputs))


def header(name: str) -> str:
    """The comment on top of a spec, on one line."""
    text = (SPECS / f"{name}.yaml").read_text(encoding="utf-8")
    lines = text[: text.index("net2net: 1")].splitlines()
    assert all(line.startswith("#") for line in lines)
    return " ".join(" ".join(line.strip("#\\") for line in lines).split())


def command(name: str) -> str:
    """The command that the comment on top of a target gives."""
    found = re.search(r"net2net grow .*? -o \S+", header(name))
    assert found is not None
    return found.group()


def random_inputs(count: int, *shape: int) -> Tensor:
    """Examples in float64, ``[count, *shape]``, the same every time."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def random_state(layout: GraphLayout, seed: int = 0) -> dict[str, Tensor]:
    """Weights for a network: one tensor for each of the layout's, as ``random_tensor`` draws it."""
    generator = torch.Generator().manual_seed(seed)
    return {
        tensor.name: random_tensor(tensor.name, tensor.shape, generator)
        for tensor in layout.tensors.values()
    }


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Weights in float64 as a trained network might have them, by the tensor's name.

    All four vectors of a BatchNorm are random and its variances positive; matrices and kernels
    keep the scale of what passes through them.
    """
    if name.endswith("num_batches_tracked"):
        return torch.tensor(100)
    if name.endswith("running_var"):
        return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
    if len(shape) > 1:
        return drawn.mul_((2 / max(1, prod(shape[1:]))) ** 0.5)
    return drawn.mul_(0.2).add_(1.0 if name.endswith("weight") else 0.0)


def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The same model in float64 and evaluation mode, every tensor of its state dict drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        name: random_tensor(name, tuple(tensor.shape), generator)
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(drawn, assign=True)
    return model.eval()


def _cut(shape: tuple[int, ...], image: int) -> tuple[int, ...]:
    return (3, image, image) if shape[0] == 3 else shape
