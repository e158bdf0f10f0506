"""Python expressions as data, and their lines as ruff's formatter would leave them.

An expression that does not fit on its line is broken at its brackets, one item a line, with a
trailing comma; nothing else of the formatter's rules is needed for what is written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 88
"""The longest line, as ruff and black have it where nothing else is said."""

STEP = 4


@dataclass(frozen=True)
class Text:
    """What cannot be broken: a name, a number, a sum of names."""

    text: str


@dataclass(frozen=True)
class Item:
    """One item between brackets; ``before`` is its keyword, with the equals sign."""

    expression: Expression
    before: str = ""


@dataclass(frozen=True)
class Bracketed:
    """A call, a list or a tuple: items between an opening and a closing text."""

    opening: str
    items: tuple[Item, ...]
    closing: str


@dataclass(frozen=True)
class Repeated:
    """``count`` of the same, made anew each time, as arguments of a call."""

    expression: Expression
    count: int


@dataclass(frozen=True)
class Numbered:
    """An ``OrderedDict`` of the same, made anew for each of the names ``stem0``, ``stem1``, ...;
    ``ends`` are the first number and the one behind the last."""

    stem: str
    expression: Expression
    ends: tuple[int, int]


@dataclass(frozen=True)
class Several:
    """Names side by side, as a function returns them: brackets only where they must be broken."""

    names: tuple[str, ...]


Expression = Text | Bracketed | Repeated | Numbered | Several


def call(function: str, *arguments: Expression | str, **keywords: Expression | str) -> Bracketed:
    """A call; texts stand for names."""
    items = [Item(_expression(argument)) for argument in arguments]
    items += [Item(_expression(value), f"{name}=") for name, value in keywords.items()]
    return Bracketed(f"{function}(", tuple(items), ")")


def listed(*expressions: Expression | str) -> Bracketed:
    """A list."""
    return Bracketed("[", tuple(Item(_expression(e)) for e in expressions), "]")


def flat(expression: Expression) -> str:
    """The expression on one line."""
    match expression:
        case Text(text):
            return text
        case Bracketed(opening, items, closing):
            inside = ", ".join(item.before + flat(item.expression) for item in items)
            return f"{opening}{inside}{closing}"
        case Repeated(repeated, count):
            return f"*[{flat(repeated)} for _ in range({count})]"
        case Numbered():
            pair, loop = _loop(expression)
            return f"OrderedDict({flat(pair)} {loop})"
        case Several(names):
            return ", ".join(names)


def lines(expression: Expression, indent: int, before: str = "", after: str = "") -> Iterator[str]:
    """The lines of an expression with what stands before and after it on its first and last."""
    margin = " " * indent
    whole = f"{margin}{before}{flat(expression)}{after}"
    match expression:
        case Bracketed(opening, items, closing) if len(whole) > WIDTH and items:
            yield f"{margin}{before}{opening}"
            for item in items:
                yield from lines(item.expression, indent + STEP, item.before, ",")
            yield f"{margin}{closing}{after}"
        case Repeated(repeated, count) if len(whole) > WIDTH:
            yield f"{margin}{before}*["
            yield from lines(repeated, indent + STEP)
            yield f"{margin}{' ' * STEP}for _ in range({count})"
            yield f"{margin}]{after}"
        case Numbered() if len(whole) > WIDTH:
            pair, loop = _loop(expression)
            inner = f"{margin}{' ' * STEP}{flat(pair)} {loop}"
            yield f"{margin}{before}OrderedDict("
            if len(inner) > WIDTH:
                yield from lines(pair, indent + STEP)
                yield f"{margin}{' ' * STEP}{loop}"
            else:
                yield inner
            yield f"{margin}){after}"
        case Several(names) if len(whole) > WIDTH:
            items = tuple(Item(Text(name)) for name in names)
            yield from lines(Bracketed("(", items, ")"), indent, before, after)
        case _:
            yield whole


def _loop(numbered: Numbered) -> tuple[Expression, str]:
    """A name with what is made for it, and what counts."""
    first, end = numbered.ends
    name = Text(f'f"{numbered.stem}{{i}}"')
    counted = f"range({f'{first}, ' if first else ''}{end})"
    return Bracketed("(", (Item(name), Item(numbered.expression)), ")"), f"for i in {counted}"


def _expression(given: Expression | str) -> Expression:
    return Text(given) if isinstance(given, str) else given


def quoted(text: str) -> str:
    """A string literal in double quotes, or in single ones where that spares backslashes."""
    escaped = text.encode("unicode_escape").decode()
    if text.count('"') > text.count("'"):
        return "'" + escaped.replace("'", "\\'") + "'"
    return '"' + escaped.replace('"', '\\"') + '"'


def literal(value: object) -> str:
    """A plain value as Python writes it."""
    match value:
        case str():
            return quoted(value)
        case tuple() if len(value) != 1:
            return f"({', '.join(map(literal, value))})"
        case tuple():
            return f"({literal(value[0])},)"
        case float() if value in (float("inf"), float("-inf")):
            return f'float("{value}")'
        case _:
            return repr(value)
