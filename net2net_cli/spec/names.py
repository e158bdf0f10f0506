"""Names of layers: parts joined by dots, sought in the groups around the one who says them."""

from __future__ import annotations

import re
from collections.abc import Container

from net2net_cli.errors import Place, SpecError

MAX_LENGTH = 255
_NAME = re.compile(r"[^\s.]+(\.[^\s.]+)*")
_NUMBER = re.compile(r"0|[1-9][0-9]*")


def join(prefix: str, name: str) -> str:
    """A name below a prefix; either may be empty."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def is_number(name: str) -> bool:
    """Whether a name is a number as torch.nn.Sequential counts its members."""
    return _NUMBER.fullmatch(name) is not None


def scopes_of(name: str) -> tuple[str, ...]:
    """The groups around a layer by its name, innermost first: where names that it says are sought.

    Dots in a key count as groups, so that a name written in full means what a nested one does.
    """
    parts = name.split(".")
    return tuple(".".join(parts[:end]) for end in range(len(parts) - 1, -1, -1))


def find(text: str, scopes: tuple[str, ...], known: Container[str]) -> str | None:
    """The full name that a text means where it is said, or None where it means none."""
    return next((name for scope in scopes if (name := join(scope, text)) in known), None)


def check_name(name: str, place: Place) -> None:
    """Refuse what cannot be the prefix of a tensor's name. Raises SpecError."""
    if len(name) <= MAX_LENGTH and _NAME.fullmatch(name) and name.isprintable():
        return
    shown = f"`{name}`" if name.isprintable() and len(name) <= MAX_LENGTH else "this"
    if len(name) > MAX_LENGTH:
        raise SpecError(
            f"{shown} is too long for a name", where=place, hint=f"up to {MAX_LENGTH} characters"
        )
    raise SpecError(
        f"{shown} cannot be a name",
        where=place,
        hint="a name has no spaces, and dots only between its parts",
    )
