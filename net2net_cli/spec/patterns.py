"""Patterns for names of layers, as a shell has them for paths, with dots in place of slashes.

``*`` stands for any characters within a part and ``?`` for any one, ``**`` for any number of parts.
``layer3.*.conv2`` fits ``layer3.0.conv2``, ``**.conv2`` fits all layers of that name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from net2net_cli.errors import Place, SpecError, closest


def is_pattern(key: str) -> bool:
    """Whether a key may be a pattern; a layer can have such a name all the same."""
    return "*" in key or "?" in key


def fitting(pattern: str, names: Sequence[str], place: Place) -> list[str]:
    """The names that a pattern fits, in their order. Raises SpecError where there are none."""
    found = list(filter(_compiled(pattern).fullmatch, names))
    if not found:
        raise SpecError(
            f"no layer's name fits `{pattern}`",
            where=place,
            hint=_nearest(pattern, names)
            or "`*` stands for what is between two dots, `**` for any number of parts",
        )
    return found


def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression for whole names, from first to last part."""
    *parts, last = pattern.split(".")
    before = (r"(?:[^.]+\.)*" if part == "**" else rf"{_part(part)}\." for part in parts)
    return re.compile("".join(before) + (r"[^.]+(?:\.[^.]+)*" if last == "**" else _part(last)))


def _part(part: str) -> str:
    """One part as a regular expression: what stands for anything stands for no dot."""
    pieces = re.findall(r"\*+|\?|[^*?]+", part)
    stands = {"*": "[^.]*", "?": "[^.]"}
    return "".join(stands.get(piece[0], re.escape(piece)) for piece in pieces)


def _nearest(pattern: str, names: Sequence[str]) -> str:
    """The names that have all of a pattern's plain parts, or those that resemble it."""
    words = [part for part in pattern.split(".") if part and not is_pattern(part)]
    having = [name for name in names if words and set(words) <= set(name.split("."))]
    if having:
        shown = " or ".join(f"`{name}`" for name in having[:3])
        return f"did you mean {shown}? `*` does not go across dots, `**` does"
    return closest(".".join(words), list(names)) or closest(pattern, list(names))
