"""What a plan says of a target's sizes: how factors were rounded, and which widths stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from net2net_cli.layout import GraphLayout
from net2net_cli.spec import Change
from net2net_cli.targets.factors import Rounded
from net2net_cli.targets.scaling import Scaling
from net2net_cli.targets.sizes import Sizes, name

NAMED = 3
"""So many layers, and so many reasons, are named one by one."""


def rounding(sizes: Sizes, scaling: Scaling, layout: GraphLayout) -> Iterator[str]:
    """One sentence for each multiple that sizes were rounded to, alike ones together."""
    found: dict[int, dict[Rounded, list[str]]] = {}
    for size, layer in (
        *((size, said.layer) for said, size in sizes.roundings),
        *((size, name(layout, width)) for width, size in scaling.sizes.items()),
    ):
        if size.size != size.wanted:
            found.setdefault(size.multiple, {}).setdefault(size, []).append(layer)
    for multiple, alike in found.items():
        parts = [
            f"{float(size.wanted):g} to {size.size} ({_some(list(dict.fromkeys(layers)))})"
            for size, layers in alike.items()
        ]
        to = f"multiples of {multiple}" if multiple > 1 else "whole numbers"
        yield f"rounded to {to}: {_listed(parts, '; ', 2 * NAMED)}"


def staying(scaling: Scaling, layout: GraphLayout) -> Iterator[str]:
    """One sentence for each reason why widths stay as they are."""
    by_reason: dict[str, list[str]] = {}
    for width, reason in scaling.stays.items():
        by_reason.setdefault(reason, []).append(name(layout, width))
    for reason, layers in by_reason.items():
        verb = "stays as it is" if len(layers) == 1 else "stay as they are"
        yield f"{_some(layers)} {verb}: {reason}"


def overruled(changes: Sequence[Change], chosen: Iterable[Change]) -> Iterator[str]:
    """One sentence for each pattern or line that another one overrules, where they differ."""
    holds = {(c.name, key): c for c in chosen for key in c.node.entries}
    found: dict[tuple[str, str, str], list[str]] = {}
    for change in changes:
        for key, node in change.node.entries.items():
            winner = holds[change.name, key]
            if winner.node.entries[key] != node:
                pair = (_by(change, key), _by(winner, key), key)
                found.setdefault(pair, []).append(change.name)
    for (first, second, key), layers in found.items():
        yield f"{second} overrules {first} for `{key}` of {_some(layers)}"


def _by(change: Change, key: str) -> str:
    place = change.node.at(key)
    return f"`{change.pattern or change.name}` ({place})"


def _some(names: Sequence[str]) -> str:
    return _listed([f"`{n}`" for n in names], ", ", NAMED)


def _listed(parts: Sequence[str], between: str, most: int) -> str:
    shown = parts if len(parts) <= most + 1 else parts[:most]
    more = len(parts) - len(shown)
    return between.join(shown) + (f" and {more} more" if more else "")
