"""Units that are alike: one class for all of them, whose parameters are the numbers that differ.

Two units are alike where they have the same members, of the same types and under the same names,
and the same ``forward``. Widths that are equal in every one of them are one parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from net2net_cli.export.body import Forward
from net2net_cli.export.code import flat
from net2net_cli.export.grouping import Unit, units_of
from net2net_cli.export.layers import Construct, Missing, Setting
from net2net_cli.export.members import Member, Members
from net2net_cli.export.names import class_name, is_attribute, variable
from net2net_cli.network import Layer, Value

OFTEN = 3
"""A chain that stands in so many places gets a class."""

READ, WRITTEN = ("embed_dim", "input_size"), ("embed_dim", "hidden_size")
"""Widths that a layer reads and writes, besides torch's ``in_`` and ``out_``."""


@dataclass(frozen=True)
class Slot:
    """One number or word in the making of a unit: of which member, and which argument."""

    path: tuple[str, ...]
    setting: Setting


@dataclass(frozen=True)
class Parameter:
    """One parameter of a class; ``places`` are the slots that it fills."""

    name: str
    places: tuple[int, ...]
    setting: Setting
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Alike:
    """Units that are alike. ``name`` is their class; empty where they are written in place."""

    units: tuple[Unit, ...]
    name: str
    parameters: tuple[Parameter, ...]
    values: Mapping[str, tuple[Value, ...]]
    """The parameters' values for each unit, by its path."""


class Families:
    """All units of a network, those alike together; inner ones come first."""

    def __init__(
        self,
        root: Unit,
        members: Mapping[str, Members],
        forwards: Mapping[str, Forward],
        name: str,
        taken: Sequence[str],
    ) -> None:
        self.members, self.forwards = members, forwards
        self.taken = {name, *taken}
        self.known: dict[object, int] = {}
        self.of: dict[str, Alike] = {}
        units = list(units_of(root))
        keys = {unit.path: self._key(unit) for unit in units}
        places = self._places(units, keys)
        self.all: list[Alike] = []
        for key in dict.fromkeys(keys.values()):
            own = tuple(unit for unit in units if keys[unit.path] == key)
            in_place = members[own[0].path].chain and len(places.get(key, ())) < OFTEN
            made = self._alike(own, root=own[0] is root, in_place=in_place, name=name)
            self.all.append(made)
            self.of |= dict.fromkeys((unit.path for unit in own), made)

    def _key(self, unit: Unit) -> int:
        """A number that units have in common which are alike."""
        own = self.members[unit.path]
        forward = self.forwards.get(unit.path)
        said = (
            ()
            if forward is None
            else tuple(s.before + flat(s.expression) for s in forward.statements)
        )
        inside = tuple((m.path, self._member_key(m)) for m in own.members)
        return self.known.setdefault((own.chain, said, inside), len(self.known))

    def _member_key(self, member: Member) -> object:
        if isinstance(member.made, Unit):
            return self._key(member.made)
        form = None if member.made.form is None else flat(member.made.form)
        return member.made.function, form, tuple(s.name for s in member.made.settings)

    def _places(self, units: Sequence[Unit], keys: Mapping[str, int]) -> dict[int, set[object]]:
        """Where units are written, for each key: those that are alike are written once."""
        found: dict[int, set[object]] = {}
        for unit in units:
            for member in self.members[unit.path].members:
                if isinstance(member.made, Unit):
                    place = (keys[unit.path], member.path)
                    found.setdefault(keys[member.made.path], set()).add(place)
        return found

    def _alike(self, units: tuple[Unit, ...], *, root: bool, in_place: bool, name: str) -> Alike:
        rows = [list(self.slots(unit)) for unit in units]
        if in_place and not root:
            return Alike(units, "", (), {})
        parameters = tuple(_parameters(rows, self._ends(units[0])))
        values = {
            unit.path: tuple(row[p.places[0]].setting.value for p in parameters)
            for unit, row in zip(units, rows, strict=True)
        }
        return Alike(units, name if root else self._named(units), parameters, values)

    def slots(self, unit: Unit) -> Iterator[Slot]:
        """What the making of a unit is filled with, in order."""
        for member in self.members[unit.path].members:
            match member.made:
                case Construct(_, settings):
                    yield from (Slot(member.path, setting) for setting in settings)
                case Unit(path) if self.of[path].name:
                    alike = self.of[path]
                    for parameter, value in zip(alike.parameters, alike.values[path], strict=True):
                        yield Slot(member.path, replace(parameter.setting, value=value))
                case Unit():
                    for slot in self.slots(member.made):
                        yield Slot((*member.path, *slot.path), slot.setting)

    def _ends(self, unit: Unit) -> tuple[int, int]:
        """The slots of the first width that is read and of the last that is written."""
        slots = list(self.slots(unit))
        wide = [(i, s.setting.name) for i, s in enumerate(slots) if s.setting.width]
        read = [i for i, name in wide if name.startswith("in_") or name in READ]
        written = [i for i, name in wide if name.startswith("out_") or name in WRITTEN]
        return (read or [-1])[0], (written or [-1])[-1]

    def _named(self, units: tuple[Unit, ...]) -> str:
        stem = _stem(units) or self._structure(units[0])
        name, count = stem, 1
        while name in self.taken:
            count += 1
            name = f"{stem}{count}"
        self.taken.add(name)
        return name

    def _structure(self, unit: Unit) -> str:
        """A name from what a unit does."""
        if self.members[unit.path].chain:
            kinds = [item.type for item in unit.items if isinstance(item, Layer)]
            if len(kinds) < len(unit.items):
                return "Stage"
            short = [re.sub(r"\dd$|^Batch(?=Norm)", "", kind) for kind in kinds]
            return "".join(short) if len(short) <= OFTEN else "Stack"
        joins = [
            item.type for item in unit.items if isinstance(item, Layer) and len(item.inputs) > 1
        ]
        last = joins[-1] if joins else ""
        return {"Add": "Residual", "Concat": "Concatenated", "Multiply": "Gated"}.get(
            last, ""
        ) + "Block"


