"""How students are made: by the tool, and in ways that it lacks.

The tool draws fresh units as large as the teacher's tensor is (root mean square), times
sqrt(old / new fan-in). What it lacks starts from there and changes what its recipes call new:

torch size   as torch or transformers initialises such a layer
teacher size as large as the teacher's tensor is, without regard to the fan-in
pairs        new units come in twos of equal weights; what reads them has +r for one, -r for the
             other (an antisymmetric pair: the sum stays what it was, and all get gradient)
transplant   a network from scratch with the teacher's weights in their places; preserves nothing:
             the paper's baselines, random padding and random insertion
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from net2net_cli import api
from net2net_cli.applying import _work
from net2net_cli.axismap import AxisMap, Code
from net2net_cli.recipe import Copy, Recipe
from tests.benchmarks.learning.networks import Size, State
from tests.benchmarks.learning.tasks import Data, Task

DRAWN = (Code.ANYTHING, Code.FRESH)


@dataclass(frozen=True)
class Draft:
    """A student as the tool made it, and what it was made of; ``optimizer`` is the state that its
    optimizer goes on from, None where that starts afresh."""

    state: State
    teacher: State
    recipes: Sequence[Recipe]
    scratch: State
    seed: int
    optimizer: Any = None


Change = Callable[[Draft], State]


@dataclass(frozen=True)
class Arm:
    """One way to come by a student of a size. ``calibrated``: --calibrate is given; ``carried``:
    the teacher's optimizer state grows with it, by that map. ``minor``: it is run only where steps
    are cheap; ``only`` names the one task that it is for, ``optimizer`` the one optimizer."""

    name: str
    size: Size
    choices: api.Choices = field(default_factory=api.Choices)
    change: Change = lambda draft: draft.state
    calibrated: bool = False
    carried: Literal["step", "restart"] | None = None
    minor: bool = False
    only: str = ""
    optimizer: str = ""

    @property
    def everywhere(self) -> bool:
        """Whether every task and optimizer has it."""
        return not (self.minor or self.only or self.optimizer)


def make(arm: Arm, task: Task, folder: Path, teacher: State, data: Data, seed: int) -> Draft:
    """The tool's student for an arm; ``folder`` holds the teacher as ``Family.save`` left it, and
    its optimizer's state in ``optimizer.pt``."""
    source = folder / "teacher"
    source = source if source.exists() else folder / "teacher.safetensors"
    model = api.open_model(str(source))
    spec, settings = task.family.target(arm.size, folder)
    chosen = arm.choices
    choices = api.Choices(chosen.expansion, chosen.split, seed, chosen.noise)
    plan = api.make_plan(model, spec, settings, choices, calibrated=arm.calibrated)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out = Path(name) / ("student" if source.is_dir() else "student.safetensors")
        given = Path(name) / "data.safetensors" if arm.calibrated else None
        if given:
            save_file({"input": data.x[:256].contiguous()}, given)
        told = Path(name) / "optimizer.pt"
        file = folder / "optimizer.pt"
        carried = api.StateOptions(file, str(told), arm.carried) if arm.carried else None
        options = api.RunOptions(verify=False, calibrate=given, state=carried)
        api.apply_plan(plan, model, str(out), options)
        state = task.family.read(out)
        optimizer = torch.load(told) if arm.carried else None
    scratch = task.family.state_of(task.family.untrained(arm.size, seed + 2000))
    return Draft(state, teacher, _work(plan, model).recipes, scratch, seed, optimizer)


def codes(recipe: Recipe) -> Tensor:
    """What each entry of a tensor is, as ``Code`` says; int64 of the tensor's shape."""
    found = torch.zeros(recipe.shape, dtype=torch.long)
    for dim, axis in enumerate(recipe.axes):
        shape = [-1 if d == dim else 1 for d in range(found.ndim)]
        found = torch.maximum(found, torch.tensor(axis.code).reshape(shape))
    return found


def _grown(draft: Draft) -> list[Recipe]:
    return [r for r in draft.recipes if isinstance(r.base, Copy) and not r.kept and r.axes]


def _resized(draft: Draft, size: Callable[[Recipe, float], float]) -> State:
    """Drawn weights of another size: ``size`` gives it, from what the tool takes."""
    state = dict(draft.state)
    for recipe in _grown(draft):
        said = float(draft.teacher[recipe.base.name].square().mean().sqrt())
        said *= recipe.filling.gain
        if recipe.filling.fill in ("uniform", "normal", "scaled") and said:
            new = torch.isin(codes(recipe), torch.tensor(DRAWN))
            by = size(recipe, said) / said
            state[recipe.name] = torch.where(new, state[recipe.name] * by, state[recipe.name])
    return state


def as_torch(draft: Draft) -> State:
    """As torch (or transformers) initialises such a layer."""

    def size(recipe: Recipe, _said: float) -> float:
        fill, bound = recipe.filling.fill, recipe.filling.bound
        return {"uniform": bound / 3**0.5, "normal": 1.0, "scaled": bound}[fill]

    return _resized(draft, size)


def as_teacher(draft: Draft) -> State:
    """As large as the teacher's tensor is, however many more inputs there are."""
    return _resized(draft, lambda recipe, said: said / recipe.filling.gain)


