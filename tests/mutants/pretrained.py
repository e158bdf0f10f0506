"""The same for transformers: tiny ones of every family, grown in everything at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from torch import Tensor

from net2net_cli import api
from net2net_cli.applying import expected_drift
from net2net_cli.execute import Executor
from net2net_cli.families import families, whole
from net2net_cli.family_plans import growth_of, recipes_of
from net2net_cli.opening import FamilyModel, family_model
from net2net_cli.plan import Plan, Rescale
from net2net_cli.recipe import Recipe
from net2net_cli.spec import parse_document
from net2net_cli.verification import ProbeOptions, probe_models
from tests.families.growing import Teachers, first_of, written
from tests.mutants.judged import Mutant
from tests.mutants.mutations import KINDS
from tests.support.memory import MemorySource

FAMILIES = tuple(families())
State = dict[str, Tensor]


@dataclass(frozen=True)
class FamilyAttempt:
    """One growth of a transformer, to be spoilt."""

    family: str
    label: str
    teacher: FamilyModel
    plan: Plan
    recipes: tuple[Recipe, ...]

    def mutants(self, draw: Random, each: int) -> Iterator[Mutant]:
        """``each`` mistakes of every kind that can be made here."""
        right = {recipe.name: self._made(recipe) for recipe in self.recipes}
        assert not self._caught(right), "the right student is refused"
        for kind, mutation in KINDS.items():
            places = list(self.recipes)
            draw.shuffle(places)
            spoilt = (changed for r in places if (changed := mutation(r, draw)) is not None)
            for changed, _ in zip(spoilt, range(each), strict=False):
                state = {**right, changed.name: self._made(changed)}
                caught = self._caught(state)
                harmless = not caught and self._no_matter(right, state, changed.name)
                yield Mutant(self.family, self.label, kind, changed.name, False, caught, harmless)
        for operation in self.plan.operations:
            if isinstance(operation, Rescale):
                caught = self._caught(right, {operation.argument: operation.before})
                where = operation.argument
                yield Mutant(self.family, self.label, "stale eps", where, False, caught)

    def _made(self, recipe: Recipe) -> Tensor:
        return Executor(self.teacher.source).make(recipe)

    def _caught(
        self, state: State, stale: Mapping[str, object] | None = None, seed: int = 0
    ) -> bool:
        family, config = whole(parse_document(self.plan.student, "student.yaml"))
        student = family_model(MemorySource(state), family, {**config, **(stale or {})}, "mutant")
        expected = expected_drift(self.plan, self.teacher, api.RunOptions())
        probed = probe_models(self.teacher, student, ProbeOptions(seed=seed), expected)
        assert probed.skipped is None, probed.skipped
        return not all(judged.passed for judged in probed.judged)

    def _no_matter(self, right: State, state: State, where: str) -> bool:
        """Whether the change, made fifty times as large, moves no output on other inputs."""
        wild = right[where] + 50 * (state[where] - right[where])
        return not self._caught({**right, where: wild}, seed=17)


def family_attempts(family: str, teachers: Teachers) -> Iterator[FamilyAttempt]:
    """A family's first case, in the growth of everything and in that of its hidden size."""
    case = first_of(family)
    model = api.open_model(str(teachers.folder(case)))
    assert isinstance(model, FamilyModel)
    for label in ("everything", "hidden"):
        if label in case.grown:
            plan = api.make_plan(model, None, written(case.grown[label]))
            recipes = recipes_of(plan, model, growth_of(plan, model))
            yield FamilyAttempt(family, label, model, plan, recipes)


def family_mutants(family: str, folder: Path, each: int = 1) -> Iterator[Mutant]:
    """All mutants of one family, the same in every run."""
    draw = Random(family)
    for attempt in family_attempts(family, Teachers(folder)):
        yield from attempt.mutants(draw, each)
