"""From the plan in a student's metadata to the teacher's tensors: which they are, and how each
lies in the student.

Recipes follow from the plan. Which of a teacher's optional tensors there were is seen in the
student; their dtypes too, and where ``--dtype`` cast them, by the plan's header digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from net2net_cli import diff, families, making, planning
from net2net_cli.axes import Width
from net2net_cli.errors import PlanError, UnreachableError, UsageError
from net2net_cli.families import Config, Family, FamilyGrowth, LaidFamily
from net2net_cli.families.lay import expected_names
from net2net_cli.families.sizes import STORED
from net2net_cli.fits import FLOATS, check_fit
from net2net_cli.inverse import Shrink, invert
from net2net_cli.io import TensorInfo
from net2net_cli.io.digest import has_header
from net2net_cli.laying import layout_of
from net2net_cli.layout import Layout
from net2net_cli.notation import names
from net2net_cli.plan import Plan, Widen
from net2net_cli.recipe import Copy, Recipe
from net2net_cli.spec import parse_document, to_spec

Tensors = Mapping[str, TensorInfo]
Named = Mapping[str, Recipe]
"""The teacher's tensors by name, each with a recipe that copies it."""

_ANY = "float32"
"""Stands for dtypes where only names and axes count."""


@dataclass(frozen=True)
class Shrinking:
    """The teacher's tensors, sorted by name, and the layout that they must have.

    ``known`` says whether names, dtypes and shapes are the teacher's, as the plan's header digest
    tells; otherwise the dtypes are the student's.
    """

    recipes: tuple[Shrink, ...]
    layout: Layout
    known: bool

    @property
    def infos(self) -> list[TensorInfo]:
        """Their headers."""
        return [TensorInfo(r.name, r.dtype, r.shape) for r in self.recipes]


def shrink_recipes(plan: Plan, tensors: Tensors, label: str) -> Shrinking:
    """How the teacher of a plan lies in a student with these tensors.

    Reads no weights, and imports no torch. Raises CheckpointError (exit 2) where the tensors are
    not those of the plan's student, PlanError where the plan does not fit its own specs.
    """
    of_family = parse_document(plan.source, "the plan's source spec").of_family
    try:
        layout, found, doubtful = (_of_family if of_family else _of_layers)(plan, tensors, label)
    except (UnreachableError, UsageError, ValueError) as error:  # the plan was edited by hand
        raise _no_fit(label, str(error)) from error
    for recipe in found.values():
        if recipe.shape != tensors[recipe.name].shape:
            raise _no_fit(label, f"`{recipe.name}`")
    certain = {old: recipe for old, recipe in found.items() if old not in doubtful}
    for named in (certain, found):
        infos = [_info(old, recipe, tensors) for old, recipe in sorted(named.items())]
        for wanted in (None, *FLOATS):
            tried = [_cast(info, wanted) for info in infos]
            if has_header(tried, plan.teacher.header_digest):
                return Shrinking(_inverted(named, tried, tensors), layout, known=True)
    own = [_info(old, recipe, tensors) for old, recipe in sorted(certain.items())]
    return Shrinking(_inverted(certain, own, tensors), layout, known=False)


def _info(old: str, recipe: Recipe, tensors: Tensors) -> TensorInfo:
    """The teacher's header, but for a dtype that was cast."""
    shape = tuple(axis.before for axis in recipe.axes)
    return TensorInfo(old, tensors[recipe.name].dtype, shape)


def _cast(info: TensorInfo, wanted: str | None) -> TensorInfo:
    dtype = wanted if wanted and info.dtype in FLOATS else info.dtype
    return TensorInfo(info.name, dtype, info.shape)


def _inverted(named: Named, infos: Iterable[TensorInfo], tensors: Tensors) -> tuple[Shrink, ...]:
    return tuple(
        invert(named[i.name], i.name, i.dtype, tensors[named[i.name].name].dtype) for i in infos
    )


def _no_fit(label: str, what: str) -> PlanError:
    return PlanError(
        f"the plan in the student's metadata does not fit it: {what}",
        where=label,
        hint="was the metadata, or the student, edited since?",
    )


