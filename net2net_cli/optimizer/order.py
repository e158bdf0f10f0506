"""Which parameter each number of an optimizer's state dict stands for.

torch.optim numbers the parameters as they were given to it, group after group. Where it was given
names, its state dict has them; else the numbers follow the order in which the module registers its
parameters, all at once or by groups that training scripts are known to make: with weight decay and
without, or parts of the network one after the other. Numbers and shapes tell which of them it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from net2net_cli.errors import CheckpointError

Shape = tuple[int, ...]
Groups = tuple[tuple[str, ...], ...]
"""The names of each group's parameters, in the order of their numbers."""

MANY = 4
"""Of more groups than that, only the order of the network is tried."""


@dataclass(frozen=True)
class Order:
    """An order that a network's parameters may have, and where it is from."""

    names: tuple[str, ...]
    found: str


@dataclass(frozen=True)
class Saved:
    """What an optimizer's state dict tells: the size of each group, names where it has them, and
    the shape of each number's state where there is one. ``where`` is the file."""

    sizes: tuple[int, ...]
    names: Groups | None
    shapes: Mapping[int, Shape]
    where: str


def registered(names: Sequence[str]) -> tuple[str, ...]:
    """The names in the order of a module that holds them: its own parameters before those of its
    children, and each child as a whole, in the order in which they are first named."""
    own = [name for name in names if "." not in name]
    children: dict[str, list[str]] = {}
    for name in names:
        head, dot, tail = name.partition(".")
        if dot:
            children.setdefault(head, []).append(tail)
    inside = (f"{head}.{tail}" for head, tails in children.items() for tail in registered(tails))
    return (*own, *inside)


def assign(
    saved: Saved, orders: Sequence[Order], shapes: Mapping[str, Shape]
) -> tuple[Groups, Order]:
    """The names of each group's parameters, and what told them. ``shapes`` are the network's.

    CheckpointError where no order fits, and where several do.
    """
    if saved.names is not None:
        groups = _by_names(saved, shapes)
        return groups, Order(tuple(n for group in groups for n in group), "the names in its groups")
    count = sum(saved.sizes)
    if count != len(shapes):
        raise CheckpointError(
            f"the optimizer has {count:,} parameters, the network {len(shapes):,}",
            where=saved.where,
            hint=f"{NAMED}; they tell which parameters it leaves out"
            if count < len(shapes)
            else "is it another model's?",
        )
    for order in orders:
        found = dict.fromkeys(
            groups
            for groups in _groupings(order.names, saved.sizes, shapes)
            if _fits(groups, saved, shapes)
        )
        if len(found) > 1 and saved.shapes:
            raise CheckpointError(
                f"the optimizer's {len(saved.sizes)} groups can be made of the network's parameters"
                f" in {len(found)} ways",
                where=saved.where,
                hint=NAMED,
            )
        if found:
            return next(iter(found)), order
    raise _misfit(saved, orders[0], shapes)


NAMED = (
    "give the optimizer names, as torch.optim.AdamW(model.named_parameters()), and save it again"
)


def _by_names(saved: Saved, shapes: Mapping[str, Shape]) -> Groups:
    assert saved.names is not None
    prefix = _prefix([n for group in saved.names for n in group], shapes)
    groups = tuple(tuple(n.removeprefix(prefix) for n in group) for group in saved.names)
    names = [n for group in groups for n in group]
    strangers = [n for n in names if n not in shapes]
    if strangers:
        raise CheckpointError(
            f"the optimizer has a parameter `{strangers[0]}`, which the network does not have",
            where=saved.where,
            hint="is it another model's?",
        )
    for number, shape in saved.shapes.items():
        if shapes[names[number]] != shape:
            raise _misshapen(saved, number, names[number], shapes)
    return groups


def _prefix(names: Sequence[str], shapes: Mapping[str, Shape]) -> str:
    """What wrappers put before each name: ``module.``, ``_orig_mod.``, ``model.``."""
    found = ""
    while names and not any(name.removeprefix(found) in shapes for name in names):
        rest = {name.removeprefix(found).partition(".")[0] for name in names}
        if len(rest) != 1:
            return ""
        found += f"{rest.pop()}."
        if len(found) > max(map(len, names)):
            return ""
    return found


