"""The orders that a network's parameters may have: its file's, its spec's, transformers' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from net2net_cli import families
from net2net_cli.errors import CheckpointError
from net2net_cli.io import Source
from net2net_cli.io.torch_file import TorchSource
from net2net_cli.layout import Layout
from net2net_cli.opening import FamilyModel, Model
from net2net_cli.optimizer.networks import Networks
from net2net_cli.optimizer.order import Order, registered
from net2net_cli.plan import Plan
from net2net_cli.recipe import Copy, Recipe
from net2net_cli.spec import parse_document


def networks(
    plan: Plan, model: Model, recipes: Sequence[Recipe], source: Layout, target: Layout
) -> Networks:
    """Teacher and student of a plan, as an optimizer's state sees them."""
    before, after = parameters(source), parameters(target)

    def student(order: Order, sources: Mapping[str, str]) -> Sequence[str]:
        if isinstance(model, FamilyModel):
            config = families.whole(parse_document(plan.student, "the student's spec"))[1]
            return library_order(config, model.source, target).names
        return follow(order.names, after, sources)

    return Networks(
        {recipe.name: recipe for recipe in recipes},
        {name: source.tensors[name].shape for name in before},
        {name: target.tensors[name].shape for name in after},
        lambda: teacher_orders(model),
        student,
    )


def parameters(layout: Layout) -> tuple[str, ...]:
    """The parameters of a layout: no buffers, tied ones once, in the order of a module that was
    written as the spec is."""
    owned = [
        name
        for name, tensor in layout.tensors.items()
        if not tensor.line.buffer and tensor.line.fill != "count" and name not in layout.aliases
    ]
    return registered(owned)


def teacher_orders(model: Model) -> list[Order]:
    """The orders that the teacher's parameters may have, the likeliest first."""
    if isinstance(model, FamilyModel):
        return [library_order(model.laid.config, model.source, model.layout)]
    names = parameters(model.layout)
    known = set(names)
    there = tuple(name for name in _file_order(model) if name in known)
    orders = [Order(there, "the checkpoint's order")] if there else []
    return [*orders, Order(names, "the spec's order")]


def module_order(model: Model, recipes: Sequence[Recipe], target: Layout) -> tuple[str, ...]:
    """The student's tensors as its module registers them: as its spec has them, or as the teacher's
    state dict has those that they continue."""
    names = registered(list(dict.fromkeys([*target.tensors, *target.aliases])))
    sources = {r.name: r.base.name for r in recipes if isinstance(r.base, Copy) and not r.new}
    return follow(_file_order(model), names, sources)


def _file_order(model: Model) -> tuple[str, ...]:
    """The tensors of a torch file, as its module registered them; none for any other, and for one
    that a program sorted by their names."""
    if not isinstance(model.source, TorchSource):
        return ()
    names = tuple(model.source.tensors)
    return () if list(names) == sorted(names) else names


def library_order(config: Mapping[str, Any], source: Source, layout: Layout) -> Order:
    """The order of the class in transformers that a config describes.

    CheckpointError where transformers is missing, or names a parameter otherwise than ``layout``.
    """
    from net2net_cli.verify.pretrained_library import Pretrained, registered_parameters

    prefix, names = registered_parameters(Pretrained(config, source))
    there = layout.tensors
    if prefix and not any(name.startswith(prefix) for name in there):
        names = tuple(name.removeprefix(prefix) for name in names)  # saved without the head
    strangers = [name for name in names if name not in there]
    if strangers:
        raise CheckpointError(
            f"transformers has a parameter `{strangers[0]}`, which the checkpoint does not hold"
            " under that name, so that the optimizer's numbers tell nothing",
            where=source.label,
            hint="`--optimizer none` leaves the optimizer's state behind",
        )
    return Order(names, "the order in transformers")


def follow(
    order: Sequence[str], names: Sequence[str], sources: Mapping[str, str]
) -> tuple[str, ...]:
    """The student's names in the teacher's order: new ones stay behind what they stand behind in
    ``names``; ``sources`` gives what each other one continues."""
    place = {name: at for at, name in enumerate(order)}
    keys, last = {}, -1
    for at, name in enumerate(names):
        last = place.get(sources.get(name, ""), last)
        keys[name] = (last, at)
    return registered(sorted(names, key=keys.__getitem__))
