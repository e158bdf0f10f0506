"""The walk over a spec's tree: every layer with its full name, its place, and what it reads.

Groups and branches are gone through in the order written; what a layer reads is still said in
names (the value before it, or those under ``inputs:``), which ``wiring`` looks up. Arguments are
not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.layers.table import LAYER_TYPES, LayerType
from net2net_cli.spec.names import check_name, join, scopes_of
from net2net_cli.spec.tree import Items, Node, Path, Scalar, Table, describe


@dataclass(frozen=True)
class Ref:
    """A value as it is referred to; ``scopes`` are the groups to look in, innermost first."""

    text: str
    scopes: tuple[str, ...]
    place: Place


@dataclass(frozen=True)
class Chain:
    """A mapping whose entries run one after the other, and the prefix of their names."""

    path: Path
    prefix: str


@dataclass(frozen=True)
class Entry:
    """A layer in the tree: its full name, where it stands and in which chains (outermost first)."""

    name: str
    type: str
    node: Table
    path: Path
    chains: tuple[Chain, ...]
    reads: tuple[Ref, ...]
    place: Place


@dataclass
class Found:
    """What the walk has found so far: layers by name, and the values of groups and branches."""

    entries: dict[str, Entry] = field(default_factory=dict)
    ends: dict[str, Ref] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Spot:
    """Where the walk is: the chains around and the value before."""

    chains: tuple[Chain, ...]
    feed: Ref | None

    @property
    def chain(self) -> Chain:
        return self.chains[-1]


@dataclass(frozen=True)
class _Member:
    """One entry of a chain: a layer or a group."""

    name: str
    node: Table
    place: Place
    path: Path


def walk(layers: Table, feed: Ref | None, found: Found) -> Ref | None:
    """Find all layers; returns the last one. ``feed`` is the network's input where it has one.

    Raises SpecError for what is no layer or group, and for names that stand twice.
    """
    return _walk(layers, _Spot((Chain(("layers",), ""),), feed), found)


def is_layer(node: Node) -> bool:
    """Whether an entry says a type, hence is a layer and not a group."""
    return isinstance(node, Table) and isinstance(node.entries.get("type"), Scalar)


def is_new_scope(key: str, node: Node) -> bool:
    """Whether a key of a group names one of its members, and is not `inputs:` or `after:`."""
    return key not in ("inputs", "after") or isinstance(node, Table)


def _walk(table: Table, spot: _Spot, found: Found) -> Ref | None:
    """The value at the end of a chain."""
    feed = spot.feed
    for key, node in table.entries.items():
        if is_new_scope(key, node):
            check_name(key, table.at(key))
            feed = _entry(key, node, table.at(key), _Spot(spot.chains, feed), found)
    return feed


def _entry(key: str, node: Node, place: Place, spot: _Spot, found: Found) -> Ref:
    name = join(spot.chain.prefix, key)
    if not isinstance(node, Table):
        raise _no_layer(name, node, place, spot)
    _check_free(name, found, place)
    _no_after(name, node)
    member = _Member(name, node, place, (*spot.chain.path, key))
    return (_layer if is_layer(node) else _group)(member, spot, found)


def _group(member: _Member, spot: _Spot, found: Found) -> Ref:
    name, node = member.name, member.node
    for key in ("type", "branches"):
        if key in node.entries and (key == "branches" or not isinstance(node.entries[key], Table)):
            raise SpecError(
                f"{name} has `{key}`, but no type that is a name",
                where=node.at(key),
                hint="write `type: Concat`, `type: Add` or `type: Multiply` to join branches",
            )
    feed = _group_feed(name, node, scopes_of(name), spot)
    end = _walk(node, _Spot((*spot.chains, Chain(member.path, name)), feed), found)
    if end is feed or end is None:
        raise SpecError(
            f"{name} is empty",
            where=member.place,
            hint="a layer says its `type:`; a group holds layers (only a branch may be empty)",
        )
    found.ends[name] = end
    return end


def _layer(member: _Member, spot: _Spot, found: Found) -> Ref:
    name, node = member.name, member.node
    kind = layer_type(name, node)
    branches = node.entries.get("branches")
    if branches is not None and kind.most is not None:
        raise SpecError(
            f"{name} ({kind.name}) has no branches",
            where=node.at("branches"),
            hint="branches are joined by Concat, Add or Multiply",
        )
    reads = _reads(name, node, scopes_of(name)) if "inputs" in node.entries else ()
    if branches is not None:
        reads = _joined(member, branches, reads, spot, found)
    elif not reads and kind.fewest == 1 and kind.most is not None:
        reads = (_fed(name, member.place, spot),)
    _check_count(name, kind, reads, node)
    found.entries[name] = Entry(
        name, kind.name, node, member.path, spot.chains, reads, member.place
    )
    return Ref(name, ("",), member.place)


def _joined(
    member: _Member, branches: Node, reads: tuple[Ref, ...], spot: _Spot, found: Found
) -> tuple[Ref, ...]:
    """What a container with branches joins; ``inputs:`` feeds the branches."""
    if len(reads) > 1:
        raise SpecError(
            f"{member.name} has branches, which read one value, not {len(reads)}",
            where=member.node.at("inputs"),
            hint="let each branch say its own `inputs:`",
        )
    fed = _Spot(spot.chains, reads[0] if reads else spot.feed)
    return _branches(member.name, branches, member.path, fed, found)


def _branches(name: str, branches: Node, path: Path, spot: _Spot, found: Found) -> tuple[Ref, ...]:
    """The values at the ends of the branches, in order."""
    ends = []
    for step, branch, place in _each_branch(name, branches):
        if not isinstance(branch, Table) or is_layer(branch):
            raise SpecError(
                f"a branch of {name} maps names to layers, this is "
                f"{'a layer' if isinstance(branch, Table) else describe(branch)}",
                where=place,
                hint="write `{conv: {type: Conv2d, ...}, relu: {type: ReLU}}`, or `{}` to pass on",
            )
        prefix = join(name, step) if isinstance(step, str) else name
        feed = _group_feed(f"a branch of {name}", branch, (name, *scopes_of(name)), spot)
        chain = Chain((*path, "branches", step), prefix)
        end = _walk(branch, _Spot((*spot.chains, chain), feed), found)
        ends.append(_fed(name, place, spot) if end is None else end)
        if isinstance(step, str):
            _check_free(prefix, found, place)
            found.ends[prefix] = ends[-1]
    return tuple(ends)


def _each_branch(name: str, branches: Node) -> list[tuple[str | int, Node, Place]]:
    if isinstance(branches, Items) and branches.items:
        return [(i, node, node.place) for i, node in enumerate(branches.items)]
    if isinstance(branches, Table) and branches.entries:
        for key in branches.entries:
            check_name(key, branches.at(key))
        return [(key, node, branches.at(key)) for key, node in branches.entries.items()]
    raise SpecError(
        f"the branches of {name} are a mapping or a list, this is "
        f"{describe(branches) if isinstance(branches, Scalar) else 'empty'}",
        where=branches.place,
        hint="write `branches: {b1: {...}, b2: {...}}`; an empty branch `{}` is the identity",
    )


def _fed(name: str, place: Place, spot: _Spot) -> Ref:
    if spot.feed is None:
        raise SpecError(
            f"{name} does not say what it reads",
            where=place,
            hint="where the network has several inputs (or none), write `inputs: NAME`",
        )
    return spot.feed


def _group_feed(name: str, node: Table, scopes: tuple[str, ...], spot: _Spot) -> Ref | None:
    """What the first member of a group or branch reads."""
    if "inputs" in node.entries and not isinstance(node.entries["inputs"], Table):
        return _reads(name, node, scopes, exactly_one=True)[0]
    return spot.feed


def _reads(
    name: str, node: Table, scopes: tuple[str, ...], *, exactly_one: bool = False
) -> tuple[Ref, ...]:
    """What `inputs:` names."""
    value = node.entries["inputs"]
    items = value.items if isinstance(value, Items) else (value,)
    bad = next((i for i in items if not isinstance(i, Scalar) or not i.text), None)
    if bad is not None or not items or (exactly_one and len(items) != 1):
        what = describe(bad) if bad is not None else f"{len(items)} of them"
        raise SpecError(
            f"the inputs of {name} are {'one name' if exactly_one else 'names'}, not {what}",
            where=node.at("inputs"),
            hint="write `inputs: NAME`" + ("" if exactly_one else " or `inputs: [a, b]`"),
        )
    return tuple(Ref(i.text, scopes, i.place) for i in items if isinstance(i, Scalar))


def _check_count(name: str, kind: LayerType, reads: tuple[Ref, ...], node: Table) -> None:
    """As many values as the type takes."""
    if kind.most is None:
        _check_joined(name, kind, reads, node)
    elif not reads and kind.fewest:
        raise SpecError(
            f"{name} ({kind.name}) does not say what it reads",
            where=node.at("type"),
            hint="write `inputs: [a, b]`",
        )
    elif not kind.fewest <= len(reads) <= kind.most:
        raise SpecError(
            f"{name} ({kind.name}) reads {_counted(kind)}, not {len(reads)}",
            where=node.at("inputs"),
            hint="join them with Concat, Add or Multiply first"
            if kind.most == 1
            else "name them in the order in which torch takes them",
        )


def _check_joined(name: str, kind: LayerType, reads: tuple[Ref, ...], node: Table) -> None:
    """Add and Multiply join at least two values, Concat at least one."""
    if not reads:
        raise SpecError(
            f"{name} does not say what it joins",
            where=node.at("type"),
            hint="add `branches: {a: {...}, b: {...}}` or `inputs: [a, b]`",
        )
    if len(reads) < kind.fewest:
        raise SpecError(
            f"{name} ({kind.name}) joins a single value",
            where=node.at("branches" if "branches" in node.entries else "inputs"),
            hint="name two or more; a branch that passes on what it gets is written `{}`",
        )


def _counted(kind: LayerType) -> str:
    """How many values a type reads, in words."""
    words = ("no value", "one value", "two values", "three values", "four values")
    if kind.fewest == kind.most:
        return words[kind.fewest]
    return f"{kind.fewest} to {kind.most} values"


def layer_type(name: str, node: Table) -> LayerType:
    """The type that an entry says. Raises SpecError where there is no such type."""
    said = node.entries["type"]
    if isinstance(said, Scalar) and isinstance(said.value, str):
        kind = LAYER_TYPES.get(said.value)
        if kind is not None:
            return kind
        known = {known.lower(): known for known in LAYER_TYPES}
        same = known.get(said.value.removeprefix("nn.").removeprefix("torch.nn.").lower())
        raise SpecError(
            f"{name} has an unknown type `{said.value}`",
            where=node.at("type"),
            hint=f"did you mean `{same}`?"
            if same
            else closest(said.value, list(known.values()))
            or "types are called as in torch.nn: Linear, Conv2d, BatchNorm2d, ReLU, Add, ...",
        )
    raise SpecError(
        f"the type of {name} must be the name of a layer type, not {describe(said)}",
        where=node.at("type"),
        hint="write `type: Linear`",
    )


def _no_after(name: str, node: Table) -> None:
    if "after" in node.entries and not isinstance(node.entries["after"], Table):
        raise SpecError(
            f"{name} says `after:`, which is for new entries of a spec that extends another",
            where=node.at("after"),
            hint="write the layer where it belongs, or begin the spec with `extends: source`",
        )


def _no_layer(name: str, node: Node, place: Place, spot: _Spot) -> SpecError:
    group = spot.chain.prefix
    hint = f"write `{name.rpartition('.')[2]}: {{type: ...}}`"
    if group:
        hint = f"if {group} is a layer, it must say its `type:`"
    return SpecError(f"{name} is no layer but {describe(node)}", where=place, hint=hint)


def _check_free(name: str, found: Found, place: Place) -> None:
    if name in found.reserved:
        raise SpecError(
            f"`{name}` names an input of the network and cannot be a layer too",
            where=place,
            hint="give the layer another name",
        )
    if name not in found.entries and name not in found.ends:
        return
    first = found.entries[name].place if name in found.entries else found.ends[name].place
    raise SpecError(
        f"there are two layers or groups named {name}",
        where=place,
        hint=f"give this one another name (the first is at {first})",
    )
