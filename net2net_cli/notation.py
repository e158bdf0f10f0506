"""The arrow notation: how a tensor's axes read and write widths, as text.

    out <- in                    stored [out, in]; features flow from `in` to `out`
    (groups in) -> (groups out)  the first axis reads; a product, outermost first
    hidden -> (q + k + v)        axes laid end to end
    c                            a per-channel parameter

Parsing knows neither tensors nor sizes. Errors quote the expression (as einops does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Role = Literal["write", "read"]


class NotationError(ValueError):
    """An expression that does not parse; the message quotes it."""


@dataclass(frozen=True)
class Name:
    """A width, by its local name."""

    name: str


@dataclass(frozen=True)
class Count:
    """A fixed number."""

    size: int


@dataclass(frozen=True)
class Group:
    """``(a b)`` where ``plus`` is False: a product; ``(a + b)`` where it is True: end to end."""

    parts: tuple[Expression, ...]
    plus: bool


Expression = Name | Count | Group


@dataclass(frozen=True)
class Line:
    """One tensor (or one layer's signature): its axes in stored order, each with its role."""

    axes: tuple[tuple[Expression, Role], ...]

    def names(self, role: Role) -> frozenset[str]:
        """The widths named on the axes of that role."""
        return frozenset(n for axis, r in self.axes if r == role for n in names(axis))


_TOKEN = re.compile(r"\s*(<-|->|[()+]|\d+|[A-Za-z_][A-Za-z_0-9]*)")


def names(expression: Expression) -> tuple[str, ...]:
    """Every width named in an expression, in order."""
    match expression:
        case Name(name):
            return (name,)
        case Count():
            return ()
        case Group(parts, _):
            return tuple(n for part in parts for n in names(part))


@cache
def parse(text: str) -> Line:
    """Parse one line; a line without an arrow only writes. Raises NotationError."""
    tokens = _tokens(text)
    arrows = [i for i, t in enumerate(tokens) if t in ("<-", "->")]
    if len(arrows) > 1:
        raise NotationError(f"more than one arrow in `{text}`")
    if not arrows:
        return Line(tuple((axis, "write") for axis in _axes(tokens, text)))
    left, right = tokens[: arrows[0]], tokens[arrows[0] + 1 :]
    roles: tuple[Role, Role] = ("write", "read") if tokens[arrows[0]] == "<-" else ("read", "write")
    return Line(
        tuple((axis, roles[0]) for axis in _axes(left, text))
        + tuple((axis, roles[1]) for axis in _axes(right, text))
    )


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise NotationError(f"`{text[at:].strip()[0]}` has no meaning in `{text}`")
        found.append(match.group(1))
        at = match.end()
    return found


def _axes(tokens: list[str], text: str) -> list[Expression]:
    rest, found = list(tokens), []
    while rest:
        found.append(_axis(rest, text))
    return found


def _axis(rest: list[str], text: str) -> Expression:
    token = rest.pop(0)
    if token == "(":
        return _group(rest, text)
    if token in (")", "+"):
        raise NotationError(f"`{token}` is out of place in `{text}`")
    return Count(int(token)) if token.isdigit() else Name(token)


def _group(rest: list[str], text: str) -> Expression:
    parts: list[Expression] = []
    signs: list[int] = []
    while rest and rest[0] != ")":
        if rest[0] == "+":
            signs.append(len(parts))
            rest.pop(0)
            continue
        parts.append(_axis(rest, text))
    if not rest or not parts:
        raise NotationError(f"a bracket is not closed, or empty, in `{text}`")
    rest.pop(0)
    if signs and signs != list(range(1, len(parts))):
        raise NotationError(f"`+` and products need brackets of their own in `{text}`")
    return Group(tuple(parts), bool(signs))
