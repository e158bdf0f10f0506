"""What a person writes as the value of an option: sizes, ``key=value``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf

from typer import BadParameter

from net2net_cli.errors import UsageError

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Bytes, of ``5GB`` (powers of 1000), ``512MiB`` (powers of 1024) or a plain number."""
    found = _SIZE.fullmatch(text)
    size = 0
    if found and (found[2] or not found[3]):
        power = " kmgt".index(found[2].lower() or " ")
        size = int(float(found[1]) * (1024 if found[3] else 1000) ** power)
    if size < 1:
        raise BadParameter(f"`{text}` is no size: write 5GB, 512MiB or 1000000")
    return size


def parse_count(text: str | int) -> int:
    """A whole number of at least 1."""
    if not (str(text).isascii() and str(text).isdecimal()) or int(text) < 1:
        raise BadParameter(f"`{text}` is no whole number of at least 1")
    return int(text)


def parse_bound(text: str | float) -> float:
    """A number of at least 0."""
    try:
        bound = float(text)
    except ValueError:
        bound = -1.0
    if not 0 <= bound < inf:
        raise BadParameter(f"`{text}` is no number of at least 0")
    return bound


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """The pairs of ``--set``; a key that is given twice is an error."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            raise UsageError(
                f"--set {pair} is no key=value", hint="write it as --set fc1.out_features=512"
            )
        if key in settings:
            raise UsageError(f"--set gives {key} twice", hint="keep one of the two")
        settings[key] = value
    return settings