def _of_layers(plan: Plan, tensors: Tensors, label: str) -> tuple[Layout, Named, set[str]]:
    """For layer specs. What the target does not share any more, the source may have held twice:
    those names are doubtful."""
    source, target, student = (
        layout_of(to_spec(parse_document(text, "the plan's specs")))
        for text in (plan.source, plan.target, plan.student)
    )
    check_fit(student, tensors, label)
    comparison = diff.compare(source, target)
    if not planning.leads(plan, comparison):
        raise _no_fit(label, "its operations do not lead from its source to its target")
    every = dict.fromkeys((*source.tensors, *source.aliases), _ANY)
    sharers, found = target.sharers(), dict[str, Recipe]()
    doubtful = set[str]()
    for recipe in making.make_recipes(comparison, plan, every):
        if recipe.name not in tensors or not isinstance(recipe.base, Copy):
            continue
        layer = sharers.get(recipe.name) or target.tensors[recipe.name].layer
        if layer not in comparison.matches:  # a new window's index, which others have too
            continue
        old = comparison.matches[layer] + recipe.name[len(layer) :]
        found[old] = recipe
        found.setdefault(recipe.base.name, recipe)
        if old in source.aliases and recipe.name not in sharers:
            doubtful.add(old)
    return source, found, doubtful


def _of_family(plan: Plan, tensors: Tensors, label: str) -> tuple[Layout, Named, set[str]]:
    """For transformers. Of the copies of a block or an expert the old one is taken."""
    student, source, after = (
        families.whole(parse_document(text, "the plan's specs"))
        for text in (plan.student, plan.source, plan.target)
    )
    shapes = {name: info.shape for name, info in tensors.items()}
    laid = families.lay_out(*student, tensors, label, shapes=shapes)
    families.check_tensors(laid, tensors, label)
    every = _with_all(*source, laid)
    target = families.outline(every, *after, "the plan's target spec")
    growth = families.compare(every, target, plan.choices.where)
    _check_widths(plan, growth, label)
    recipes = families.make_recipes(
        growth, plan.choices, plan.operations, dict.fromkeys(every.rules, _ANY)
    )
    found: dict[str, Recipe] = {}
    for recipe in sorted(recipes, key=lambda r: _age(growth, r.name)):
        if recipe.name in tensors and isinstance(recipe.base, Copy):
            found.setdefault(recipe.base.name, recipe)
    exact = families.lay_out(
        *source, found, label, stored=_stored(source[0], laid), prefix=every.prefix
    )
    infos = {old: _info(old, recipe, tensors) for old, recipe in found.items()}
    families.check_tensors(exact, infos, label)
    return exact.layout, found, set()


def _age(growth: FamilyGrowth, name: str) -> tuple[bool, list[int]]:
    """What comes first among copies: what was there before."""
    origin = growth.origins.get(name)
    if origin is None:
        return False, []
    return origin.new, [number for key, number in origin.numbers.items() if key != "*"]


def _with_all(family: Family, config: Config, student: LaidFamily) -> LaidFamily:
    """The source with every tensor that it may have had; optional ones have kept their pattern."""
    where, stored = "the plan's source spec", _stored(family, student)
    prefix = student.prefix if student.prefix in family.prefixes else ""
    outline = families.lay_out(family, config, (), where, stored=stored, prefix=prefix)
    sizes, seen = outline.sizes(), {rule.pattern for rule in student.rules.values()}
    possible = dict.fromkeys(
        name
        for rule in family.tensors
        if (rule.pattern in seen or not rule.optional)
        and all(n in sizes for axis, _ in rule.line.axes for n in names(axis))
        for name in expected_names(rule, outline)
    )
    return families.lay_out(family, config, possible, where, stored=stored, prefix=prefix)


def _stored(family: Family, student: LaidFamily) -> dict[str, int]:
    """The sizes that only shapes tell: none of them grows."""
    return {n: s for n, s in student.sizes().items() if family.widths.get(n) == STORED}


def _check_widths(plan: Plan, growth: FamilyGrowth, label: str) -> None:
    sizes = growth.target.layout.sizes
    for o in plan.operations:
        if isinstance(o, Widen):
            width = Width(o.width)
            if (growth.before.get(width), sizes.get(width)) != (o.before, o.after):
                raise _no_fit(label, f"the width `{o.width}`")
