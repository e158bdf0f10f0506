"""The arithmetic of a family's widths: config keys and earlier widths, ``*``, ``/``, ``+``, ``or``.

head_dim or hidden / num_attention_heads     the first alternative whose keys are there
4 * hidden                                   from left to right, whole numbers only
stored                                       taken from the checkpoint's own shapes
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from net2net_cli.errors import Place, SpecError
from net2net_cli.families.family import Config, Family

STORED = "stored"

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*|\d+|[*/+]")


def alternatives(expression: str) -> list[list[str]]:
    """The alternatives of an expression, each as its tokens."""
    return [_TOKEN.findall(part) for part in re.split(r"\bor\b", expression)]


def check_expression(expression: str, key: str, where: Place | str) -> None:
    """Raise SpecError where an expression does not parse."""
    for part, tokens in zip(re.split(r"\bor\b", expression), alternatives(expression), strict=True):
        odd = [t in "*/+" for t in tokens[1::2]]
        even = [t not in "*/+" for t in tokens[::2]]
        rest = _TOKEN.sub("", part).strip()
        if not tokens or rest or len(tokens) % 2 == 0 or not all(odd) or not all(even):
            raise SpecError(
                f"`{key}` cannot be read: `{expression}`",
                where=where,
                hint="write config keys, widths and whole numbers with + * / and `or` between them",
            )


def keys_of(expression: str) -> tuple[str, ...]:
    """The names in an expression."""
    found = [t for tokens in alternatives(expression) for t in tokens]
    return tuple(dict.fromkeys(t for t in found if t[0].isalpha() or t[0] == "_"))


def size_keys(family: Family) -> tuple[str, ...]:
    """The config keys that are sizes of a family: what growth may change."""
    widths = [e for e in family.widths.values() if e != STORED]
    counts = [row.count for row in family.blocks]
    keys = dict.fromkeys(key for e in (*widths, *counts) for key in keys_of(e))
    return tuple(key for key in keys if key not in family.widths or key in _own(family))


def _own(family: Family) -> set[str]:
    """Names that are a width and, in its expression, a config key as well."""
    return {width for width, text in family.widths.items() if width in keys_of(text)}


def evaluate(
    family: Family, config: Config, stored: Mapping[str, int], where: str
) -> dict[str, int]:
    """Every width's size; ``stored`` gives those that are taken from shapes.

    Raises SpecError where keys are missing, a division has a rest, or a size is not positive.
    """
    found: dict[str, int] = {}
    for name, expression in family.widths.items():
        if expression != STORED:
            found[name] = size_of(name, expression, found, family, config, where)
        elif name in stored:
            found[name] = stored[name]
    return found


def size_of(
    name: str,
    expression: str,
    sizes: Mapping[str, int],
    family: Family,
    config: Config,
    where: str,
) -> int:
    """One expression's value, with the sizes of earlier widths."""
    for tokens in alternatives(expression):
        values = [_value(t, name, sizes, family, config) for t in tokens[::2]]
        numbers = [v for v in values if v is not None]
        if len(numbers) == len(values):
            shown = " ".join(_plainly(token, family) for token in tokens)
            return _computed(name, shown, numbers, tokens[1::2], where)
    keys = [k for k in keys_of(expression) if k not in sizes]
    raise SpecError(
        f"the config lacks {' or '.join(f'`{key}`' for key in keys)}, which gives `{name}`",
        where=where,
    )


def _plainly(token: str, family: Family) -> str:
    """A width in an expression as the config key that it is, where it is one."""
    first = family.widths.get(token, token).partition(" or ")[0]
    return first if first.isidentifier() else token


def _value(
    token: str, width: str, sizes: Mapping[str, int], family: Family, config: Config
) -> int | None:
    if token.isdigit():
        return int(token)
    if token in sizes and token != width:
        return sizes[token]
    found = family.value(config, token)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _computed(name: str, shown: str, values: list[int], signs: list[str], where: str) -> int:
    total = values[0]
    for sign, value in zip(signs, values[1:], strict=True):
        if sign == "/":
            if value == 0 or total % value:
                raise SpecError(
                    f"{total} / {value} is no whole number: {shown}",
                    where=where,
                    hint=f"use a multiple of {value}" if value else None,
                )
            total //= value
        else:
            total = total * value if sign == "*" else total + value
    if total < 1:
        raise SpecError(f"`{name}` ({shown}) must be positive, not {total}", where=where)
    return total
