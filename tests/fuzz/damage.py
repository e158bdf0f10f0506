"""Ways to spoil a valid input: its bytes, its text, or one value of its structure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import yaml

TEXTS = (
    "", " ", "\x1b[31mred\x1b[0m", "[bold]", "../../etc/passwd", "/dev/zero", "a" * 5000, "\x00",
    "é\u202e",
    "-1", "1e999", "nan", "true", "null", "~", "!!python/object:os.system", "*a", "&a [*a]", "%s%n",
    "fc1", "fc1.weight", "same", "auto", "x1.5", "\ud800", "${HOME}", "0x10", "1_000", "\r\n\t",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 2**15, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**18), 0.5, -0.0, 1e308,
    float("inf"), float("nan"), 1e-320,
)  # fmt: skip


def value(draw: Random) -> Any:
    """Anything that JSON or YAML can hold."""
    match draw.randrange(9):
        case 0 | 1:
            return draw.choice(TEXTS)
        case 2 | 3 | 4:
            return draw.choice(NUMBERS)
        case 5:
            return draw.choice([None, True, False])
        case 6:
            return [value(draw) for _ in range(draw.randrange(4))]
        case 7:
            return {str(draw.choice(TEXTS)): value(draw) for _ in range(draw.randrange(4))}
        case _:
            return _deep(draw.choice([3, 20, 60]))


def _deep(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


def structure(document: Any, draw: Random) -> Any:
    """A document with one to three of its places changed: another value, a key lost, renamed,
    doubled or added, a list made longer or shorter."""
    found = copy.deepcopy(document)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        places = list(_places(found))
        if not places:
            return value(draw)
        holder, key = draw.choice(places)
        _change(holder, key, draw)
    return found


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list):
        items = list(enumerate(node))
    else:
        return
    for key, child in items:
        yield node, key
        yield from _places(child)


def _change(holder: Any, key: Any, draw: Random) -> None:
    kind = draw.randrange(6)
    if kind <= 2:
        holder[key] = value(draw)
    elif isinstance(holder, list):
        if kind == 3:
            del holder[key]
        else:
            holder.insert(key, draw.choice([copy.deepcopy(holder[key]), value(draw)]))
    elif kind == 3:
        del holder[key]
    elif kind == 4:
        holder[draw.choice([*TEXTS[:12], *map(str, holder)])] = holder.pop(key)
    else:
        holder[str(draw.choice(TEXTS))] = copy.deepcopy(draw.choice([holder[key], value(draw)]))


def bytes_of(data: bytes, draw: Random) -> bytes:
    """The bytes cut short, made longer, or with some changed, lost, doubled or moved."""
    found = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(len(found) + 1)
        match draw.randrange(6):
            case 0:
                del found[at:]
            case 1:
                found[at:at] = draw.randbytes(draw.choice([1, 8, 300]))
            case 2:
                del found[at : at + draw.choice([1, 8, 100])]
            case 3:
                found[at : at + 1] = bytes([draw.randrange(256)])
            case 4:
                end = at + draw.choice([1, 8, 100])
                found[at:at] = found[at:end]
            case _:
                found[at : at + 8] = draw.choice([b"\xff" * 8, b"\x00" * 8, b"\x00" * 7 + b"\x7f"])
    return bytes(found)


def json_of(document: Any) -> bytes:
    """As JSON."""
    return json.dumps(document).encode()


def yaml_of(text: str, draw: Random) -> bytes:
    """YAML with other values, or other text."""
    if draw.random() < 0.2:
        return bytes_of(text.encode(), draw)
    changed = structure(yaml.safe_load(text), draw)
    return yaml.safe_dump(changed, sort_keys=False, default_flow_style=None).encode(
        "utf-8", "replace"
    )


def word(said: Any) -> str:
    """Anything as a word of a command line."""
    text = said if isinstance(said, str) else json.dumps(said)
    return text.encode("utf-8", "replace").decode().replace("\0", "")[:2000]
