"""``--width x1.5`` and ``--depth +2`` for transformers: the config keys that they come to.

Hidden size and heads grow together where the size of a head follows from them, so that it stays;
every MLP grows by itself. What the family's rules do not allow stays, and is told with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from net2net_cli import families
from net2net_cli.errors import Net2NetError, SpecError, UnreachableError, UsageError, closest
from net2net_cli.families import LaidFamily
from net2net_cli.families.growth import label_of
from net2net_cli.families.sizes import STORED, keys_of
from net2net_cli.layout import tensor_widths
from net2net_cli.plan import Choices
from net2net_cli.targets import Asked, as_target
from net2net_cli.targets.asked import Factor, More, factor_of, more_of
from net2net_cli.targets.factors import rounded


@dataclass(frozen=True)
class Sizes:
    """Config keys at their new sizes, and what to say of them."""

    keys: Mapping[str, int]
    notes: tuple[str, ...] = ()


def asked_sizes(laid: LaidFamily, asked: Asked, choices: Choices) -> Sizes:
    """The keys that the command line's ``--width`` and ``--depth`` ask to change.

    Raises UsageError and SpecError (exit 2) for what cannot be read, UnreachableError (exit 3)
    where nothing can grow.
    """
    said = as_target(None, asked)
    factor, found = factor_of(said), Sizes({})
    if factor is not None:
        found = _wider(laid, factor, choices)
    counts = {key: n for more in more_of(said) for key, n in [_deeper(laid, more)]}
    return Sizes({**found.keys, **counts}, found.notes)


def _deeper(laid: LaidFamily, more: More) -> tuple[str, int]:
    """The key that counts the blocks of a row, at its new value."""
    rows = {row.name: row for row in laid.family.blocks}
    name = more.stage.removeprefix(laid.prefix)
    if not name and len(rows) == 1:
        name = next(iter(rows))
    if name not in rows:
        what = f"there are no blocks `{name}`" if name else "nothing says which blocks"
        raise UsageError(
            what,
            where=more.place,
            hint=closest(name, list(rows)) or f"blocks are {', '.join(rows)}",
        )
    return keys_of(rows[name].count)[0], laid.counts[name] + more.count


def _wider(laid: LaidFamily, factor: Factor, choices: Choices) -> Sizes:
    if factor.factor < 1:
        raise UnreachableError(
            f"`width: x{float(factor.factor):g}` shrinks the network",
            where=factor.place,
            hint="a student is never smaller than its teacher",
        )
    found: dict[str, int] = {}
    notes: list[str] = []
    for ways in _groups(laid, factor.factor):
        refused: Net2NetError | None = None
        for keys in ways:
            refused = _refused(laid, {**found, **keys}, choices)
            if refused is None:
                found |= keys
                break
        if refused is not None:
            shown = ", ".join(f"`{key}`" for key in ways[0])
            notes.append(f"{shown} stay{'s' if len(ways[0]) == 1 else ''}: {refused.message}")
    if not found and factor.factor > 1:
        raise UnreachableError(
            f"nothing of the network can grow by x{float(factor.factor):g}: {'; '.join(notes)}",
            where=factor.place,
        )
    return Sizes(found, tuple(notes))


def _refused(
    laid: LaidFamily, keys: Mapping[str, int], choices: Choices
) -> UnreachableError | SpecError | None:
    """Why a family does not allow these sizes; None where it does."""
    try:
        target = families.target_of(laid, laid.family, keys, "--width")
        families.operations(families.compare(laid, target, choices.where), choices)
    except (UnreachableError, SpecError) as error:
        return error
    return None


Ways = Sequence[Mapping[str, int]]
"""Sizes to try, the best first."""


def _groups(laid: LaidFamily, factor: Fraction) -> list[Ways]:
    """What grows together: the hidden size with the heads, and each MLP."""
    sizes = laid.sizes()
    used = {w.name for tensor in laid.layout.tensors.values() for w in tensor_widths(tensor)}
    alone = [_one(laid, name, sizes[name], factor) for name in _inner(laid) if name in used]
    evenly = laid.family.stream.norm in ("post", "even")
    stream = (_even_ways if evenly else _ways)(laid, factor)
    return [stream, *((keys,) for keys in alone if keys)]


def _even_ways(laid: LaidFamily, factor: Fraction) -> Ways:
    """For streams that bear copies in equal number only: whole multiples, the nearest."""
    hidden, before = label_of(laid, laid.family.stream.width), _hidden(laid)
    times = floor(factor + Fraction(1, 2))
    if times < 2:
        return ({hidden: rounded(before, factor).size},)
    alone = {hidden: before * times}
    return ({**{key: n * times for key, n in _head_counts(laid).items()}, **alone}, alone)


def _ways(laid: LaidFamily, factor: Fraction) -> Ways:
    """Heads are rounded, and the hidden size follows; else it is rounded by itself."""
    hidden, before, heads = (
        label_of(laid, laid.family.stream.width),
        _hidden(laid),
        _head_counts(laid),
    )
    alone = {hidden: rounded(before, factor).size}
    if not heads:
        return (alone,)
    fewest = min(heads.values())
    ratio = Fraction(rounded(fewest, factor).size, fewest)
    grown = {key: n * ratio for key, n in {**heads, hidden: before}.items()}
    whole = {key: int(n) for key, n in grown.items() if n.denominator == 1}
    counts = {key: n for key, n in whole.items() if key != hidden}
    return (whole, {**counts, **alone}, alone, counts)


def _hidden(laid: LaidFamily) -> int:
    return laid.sizes()[laid.family.stream.width]


def _head_counts(laid: LaidFamily) -> dict[str, int]:
    """The keys that count heads: widths that others divide the hidden size by, and KV heads."""
    stream, found = laid.family.stream.width, dict[str, int]()
    for text in laid.family.widths.values():
        for part in text.split(" or "):
            words = part.split()
            if len(words) == 3 and words[1] == "/" and words[0] == stream:
                key = label_of(laid, words[2])
                _note(laid, key, found)
            if len(words) == 3 and words[1] == "/" and words[2] in laid.family.widths:
                _note(laid, words[0], found)
                _note(laid, label_of(laid, words[2]), found)
    return found


def _note(laid: LaidFamily, key: str, found: dict[str, int]) -> None:
    value = laid.family.value(laid.config, key)
    if (
        isinstance(value, int)
        and key not in found
        and key != label_of(laid, laid.family.stream.width)
    ):
        found[key] = value


_KEPT: tuple[frozenset[str], ...] = (frozenset(), frozenset({"even"}), frozenset({"zero"}))
"""What does not grow by any factor, or would change the size of heads."""


def _inner(laid: LaidFamily) -> list[str]:
    """Widths inside of blocks that a key of their own says, of MLPs and the like."""
    family = laid.family
    kept = [name for name, grows in family.grows.items() if grows.by in _KEPT]
    apart = {label_of(laid, name) for name in (family.stream.width, "vocab", *kept)}
    apart |= {key for row in family.blocks for key in keys_of(row.count)} | _head_counts(
        laid
    ).keys()
    found = []
    for name, text in family.widths.items():
        key = label_of(laid, name)
        own = text != STORED and key != name and key not in apart
        if own and isinstance(family.value(laid.config, key), int):
            found.append(name)
    return found


def _one(laid: LaidFamily, name: str, size: int, factor: Fraction) -> dict[str, int]:
    grown = rounded(size, factor).size
    return {label_of(laid, name): grown} if grown > size else {}
