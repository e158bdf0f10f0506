"""JSON files that come with a checkpoint: objects, read with limits and by the standard alone."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any, NoReturn

from net2net_cli.errors import Net2NetError, Place, SpecError
from net2net_cli.io.failures import reported, shown

LIMIT = 16_000_000
"""The longest file that is read, in bytes."""


def read_json(
    path: Path, what: str, *, kind: type[Net2NetError] = SpecError, limit: int = LIMIT
) -> dict[str, Any]:
    """The object in the file, which errors call ``what``.

    A ``kind`` where it cannot be read or is too long, is not UTF-8, not JSON (Python's NaN and
    Infinity are none, and numbers beyond float64 are not taken), no object, or names a key twice.
    """
    where = shown(path)
    with reported(kind, "read", path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise kind(f"{what} is no plain file", where=where)
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    if len(data) > limit:
        raise kind(f"{what} is too long: more than {limit} bytes", where=where)
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise kind(f"{what} is not UTF-8 (byte {error.start})", where=where) from error
    except json.JSONDecodeError as error:
        place = Place(where, error.lineno)
        raise kind(f"{what} is not valid JSON: {shown(error.msg)}", where=place) from error
    except RecursionError as error:
        raise kind(f"{what} is nested too deeply", where=where) from error
    except ValueError as error:
        raise kind(f"{what} is not valid JSON: {error}", where=where) from error
    if not isinstance(found, dict):
        raise kind(f"{what} is not a JSON object", where=where)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key `{shown(key)}` is there twice")
        found[key] = value
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"`{text}` stands for no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond float64")
    return value
