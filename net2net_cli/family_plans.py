"""Plans for transformers: from what a user asks for to operations, and from a plan to recipes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path

from net2net_cli import families
from net2net_cli.axes import Width, widths
from net2net_cli.errors import SpecError, UnreachableError, UsageError, closest
from net2net_cli.families import FamilyGrowth, LaidFamily
from net2net_cli.families.growth import label_of
from net2net_cli.families.sizes import keys_of, size_keys
from net2net_cli.io import TensorInfo
from net2net_cli.layout import Layout
from net2net_cli.opening import FamilyModel
from net2net_cli.plan import Choices, Insert, Operation, Plan, Teacher, Totals, Widen
from net2net_cli.recipe import Recipe
from net2net_cli.spec import Document, parse_document
from net2net_cli.spec.located import value_of

SETTINGS = "--set"

EXACT = 1e-10
"""What moves outputs by less, relative, is not worth a word."""


def family_plan(
    model: FamilyModel,
    document: Document | None,
    settings: Mapping[str, str],
    choices: Choices,
) -> Plan:
    """The plan that takes a transformer to the sizes of a target spec, settings, or both.

    Raises UsageError and SpecError (exit 2) for what does not exist, UnreachableError (exit 3) for
    what would change the function.
    """
    target = _target(model.laid, document, settings)
    growth = families.compare(model.laid, target, choices.where)
    operations = families.operations(growth, choices)
    after = families.student_dtypes(growth, model.dtypes, choices.dtype)
    _check_integers(growth, operations, after)
    return Plan(
        Teacher(Path(model.source.label).name, model.source.header_digest()),
        model.text,
        families.dump(target.family, target.config),
        families.dump(target.family, families.student_config(growth, operations, choices.dtype)),
        choices,
        operations,
        _totals(model.layout, model.dtypes),
        _totals(growth.target.layout, after),
        (*model.notes, *_notes(growth, operations, choices)),
    )


def _target(
    source: LaidFamily, document: Document | None, settings: Mapping[str, str]
) -> LaidFamily:
    family, changes, whole, where = source.family, dict[str, object](), False, SETTINGS
    if document is not None:
        if not document.of_family:
            raise SpecError(
                f"the checkpoint is a transformer of the family {family.name}, the spec describes"
                " layers",
                where=document.file,
                hint="write `config: {hidden_size: ...}` with the keys that change",
            )
        said = families.described(document)
        family, changes, where = said.family or family, dict(said.config), said.where
        whole = said.whole
    changes |= {key: value_of(key, text) for key, text in settings.items()}
    if "family" in settings:
        family = families.family_named(str(changes.pop("family")), SETTINGS)
    return families.target_of(source, family, changes, where, whole=whole)


def widened_settings(model: FamilyModel, layer: str, to: int) -> Mapping[str, str]:
    """What to set so that a width, named by its config key, its name in the family or a module
    that writes it, is ``to`` wide. Raises UsageError with near names."""
    laid = model.laid
    keys = size_keys(laid.family)
    if layer in keys:
        return _wider(laid, layer, layer, to)
    written = (layer,) if layer in laid.family.widths else _written(laid, layer)
    if len(written) > 1:
        named = [k for width in written for k in keys_of(laid.family.widths[width]) if k in keys]
        raise UsageError(
            f"`{layer}` writes more than one width",
            hint=f"name a key of the config: {', '.join(dict.fromkeys(named))}",
        )
    label = label_of(laid, written[0]) if written else None
    if label not in keys:
        modules = [t.layer for t in laid.layout.tensors.values()]
        known = [*keys, *laid.family.widths, *dict.fromkeys(modules)]
        raise UsageError(
            f"no width is named `{layer}`",
            hint=closest(layer, known) or f"widths are {', '.join(keys)}",
        )
    return _wider(laid, label, layer, to)


def _wider(laid: LaidFamily, key: str, named: str, to: int) -> Mapping[str, str]:
    if laid.family.value(laid.config, key) == to:
        raise UsageError(f"`{named}` is {to} wide already", hint=f"give --to more than {to}")
    return {key: str(to)}


def _written(laid: LaidFamily, layer: str) -> tuple[str, ...]:
    """The widths that a module writes."""
    pattern = re.sub(r"(?<=\.)\d+(?=\.)", "*", layer)
    for tensor in laid.layout.tensors.values():
        if pattern == tensor.layer or layer == tensor.name.rpartition(".")[0]:
            written = [w.name for axis in tensor.axes for f in axis if f.role == "write"
                       for w in widths(f.axis)]  # fmt: skip
            return tuple(dict.fromkeys(written))
    return ()


def deepened_settings(model: FamilyModel, after: str, count: int) -> tuple[Mapping[str, str], str]:
    """What to set, and ``--where``, so that ``count`` blocks come in behind the one named (as
    ``layers.3`` or ``3``). Raises UsageError where there is no such block."""
    laid = model.laid
    for row in laid.family.blocks:
        found = re.fullmatch(rf"({re.escape(laid.prefix)})?({re.escape(row.name)}\.)?(\d+)", after)
        if found and int(found[3]) < laid.counts[row.name]:
            key = keys_of(row.count)[0]
            return {key: str(laid.counts[row.name] + count)}, f"after={int(found[3])}"
    rows = [f"{laid.prefix}{r.name}.0 to {laid.counts[r.name] - 1}" for r in laid.family.blocks]
    raise UsageError(f"there is no block `{after}`", hint=f"there are {' and '.join(rows)}")


def growth_of(plan: Plan, model: FamilyModel) -> FamilyGrowth:
    """The growth that a plan describes. Raises PlanError where its operations are others."""
    source = model.laid
    family, config = families.whole(parse_document(plan.target, "the plan's target spec"))
    target = families.outline(source, family, config, "the plan's target spec")
    growth = families.compare(source, target, plan.choices.where)
    if not plan.comes_to(families.operations(growth, plan.choices, plan.chosen)):
        raise plan.misled()
    return growth


def recipes_of(plan: Plan, model: FamilyModel, growth: FamilyGrowth) -> tuple[Recipe, ...]:
    """One recipe for each tensor of the student."""
    return families.make_recipes(growth, plan.choices, plan.operations, model.dtypes)


def _check_integers(
    growth: FamilyGrowth, operations: tuple[Operation, ...], dtypes: Mapping[str, str]
) -> None:
    grown = {Width(o.width): o for o in operations if isinstance(o, Widen)}
    for name, tensor in growth.target.layout.tensors.items():
        if dtypes[name].startswith(("float", "bfloat")):
            continue
        for width in (w for axis in tensor.axes for f in axis for w in widths(f.axis)):
            if width in grown:
                raise UnreachableError(
                    f"`{name}` holds {dtypes[name]}, and `{width.name}` grows in it",
                    hint="convert (dequantise) the checkpoint to floating weights first",
                )


def _totals(layout: Layout, dtypes: Mapping[str, str]) -> Totals:
    infos = [TensorInfo(n, dtypes[n], t.shape) for n, t in layout.tensors.items()]
    return Totals(sum(prod(info.shape) for info in infos), sum(info.nbytes for info in infos))


def _notes(
    growth: FamilyGrowth, operations: tuple[Operation, ...], choices: Choices
) -> tuple[str, ...]:
    found = []
    grown = [o for o in operations if isinstance(o, Widen)]
    for o in grown:
        if o.width == "vocab":
            found.append(
                f"{o.after - o.before} tokens are new: ids {o.before} to {o.after - 1} have fresh"
                " embeddings, and the tokenizer does not know them"
            )
        meant = {choices.expansion, "even" if choices.expansion == "duplicate" else "auto"}
        if choices.expansion != "auto" and o.expansion not in meant:
            found.append(f"`{o.name}` grows by {o.expansion}: {choices.expansion} is not exact")
    blocks = any(isinstance(o, Insert) and o.type == "block" for o in operations)
    drift = families.drift(growth.target.family, growth.target.config) if blocks else 0.0
    if drift > EXACT:
        found.append(
            "a post-norm block that comes in is exact up to the norms' eps: outputs move by about"
            f" {drift / 10:.0e}, relative, or less"
        )
    if growth.source.family != growth.target.family:
        found.append(
            "every expert is a copy of the MLP, and the router's weights add up to one: whichever"
            " it picks, the mixture is the MLP"
        )
    return tuple(found)