def pairs(draft: Draft) -> State:
    """Antisymmetric pairs: every other new unit is the one before it, read with the other sign."""
    generator = torch.Generator().manual_seed(draft.seed)
    state = dict(draft.state)
    for recipe in _grown(draft):
        value = state[recipe.name].clone()
        for dim, axis in enumerate(recipe.axes):
            if fresh := _units(axis, Code.FRESH, recipe):
                first, second = torch.tensor(fresh[::2]), torch.tensor(fresh[1::2])
                value.index_copy_(dim, second, value.index_select(dim, first))
        for dim, axis in enumerate(recipe.axes):
            if blank := _units(axis, Code.BLANK, recipe):
                first, second = torch.tensor(blank[::2]), torch.tensor(blank[1::2])
                shape = list(value.shape)
                shape[dim] = len(first)
                rows = torch.randn(shape, generator=generator) * _size(recipe, draft)
                value.index_copy_(dim, first, rows)
                value.index_copy_(dim, second, -rows)
        state[recipe.name] = value
    return state


def torch_pairs(draft: Draft) -> State:
    """Pairs of units as torch initialises them."""
    return pairs(replace(draft, state=as_torch(draft)))


def teacher_pairs(draft: Draft) -> State:
    """Pairs of units as large as the teacher's."""
    return pairs(replace(draft, state=as_teacher(draft)))


def _units(axis: AxisMap, code: Code, recipe: Recipe) -> list[int]:
    """New units along an axis; none of attention's, whose heads are no single units."""
    found = [j for j, c in enumerate(axis.code) if c == code]
    return [] if ".attn." in recipe.name or len(found) % 2 else found


def _size(recipe: Recipe, draft: Draft) -> float:
    """A tenth of the teacher's own weights: enough to be heard, too little to be in the way."""
    return 0.1 * float(draft.teacher[recipe.base.name].square().mean().sqrt())


def transplant(draft: Draft) -> State:
    """From scratch, but for the teacher's weights in their places."""
    state = dict(draft.scratch)
    for recipe in draft.recipes:
        if not isinstance(recipe.base, Copy):
            continue
        old = draft.teacher[recipe.base.name]
        for dim, axis in enumerate(recipe.axes):
            old = old.index_select(dim, torch.tensor(axis.index))
        kept = codes(recipe) == Code.COPY if recipe.axes else torch.tensor(data=True)
        state[recipe.name] = torch.where(kept, old, state[recipe.name])
    return state


def from_scratch(draft: Draft) -> State:
    """As its library initialises it."""
    return draft.scratch


def _choice(expansion: str, split: str = "signed", noise: float = 0.0) -> api.Choices:
    return api.Choices(expansion, split, noise=noise)


FRESH, SIGNED, EVEN = _choice("fresh"), _choice("duplicate"), _choice("duplicate", "even")
NOISY = _choice("duplicate", "even", 0.01)

ARMS: tuple[Arm, ...] = (
    Arm("from scratch", "wider", FRESH, from_scratch),
    Arm("random padding", "wider", FRESH, transplant),
    Arm("fresh, torch size", "wider", FRESH, as_torch),
    Arm("fresh, teacher size", "wider", FRESH, as_teacher),
    Arm("fresh", "wider", FRESH),
    Arm("fresh, state carried", "wider", FRESH, carried="step"),
    Arm("fresh, state restarted", "wider", FRESH, carried="restart", optimizer="adamw"),
    Arm("fresh, calibrated", "wider", FRESH, calibrated=True, only="digits-inception"),
    Arm("signed", "wider", SIGNED),
    Arm("even", "wider", EVEN),
    Arm("from scratch", "both", FRESH, from_scratch),
    Arm("random padding and insertion", "both", FRESH, transplant),
    Arm("fresh, torch size", "both", FRESH, as_torch, minor=True),
    Arm("fresh, teacher size", "both", FRESH, as_teacher),
    Arm("fresh", "both", FRESH),
    Arm("fresh, state carried", "both", FRESH, carried="step"),
    Arm("fresh, state restarted", "both", FRESH, carried="restart", optimizer="adamw"),
    Arm("fresh, calibrated", "both", FRESH, calibrated=True, only="digits-inception"),
    Arm("signed", "both", SIGNED),
    Arm("even, 1 % noise", "both", NOISY, minor=True),
    Arm("from scratch", "deeper", FRESH, from_scratch),
    Arm("random insertion", "deeper", FRESH, transplant),
    Arm("identity", "deeper"),
    Arm("identity, state carried", "deeper", carried="step"),
    Arm("identity, state restarted", "deeper", carried="restart", optimizer="adamw"),
    Arm("identity, calibrated", "deeper", calibrated=True, only="digits-inception"),
    Arm("fresh, stream by its mean", "wider", _choice("mean"), only="python-gpt"),
    Arm("fresh pairs, torch size", "wider", FRESH, torch_pairs, minor=True),
    Arm("fresh pairs, teacher size", "wider", FRESH, teacher_pairs, minor=True),
    Arm("even, 1 % noise", "wider", NOISY, minor=True),
    Arm("signed, 1 % noise", "wider", _choice("duplicate", noise=0.01), minor=True),
    Arm("whole", "wider", _choice("duplicate", "whole"), minor=True),
    Arm("random", "wider", _choice("duplicate", "random"), minor=True),
    Arm("dyadic", "wider", _choice("duplicate", "dyadic"), minor=True),
    Arm("zero", "wider", _choice("zero"), minor=True),
)
"""In the order in which they are run: what the defaults hang on comes first."""
