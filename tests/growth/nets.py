"""Networks written twice, as torch modules and as the spec's YAML, and what growing one gives.

The torch side is written by hand and loads the student with ``load_state_dict(strict=True)``: that
is how users will open it, and it shares nothing with the program's own verifier.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from net2net_cli.api import (
    Choices,
    Grown,
    Model,
    Plan,
    RunOptions,
    apply_plan,
    make_plan,
    open_model,
)
from net2net_cli.laying import layout_of
from net2net_cli.plan import Rescale
from net2net_cli.spec import parse_document, to_spec
from net2net_cli.verify.network import build
from tests.support.zoo import random_tensor
from tests.verify.hand_built import randomize

EXACT = 1e-10

EACH = frozenset({"fresh", "duplicate", "even"})
ZERO = EACH | {"zero"}
ALL = ZERO | {"mean"}
COPIES = frozenset({"duplicate", "even"})
"""What ``--expansion duplicate`` means where only even duplication is exact."""

QUICK = RunOptions(overwrite=True, verify=False)
"""The tests compare by themselves; the program's verification has tests of its own."""

_RANDOM = (nn.modules.dropout._DropoutNd, nn.RReLU)


@dataclass(frozen=True)
class Net:
    """A network whose hidden width is ``n``.

    ``layers`` is the spec's text with ``$n``, ``$n2`` and so on for n and its multiples,
    ``module`` gives the same as torch modules. ``shapes`` are the inputs' (floats named a, b, ...
    where there are several); with ``ids`` the one input holds whole numbers below it.
    ``bears`` are the expansions that the width is said to bear.
    """

    name: str
    layers: str
    module: Callable[[int], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    bears: frozenset[str] = EACH
    ids: int = 0

    def spec(self, n: int) -> str:
        """The YAML of the network, n wide."""
        lines = [f"  {line.strip()}" for line in self.layers.strip().splitlines()]
        text = "\n".join(["net2net: 1", f"input: {self._inputs()}", "layers:", *lines]) + "\n"
        sizes = {f"n{times}": times * n for times in (2, 3, 4, 6, 9)}
        return Template(text).substitute(sizes, n=n)

    def _inputs(self) -> str:
        shapes = [list(shape) for shape in self.shapes]
        if self.ids:
            return f"{{ids: {{shape: {shapes[0]}, dtype: int64, high: {self.ids}}}}}"
        if len(shapes) == 1:
            return str(shapes[0])
        return "{" + ", ".join(f"{n}: {s}" for n, s in zip("abc", shapes, strict=False)) + "}"

    def batch(self, count: int = 6, seed: int = 1) -> tuple[Tensor, ...]:
        """Inputs for the network, in float64 or whole numbers."""
        generator = torch.Generator().manual_seed(seed)
        if self.ids:
            return (torch.randint(self.ids, (count, *self.shapes[0]), generator=generator),)
        return tuple(
            torch.randn((count, *shape), generator=generator, dtype=torch.float64)
            for shape in self.shapes
        )


def chain(**modules: nn.Module) -> nn.Sequential:
    """Named modules, each fed by the one before."""
    return nn.Sequential(OrderedDict(modules))


class Told(nn.Module):
    """A function of torch as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values)


@dataclass(frozen=True)
class Teacher:
    """A checkpoint on disk, opened, beside its network in torch."""

    model: Model
    module: nn.Module
    folder: Path

    def plan(self, spec: str, choices: Choices | None = None, **options: bool) -> Plan:
        """The plan for a target's text."""
        path = self.folder / "target.yaml"
        path.write_text(spec)
        return make_plan(self.model, path, choices=choices, **options)

    def apply(self, plan: Plan, name: str = "student", options: RunOptions = QUICK) -> Student:
        """Carry a plan out."""
        path = self.folder / f"{name}.safetensors"
        grown = apply_plan(plan, self.model, str(path), options)
        return Student(path, plan, grown)


@dataclass(frozen=True)
class Student:
    """A grown checkpoint."""

    path: Path
    plan: Plan
    grown: Grown

    @property
    def state(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return load_file(self.path)

    @property
    def network(self) -> nn.Module:
        """The program's own module for it, where none is written by hand."""
        return build(to_spec(parse_document(self.plan.student, "student")), self.state)

    def into(self, module: nn.Module) -> nn.Module:
        """The module with the student's tensors, in float64; every name and shape must fit."""
        loaded = module.double().eval()
        loaded.load_state_dict(self.state, strict=True)
        for operation in self.plan.operations:
            if isinstance(operation, Rescale):
                assert operation.argument == "eps"
                loaded.get_submodule(operation.layer).eps = operation.after
        return loaded


def save_teacher(
    folder: Path, spec: str, module: nn.Module, dtype: torch.dtype | None = None
) -> Teacher:
    """Write a network's tensors, rounded to ``dtype``, and its spec beside them; open both."""
    if dtype is not None:  # the torch side computes in float64 with the rounded weights
        module.to(dtype).double()
    state = {
        name: tensor.detach().to(dtype or tensor.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in module.state_dict().items()
    }
    save_file(state, folder / "teacher.safetensors")
    (folder / "teacher.yaml").write_text(spec)
    return Teacher(open_model(str(folder / "teacher.safetensors")), module, folder)


def save_spec(folder: Path, spec: str, dtype: torch.dtype = torch.float64) -> Teacher:
    """A checkpoint with random weights for a spec that no module is written for here."""
    graph = to_spec(parse_document(spec, "teacher.yaml"))
    generator = torch.Generator().manual_seed(0)
    state = {
        name: random_tensor(name, tensor.shape, generator)
        for name, tensor in layout_of(graph).tensors.items()
    }
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state.items()}
    save_file(state, folder / "teacher.safetensors")
    (folder / "teacher.yaml").write_text(spec)
    return Teacher(open_model(str(folder / "teacher.safetensors")), build(graph, state), folder)


def teacher_of(net: Net, folder: Path, n: int = 4, dtype: torch.dtype | None = None) -> Teacher:
    """A net with random weights and statistics."""
    torch.manual_seed(0)
    return save_teacher(folder, net.spec(n), randomize(net.module(n)), dtype)


def outputs(module: nn.Module, batch: tuple[Tensor, ...], mode: str = "evaluation") -> Tensor:
    """What a module computes; in training mode its norms take the batch's statistics, and what is
    random stays off. The module's own statistics stay as they were."""
    working = copy.deepcopy(module).train(mode == "training")
    for part in working.modules():
        if isinstance(part, _RANDOM):
            part.eval()
    with torch.no_grad():
        found: Tensor | tuple[Tensor, ...] = working(*batch)
    return found[0] if isinstance(found, tuple) else found


def difference(
    teacher: nn.Module, student: nn.Module, batch: tuple[Tensor, ...], mode: str = "evaluation"
) -> float:
    """The largest difference of the outputs, relative to the teacher's largest output."""
    ours, theirs = outputs(teacher, batch, mode), outputs(student, batch, mode)
    assert ours.shape == theirs.shape
    assert bool(ours.isfinite().all())
    assert float((ours[0] - ours[1]).abs().max()) > 1e-3 * float(ours.abs().max()), "no probe"
    return float((ours - theirs).abs().max() / ours.abs().max())


def worst(teacher: nn.Module, student: nn.Module, batch: tuple[Tensor, ...]) -> float:
    """The larger difference of evaluation and training mode."""
    return max(difference(teacher, student, batch, m) for m in ("evaluation", "training"))
