"""``depth: {layer3: +2}``: the last unit of a stage that can be repeated, repeated.

A residual unit is copied: what ends its branch starts at zero, so that the copy passes on what it
reads. Where units are chains (convolution, norm, activation), a chain that computes the identity
is inserted. What comes in takes the next numbers, and later members move up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from net2net_cli import diff
from net2net_cli.errors import UnreachableError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.spec import (
    Document,
    Layer,
    Renames,
    insert_after,
    network_only,
    renamed,
    to_spec,
)
from net2net_cli.spec.document import with_rename
from net2net_cli.spec.insertion import insert
from net2net_cli.spec.names import join
from net2net_cli.spec.tree import Table, table_at
from net2net_cli.spec.wiring import Wiring, wire
from net2net_cli.targets.asked import More
from net2net_cli.targets.deepening import chain_of, copy_of, deepenings
from net2net_cli.targets.stages import Ends, Unit, check_stage, ends_of, run_on, units_of


@dataclass(frozen=True)
class Deeper:
    """A deeper network: its document, whose ``rename`` says which members have moved up, and what
    to say of it."""

    document: Document
    notes: tuple[str, ...] = ()


def deepest(base: Document, all_more: Iterable[More]) -> Deeper:
    """A network with more units in several stages."""
    found = Deeper(base)
    for more in all_more:
        renames = found.document.rename if found.notes else {}
        new = deeper(found.document, more)
        document = with_rename(new.document, _composed(renames, new.document.rename))
        found = Deeper(document, (*found.notes, *new.notes))
    return found if found.notes else Deeper(with_rename(base, {}))


def _composed(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """What two renamings in a row come to."""
    back = {new: old for old, new in first.items()}
    later = {_renamed(old, back): new for old, new in second.items()}
    return {**{old: _renamed(new, second) for old, new in first.items()}, **later}


def _renamed(name: str, renames: Mapping[str, str]) -> str:
    """A name where it, or a group around it, has another."""
    for end in range(len(name), 0, -1):
        if name[:end] in renames and name[end : end + 1] in ("", "."):
            return renames[name[:end]] + name[end:]
    return name


def deeper(base: Document, more: More) -> Deeper:
    """A network with more units in one stage; ``base`` extends nothing.

    Raises UsageError for a stage that does not exist, UnreachableError (exit 3) where no unit can
    be repeated, with the rule.
    """
    wiring, layout = wire(base), layout_of(to_spec(base))
    check_stage(wiring, more.stage, more.place)
    first: UnreachableError | None = None
    for way in _ways(base, wiring, layout, more):
        try:
            diff.compare(layout, layout_of(to_spec(way.document)))
        except UnreachableError as error:
            first = first or error
            continue
        return way
    raise _refused(more, first)


def _ways(base: Document, wiring: Wiring, layout: GraphLayout, more: More) -> Iterator[Deeper]:
    """What could be repeated, the best first: residual units, then chains; later ones first."""
    units = _candidates(wiring, more.stage)
    for unit in reversed(units):
        ends = ends_of(wiring, unit)
        if ends and _residual(wiring, unit) and _keeps(layout, ends):
            yield _copied(base, wiring, unit, ends, more.count)
    yield from _chain_ways(base, wiring, layout, units, more.count)


def _candidates(wiring: Wiring, stage: str) -> list[Unit]:
    """The units of a stage; where the stage has none that are residual, but is one, that one."""
    names = list(wiring.entries)
    inner = units_of(names, stage)
    group, _, key = stage.rpartition(".")
    own = [unit for unit in units_of(names, group) if stage and key == unit.keys[0]]
    if any(_residual(wiring, unit) for unit in own) and not any(
        _residual(wiring, unit) for unit in inner
    ):
        return own
    return inner


def _residual(wiring: Wiring, unit: Unit) -> bool:
    return any(wiring.entries[name].type == "Add" for name in unit.layers)


def _keeps(layout: GraphLayout, ends: Ends) -> bool:
    """Whether what comes out has the shape of what goes in."""
    before, after = (layout.values[name].axes for name in (ends.reads, ends.gives))
    return [layout.size(a) for a in before] == [layout.size(a) for a in after]


def _copied(base: Document, wiring: Wiring, unit: Unit, ends: Ends, count: int) -> Deeper:
    """The network with copies of a unit right behind it."""
    moved = _moved(wiring, unit, count)
    opened = network_only(base)
    if moved:
        opened = renamed(opened, Renames(unit.stage, moved))
    now, value = wire(opened), ends.gives
    for number in range(unit.number + 1, unit.number + count + 1):
        new = _nodes(opened, unit, number)
        reads = {
            unit.name_of(name, number): tuple(
                unit.name_of(read, number) if read in unit.layers else value
                for read in wiring.inputs[name]
            )
            for name in unit.layers
        }
        now, value = insert(now, value, new, reads), unit.name_of(ends.gives, number)
    renames = {join(unit.stage, old): join(unit.stage, key) for old, key in moved.items()}
    return Deeper(with_rename(now.doc, renames), (_told(unit, count), *_moves(renames)))


def _chain_ways(
    base: Document, wiring: Wiring, layout: GraphLayout, units: list[Unit], count: int
) -> Iterator[Deeper]:
    """Chains that could come in, where the units of a stage run one after the other, and join
    nothing."""
    if not run_on(wiring, units):
        return
    for unit in reversed(units):
        if any(len(wiring.inputs[name]) > 1 for name in unit.layers):
            continue
        for name in reversed(unit.layers):
            core = layout.spec.layer(name)
            if core.type != "Linear" and not core.type.startswith("Conv"):
                continue
            chain = chain_of(layout.spec, core)
            if not any(_activates(layer) for layer in chain):
                continue
            own = _numbered_chain(base, wiring, layout, unit, chain, count)
            if own is not None:
                yield own
                continue
            for way in deepenings(base, layout, name, None, count):
                names = ", ".join(f"`{new}`" for new in way.layers)
                told = f"{names} come{'s' if len(way.layers) == 1 else ''} in after `{way.after}`"
                yield Deeper(way.document, (told, *_moves(way.document.rename)))


def _activates(layer: Layer) -> bool:
    kind = LAYER_TYPES[layer.type]
    return layer.type == "PReLU" or (kind.rule == "pointwise" and bool(kind.fixes))


def _numbered_chain(
    base: Document,
    wiring: Wiring,
    layout: GraphLayout,
    unit: Unit,
    chain: list[Layer],
    count: int,
) -> Deeper | None:
    """Chains under the numbers that follow their unit's; None where the unit is more than a chain,
    or where layers would have to be renamed that are not numbered alone."""
    moved = _moved(wiring, unit, count)
    if (moved and unit.stem) or tuple(layer.name for layer in chain) != unit.layers:
        return None
    opened = network_only(base)
    if moved:
        opened = renamed(opened, Renames(unit.stage, moved))
    place = chain[-1].name
    entries: dict[str, dict[str, object]] = {}
    for number in range(unit.number + 1, unit.number + count + 1):
        for layer in chain:
            name = unit.name_of(layer.name, number)
            head, _, rest = name.removeprefix(f"{unit.stage}.").partition(".")
            group = entries.setdefault(join(unit.stage, head), {})
            copied = copy_of(layout, layer, place)
            group.update({rest: copied} if rest else copied)
    if any(name in wiring.entries or name in wiring.ends for name in entries if not moved):
        return None
    renames = {join(unit.stage, old): join(unit.stage, key) for old, key in moved.items()}
    document = with_rename(insert_after(opened, place, entries), renames)
    return Deeper(document, (_told(unit, count), *_moves(renames)))


def _refused(more: More, first: UnreachableError | None) -> UnreachableError:
    what = f"`{more.stage}`" if more.stage else "the network"
    return UnreachableError(
        f"nothing in {what} can be repeated"
        + (
            f": {first.message}"
            if first
            else ": none of its units gives the shape that it reads,"
            " or is a convolution or Linear with an activation"
        ),
        where=more.place,
        hint=(first.hint if first else None)
        or "insert layers with `net2net deepen --after NAME`, or in a spec with `after: NAME`",
    )


def _moved(wiring: Wiring, unit: Unit, count: int) -> dict[str, str]:
    """New keys for the members of later units, which make room."""
    later = [u for u in units_of(wiring.entries, unit.stage) if u.number > unit.number]
    return {key: u.key_of(key, u.number + count) for u in later for key in u.keys}


def _nodes(doc: Document, unit: Unit, number: int) -> dict[str, Table]:
    """The entries of a unit as they are under another number: taken from a network in which that
    is its name, so that all that refers to its own members still does."""
    members = {key: unit.key_of(key, number) for key in unit.keys}
    named = renamed(doc, Renames(unit.stage, members))
    inside = {unit.name_of(name, number) for name in unit.layers}
    entries = wire(named).entries
    found: dict[str, Table] = {}
    for name in sorted(inside, key=list(entries).index):
        entry = entries[name]
        for chain in entry.chains:
            path = entry.path[: len(chain.path) + 1]
            below = {n for n, e in entries.items() if e.path[: len(path)] == path}
            if below <= inside:
                found[join(chain.prefix, str(path[-1]))] = table_at(named.root, path)
                break
    return found


def _told(unit: Unit, count: int) -> str:
    whole, last = f"{unit.stem}{unit.number}", f"{unit.stem}{unit.number + count}"
    copies = f"`{join(unit.stage, f'{unit.stem}{unit.number + 1}')}`"
    if count > 1:
        copies += f" to `{join(unit.stage, last)}`"
    return f"{copies} repeat{'s' if count == 1 else ''} `{join(unit.stage, whole)}`"


def _moves(renames: Mapping[str, str]) -> tuple[str, ...]:
    shown = ", ".join(f"`{old}` is now `{new}`" for old, new in list(renames.items())[:3])
    more = f", and {len(renames) - 3} more" if len(renames) > 3 else ""
    return (f"later members are renumbered: {shown}{more}",) if renames else ()
