"""Constants that a spec writes out: as numbers, or packed where they are many.

``data`` is the base64 text of the zlib stream of the entries' bytes, little-endian, in order.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from math import prod

from net2net_cli.network import Value

LARGEST = 2**26
"""Entries that a packed constant may have: more belongs into a checkpoint."""

_BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2,
          "int16": 2, "int8": 1, "uint8": 1, "bool": 1}  # fmt: skip


def constant_shape(args: Mapping[str, Value]) -> tuple[int, ...]:
    """The shape of a constant. Raises ValueError where its lists are uneven, or its data does not
    fit its shape."""
    value, shape = args["value"], args["shape"]
    if value is not None:
        return _shape_of(value)
    assert isinstance(shape, tuple)
    sizes = tuple(int(str(size)) for size in shape)
    unpacked(args)
    return sizes


def unpacked(args: Mapping[str, Value]) -> bytes:
    """The bytes of a packed constant. Raises ValueError where they are not those of its shape."""
    shape = args["shape"]
    assert isinstance(shape, tuple)
    count = prod(int(str(size)) for size in shape)
    if count > LARGEST:
        raise ValueError(f"holds {count} numbers, and a spec at most {LARGEST}")
    wanted = count * _BYTES[str(args["dtype"])]
    try:
        stream = zlib.decompressobj()
        found = stream.decompress(base64.b64decode(str(args["data"]), validate=True), wanted + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("has `data` that is no base64 text of a zlib stream") from error
    if len(found) != wanted or not stream.eof:
        raise ValueError(f"has `data` that is not {wanted} bytes, as its shape and dtype need")
    return found


def packed(raw: bytes) -> str:
    """The text for ``data``."""
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def _shape_of(value: Value) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        return ()
    inner = {_shape_of(item) for item in value}
    if len(inner) > 1:
        raise ValueError("has lists of different lengths in `value`")
    return (len(value), *inner.pop())