def _stem(units: tuple[Unit, ...]) -> str:
    """What the last parts of the units' names have in common but their numbers."""
    last = {re.sub(r"[_.]?\d+[a-z]?$", "", unit.path.rpartition(".")[2]) for unit in units}
    found = class_name(last.pop()) if len(last) == 1 else ""
    return found if len(found) >= OFTEN else ""


def _parameters(rows: Sequence[Sequence[Slot]], ends: tuple[int, int]) -> Iterator[Parameter]:
    """The parameters of a class, those with a default last."""
    groups: dict[object, list[int]] = {}
    for at, column in enumerate(zip(*rows, strict=True)):
        values = tuple(slot.setting.value for slot in column)
        if any(value != values[0] for value in values):
            first = column[0].setting
            wide = all(slot.setting.width for slot in column)
            groups.setdefault(("" if wide else first.name, values), []).append(at)
    found = []
    names: set[str] = set()
    for places in groups.values():
        slots = [rows[0][at] for at in places]
        name = _unused(_parameter_name(slots, places, ends, groups), names)
        defaults = {slot.setting.default for slot in slots}
        default = defaults.pop() if len(defaults) == 1 else Missing
        kinds = tuple(dict.fromkeys(_kind(row[places[0]].setting.value) for row in rows))
        setting = replace(slots[0].setting, name=name, default=default)
        found.append(Parameter(name, tuple(places), setting, kinds))
    yield from sorted(found, key=lambda p: (p.setting.default is not Missing, not p.setting.width))


def _parameter_name(
    slots: Sequence[Slot],
    places: Sequence[int],
    ends: tuple[int, int],
    groups: Mapping[object, list[int]],
) -> str:
    first = slots[0]
    alone = sum(_same_argument(first, key, group) for key, group in groups.items()) == 1
    if not first.setting.width:
        return first.setting.name if alone else _after(first)
    if all(slot.setting.name == "groups" for slot in slots):
        return "groups" if alone else _after(first)
    what = "channels" if any("channel" in s.setting.name for s in slots) else "features"
    if ends[0] in places and ends[1] in places:
        return what
    if ends[0] in places:
        return f"in_{what}"
    if ends[1] in places:
        return f"out_{what}"
    wide = sum(isinstance(key, tuple) and key[0] == "" for key in groups)
    return f"hidden_{what}" if wide <= OFTEN else _after(first, what)


def _same_argument(slot: Slot, key: object, _group: Sequence[int]) -> bool:
    return isinstance(key, tuple) and key[0] == ("" if slot.setting.width else slot.setting.name)


def _after(slot: Slot, what: str = "") -> str:
    """Called after the layer that has the argument."""
    layer = variable("_".join(part for part in slot.path))
    name = what or slot.setting.name
    return f"{layer}_{name}" if layer and is_attribute(layer) else name


def _unused(stem: str, names: set[str]) -> str:
    name, count = stem, 1
    while name in names:
        count += 1
        name = f"{stem}{count}"
    names.add(name)
    return name


def _kind(value: Value) -> str:
    match value:
        case tuple():
            inner = dict.fromkeys(_kind(item) for item in value)
            return f"tuple[{' | '.join(inner)}, ...]"
        case None:
            return "None"
        case _:
            return type(value).__name__
