"""What a unit is built of: its members by name, and how they are reached.

A unit is a chain (``nn.Sequential``) where each of its members reads what the one before it gives;
else a class with a ``forward``. Prefixes that are no units of their own are containers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from net2net_cli.export.code import quoted
from net2net_cli.export.grouping import Unit, reads, units_of, writes
from net2net_cli.export.layers import (
    Construct,
    construct_of,
    fits_chain,
    is_function,
)
from net2net_cli.export.names import counted, is_attribute, is_plain, member
from net2net_cli.export.written import HELD
from net2net_cli.layout import GraphLayout
from net2net_cli.network import Layer

Path = tuple[str, ...]
Container = Literal["list", "dict", "module"]
MemberKind = Literal["module", "parameter", "buffer"]


@dataclass(frozen=True)
class Member:
    """One member of a unit: its path within it, and the unit or the call that it is made by."""

    path: Path
    made: Construct | Unit
    kind: MemberKind = "module"
    lasting: bool = True
    """Whether a buffer is a part of the state dict."""


@dataclass(frozen=True)
class Members:
    """The members of a unit, in the network's order."""

    unit: Unit
    chain: bool
    members: tuple[Member, ...]

    @property
    def names(self) -> list[str]:
        """The first parts of the members' paths, each once."""
        return list(dict.fromkeys(found.path[0] for found in self.members))

    def container(self, path: Path) -> Container | None:
        """What stands at a path that is no member's; None at one that is."""
        below = [m for m in self.members if m.path[: len(path)] == path]
        if any(m.path == path for m in below):
            return None
        names = list(dict.fromkeys(m.path[len(path)] for m in below))
        if any(m.kind != "module" and len(m.path) == len(path) + 1 for m in below):
            return "module"
        if counted(names):
            return "list"
        return "dict" if all(is_plain(name) for name in names) else "module"

    def lasting(self, path: Path) -> bool:
        """Whether what stands at a path has its tensors in the state dict."""
        return all(m.lasting for m in self.members if m.path == path)

    def kind(self, path: Path) -> MemberKind:
        """What stands at a path: a module where no member does."""
        return next((m.kind for m in self.members if m.path == path), "module")

    def reach(self, path: Path, text: str = "self") -> str:
        """A member as the unit's own methods say it: ``self.stem[0].conv``."""
        top: Container | None = "list" if self.chain and counted(self.names) else None
        for at, name in enumerate(path):
            kind = self.container(path[:at]) if at else top
            last = at == len(path) - 1
            text = step(text, name, kind, self.kind(path) if last else "module")
        return text


def step(text: str, name: str, kind: Container | None, what: MemberKind) -> str:
    """A member of a container of that kind."""
    if kind == "list":
        return f"{text}[{name}]"
    if kind == "dict" and not is_attribute(name):
        return f"{text}[{quoted(name)}]"
    return member(text, name, what)


def members_of(root: Unit, layout: GraphLayout, absent: frozenset[str]) -> Mapping[str, Members]:
    """The members of each unit, by the unit's path. Layers in ``absent`` are not built."""
    units = {unit.path: unit for unit in units_of(root)}
    chains = {path: _is_chain(unit, units, layout, absent) for path, unit in units.items()}
    found: dict[str, dict[str, Member]] = {path: {} for path in units}
    for layer in layout.spec.layers:
        owner = _owner(layer.name, units)
        built = layer.name not in absent and not is_function(layer)
        if built or (chains[owner] and layer in units[owner].items):
            _add(layer, owner, units, found, layout)
    return {
        path: Members(unit, chains[path], tuple(found[path].values()))
        for path, unit in units.items()
    }


def _add(
    layer: Layer,
    owner: str,
    units: Mapping[str, Unit],
    found: dict[str, dict[str, Member]],
    layout: GraphLayout,
) -> None:
    """Enter a layer into its unit, and that unit into those around it."""
    path = tuple(units[owner].within(layer.name).split("."))
    made = construct_of(layer, layout)
    kind: MemberKind = HELD.get(layer.type, "module")
    found[owner][layer.name] = Member(path, made, kind, lasting=layer.type != "Constant")
    while owner:
        around = _owner(owner, units)
        if owner in found[around]:
            return
        path = tuple(units[around].within(owner).split("."))
        found[around][owner] = Member(path, units[owner])
        owner = around


def _owner(name: str, units: Mapping[str, Unit]) -> str:
    """The innermost unit whose prefix a name has."""
    parts = name.split(".")
    prefixes = (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
    return next((prefix for prefix in prefixes if prefix in units), "")


def _is_chain(
    unit: Unit, units: Mapping[str, Unit], layout: GraphLayout, absent: frozenset[str]
) -> bool:
    if len(unit.inputs) != 1 or len(unit.outputs) != 1:
        return False
    value, names = unit.inputs[0], []
    for item in unit.items:
        names.append(unit.within(item.name))
        if reads(item) != (value,) or len(writes(item)) != 1 or item.name in absent:
            return False
        if isinstance(item, Layer) and not fits_chain(item):
            return False
        value = writes(item)[0]
    direct = all(name and "." not in name and is_plain(name) for name in names)
    if not direct or value != unit.outputs[0] or len(set(names)) < len(names):
        return False
    if not unit.path and all(map(is_attribute, names)):
        return False
    return _all_run(unit, units, layout, names)


def _all_run(
    unit: Unit, units: Mapping[str, Unit], layout: GraphLayout, names: Sequence[str]
) -> bool:
    """Whether no other layers have the unit's prefix."""
    for layer in layout.spec.layers:
        mine = not unit.path or layer.name.startswith(f"{unit.path}.")
        if mine and not is_function(layer):
            first = unit.within(layer.name).partition(".")[0]
            if first not in names or (_owner(layer.name, units) == unit.path
                                      and unit.within(layer.name) != first):  # fmt: skip
                return False
    return True
