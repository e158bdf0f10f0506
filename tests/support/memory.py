"""Teachers that live in memory, grown as the program does it, judged by its verifier.

No file is written, so that thousands of networks can be grown; what is written to disk, and how,
other tests look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from net2net_cli import diff, making, recipe
from net2net_cli.api import Choices, Plan, from_json, plan_of, to_json
from net2net_cli.axes import Width
from net2net_cli.errors import Place
from net2net_cli.execute import Executor, Measured
from net2net_cli.io import Source, TensorInfo
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout, LaidTensor
from net2net_cli.opening import SpecModel
from net2net_cli.plan import Insert
from net2net_cli.recipe import Moments
from net2net_cli.spec import Document, parse_document, to_spec, with_args
from net2net_cli.spec.document import document
from net2net_cli.spec.tree import Table, from_plain
from net2net_cli.targets import argument_changes
from net2net_cli.verify.inputs import draw_inputs
from net2net_cli.verify.network import Network, build
from net2net_cli.verify.probe import probe
from net2net_cli.verify.statistics import value_statistics

EXACT = 1e-10
FILE = "drawn.yaml"


class MemorySource(Source):
    """A checkpoint made of tensors."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.label, self.path, self.files = "drawn", None, ()
        self.state = state
        self.metadata: Mapping[str, str] = MappingProxyType({})
        self.tensors = {
            name: TensorInfo(name, str(value.dtype).removeprefix("torch."), tuple(value.shape))
            for name, value in state.items()
        }

    def raw(self, name: str) -> memoryview:
        flat = self.state[name].contiguous().reshape(-1)
        return memoryview(flat.view(torch.uint8).numpy().tobytes())

    def tensor(self, name: str) -> Tensor:
        return self.state[name]

    def close(self) -> None:
        return


def described(layers: Mapping[str, object], **top: object) -> Document:
    """A spec given as plain data; ``top`` holds ``input`` and ``outputs``."""
    root = from_plain({"net2net": 1, **top, "layers": layers}, Place(FILE))
    assert isinstance(root, Table)
    return document(root, FILE)


def with_sizes(doc: Document, layout: GraphLayout, sizes: Mapping[Width, int]) -> Document:
    """The document with every argument that counts a width at its new size."""
    return with_args(doc, argument_changes(layout, sizes))


def teacher_of(doc: Document, seed: int = 0, dtype: torch.dtype = torch.float64) -> SpecModel:
    """A model with random weights, biases, norms and statistics."""
    spec = to_spec(doc)
    layout = layout_of(spec)
    generator = torch.Generator().manual_seed(seed)
    state = {name: _drawn(t, generator).to(dtype) if t.line.fill != "count" else torch.tensor(7)
             for name, t in layout.tensors.items()}  # fmt: skip
    return SpecModel(MemorySource(state), layout, "drawn", (), doc, spec)


def _drawn(tensor: LaidTensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    match tensor.line.name, tensor.line.fill:
        case "running_var", _:
            return 0.5 + normal.abs()
        case _, "ones" | "init":
            return 1 + 0.3 * normal
        case _, "uniform" if normal.ndim > 1:
            return normal * (1.7 / max(normal[0].numel(), 1) ** 0.5)
        case _:
            return 0.3 * normal


@dataclass(frozen=True)
class Student:
    """A grown network: the plan, its tensors, and the spec that it is built from."""

    plan: Plan
    model: SpecModel

    @property
    def moments(self) -> set[str]:
        """Where the statistics of inserted BatchNorms come from."""
        return {o.moments for o in self.plan.operations if isinstance(o, Insert) and o.moments}

    @property
    def state(self) -> Mapping[str, Tensor]:
        source = self.model.source
        return {name: source.tensor(name) for name in source.tensors}


@dataclass(frozen=True)
class Growth:
    """A plan, what it was made from, and what it comes to."""

    plan: Plan
    comparison: diff.Comparison
    recipes: tuple[recipe.Recipe, ...]


def model_of(doc: Document, state: Mapping[str, Tensor]) -> SpecModel:
    """A model made of a spec and tensors."""
    spec = to_spec(doc)
    return SpecModel(MemorySource(state), layout_of(spec), "drawn", (), doc, spec)


@dataclass
class Judge:
    """Grows one teacher, and compares every student with it on the same inputs."""

    model: SpecModel
    probes: int = 5
    network: Network = field(init=False)
    inputs: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.network = built(self.model)
        self.inputs = draw_inputs(self.model.spec, self.probes, 3)

    def grow(self, target: Document, choices: Choices | None = None) -> Student:
        """The student for a target; plan and specs go through their texts, as when saved."""
        return self.student(self.prepare(target, choices))

    def prepare(self, target: Document, choices: Choices | None = None) -> Growth:
        """All that is settled before a tensor is made."""
        made = plan_of(self.model, target, choices or Choices())
        plan = from_json(to_json(made), FILE)
        assert plan == made
        source, wanted = (
            layout_of(to_spec(parse_document(text, FILE))) for text in (plan.source, plan.target)
        )
        comparison = diff.compare(source, wanted)
        recipes = making.make_recipes(comparison, plan, self.model.dtypes)
        recipe.check(
            recipes, comparison.source, comparison.target, tuple(self.model.source.tensors)
        )
        return Growth(plan, comparison, recipes)

    def student(self, growth: Growth) -> Student:
        """The student that a growth comes to."""
        executor = Executor(self.model.source, Measured(self._measured(growth.recipes)))
        state = {r.name: executor.make(r) for r in growth.recipes}
        for r in growth.recipes:
            assert tuple(state[r.name].shape) == r.shape
            assert str(state[r.name].dtype) == f"torch.{r.dtype}"
        return Student(growth.plan, model_of(parse_document(growth.plan.student, FILE), state))

    def _measured(self, recipes: tuple[recipe.Recipe, ...]) -> dict[str, tuple[Tensor, Tensor]]:
        names = {r.base.value for r in recipes if isinstance(r.base, Moments)}
        if not names:
            return {}
        found = value_statistics(self.network, self.inputs, names)
        return {name: (s.mean, s.variance) for name, s in found.items()}

    def errors(self, student: Student) -> dict[str, float]:
        """Mode -> the largest relative error; infinite where NaN stands in other places."""
        found = probe(self.network, built(student.model), self.inputs)
        return {c.mode: c.relative_error if c.nan_equal else float("inf") for c in found}


def built(model: SpecModel) -> Network:
    """The model as a network that runs, in float64."""
    return build(model.spec, {name: model.source.tensor(name) for name in model.source.tensors})