def _groupings(
    names: Sequence[str], sizes: Sequence[int], shapes: Mapping[str, Shape]
) -> Iterator[Groups]:
    """The ways to make groups of these sizes that scripts are known to take."""
    if len(sizes) == 2:
        for decays in DECAYS:
            decayed = tuple(n for n in names if decays(n, shapes[n]))
            others = tuple(n for n in names if not decays(n, shapes[n]))
            for pair in ((decayed, others), (others, decayed)):
                if tuple(map(len, pair)) == tuple(sizes):
                    yield pair
    places = range(len(sizes))
    for way in permutations(places) if len(sizes) <= MANY else [tuple(places)]:
        start, parts = 0, dict[int, tuple[str, ...]]()
        for place in way:  # parts of the network, one after the other
            parts[place] = tuple(names[start : start + sizes[place]])
            start += sizes[place]
        yield tuple(parts[place] for place in places)


_NORMS = re.compile(
    r"layernorm|rmsnorm|(^|[._])norm\d*($|[._])|batch_?norm|(^|[._])(bn|ln)[._\d]", re.IGNORECASE
)
_TRAINERS = re.compile(r"bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.)", re.IGNORECASE)

DECAYS: tuple[Callable[[str, Shape], bool], ...] = (
    lambda _, shape: len(shape) > 1,
    lambda name, _: not name.endswith("bias"),
    lambda name, _: not _TRAINERS.search(name),
    lambda name, _: not (name.endswith("bias") or _NORMS.search(name)),
    lambda name, _: not (name.endswith("bias") or _NORMS.search(name) or "emb" in name),
)
"""What scripts give weight decay to: matrices (nanoGPT), all but biases, all but biases and norms
(transformers' Trainer), and embeddings besides (minGPT)."""


def _fits(groups: Groups, saved: Saved, shapes: Mapping[str, Shape]) -> bool:
    names = [n for group in groups for n in group]
    return all(shapes[names[number]] == shape for number, shape in saved.shapes.items())


def _misfit(saved: Saved, order: Order, shapes: Mapping[str, Shape]) -> CheckpointError:
    if len(saved.sizes) == 1:
        for number, shape in sorted(saved.shapes.items()):
            if shapes[order.names[number]] != shape:
                return _misshapen(saved, number, order.names[number], shapes)
    sizes = ", ".join(f"{size:,}" for size in saved.sizes)
    return CheckpointError(
        f"how the network's parameters lie in the optimizer's groups of {sizes} cannot be told",
        where=saved.where,
        hint=NAMED,
    )


def _misshapen(
    saved: Saved, number: int, name: str, shapes: Mapping[str, Shape]
) -> CheckpointError:
    return CheckpointError(
        f"the optimizer's state of parameter {number} has the shape {list(saved.shapes[number])},"
        f" and `{name}` has {list(shapes[name])}",
        where=saved.where,
        hint=f"is it another model's, or in another order? {NAMED}",
    )


def student_groups(
    groups: Groups, order: Sequence[str], sources: Mapping[str, str], shapes: Mapping[str, Shape]
) -> Groups:
    """The student's parameters by group: each where the one is that it continues (``sources``),
    new ones where their like is. ``order`` and ``shapes`` are the student's."""
    group_of = {name: number for number, names in enumerate(groups) for name in names}
    at = {
        name: group_of[source]
        for name in order
        if (source := sources.get(name)) is not None and source in group_of
    }
    found: list[list[str]] = [[] for _ in groups]
    places = {name: place for place, name in enumerate(order)}
    for name in order:
        if name in at:
            found[at[name]].append(name)
        elif name not in sources:
            found[at[_like(name, places, at, shapes)]].append(name)
    return tuple(tuple(names) for names in found)


def _like(
    name: str, places: Mapping[str, int], at: Mapping[str, int], shapes: Mapping[str, Shape]
) -> str:
    """Of the parameters that have a group the most alike: in its last name, as a matrix or not, and
    in its place, before rather than behind."""

    def distance(other: str) -> tuple[bool, bool, bool, int]:
        there, place = places[other], places[name]
        return (
            (len(shapes[other]) > 1) != (len(shapes[name]) > 1),
            other.rpartition(".")[2] != name.rpartition(".")[2],
            there > place,
            abs(there - place),
        )

    return min(at, key=distance)
