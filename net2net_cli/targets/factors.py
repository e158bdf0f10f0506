"""``x1.5``: sizes that are said as factors, and the whole numbers that they come to.

The rounding is that of MobileNet's channels (``_make_divisible`` in Google's and torchvision's
code): to the nearest multiple of a divisor, and to the next one where that would take away more
than a tenth. The divisor is what the width's own axes demand and, beyond that, 8, 4 or 2 where the
size was a multiple of it: kernels on GPUs are made for such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import floor, gcd, lcm

from net2net_cli.errors import Place, SpecError

LARGEST = 1000
"""No network grows by more at once; a larger factor is a slip of the hand."""

_FACTOR = re.compile(r"[x×]([0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})")
_ALIGNED = (8, 4, 2)
_ALIGNING = Fraction(1, 20)
"""Alignment moves a size by no more than this share of it."""
_LOST = Fraction(1, 10)
"""MobileNet's bound for what rounding down may take away."""


@dataclass(frozen=True)
class Rounded:
    """A size: what it was, what a factor asks for, what it is, and the multiple that made it."""

    before: int
    wanted: Fraction
    size: int
    multiple: int


def is_factor(value: object) -> bool:
    """Whether a value of a spec is meant as a factor."""
    return isinstance(value, str) and value[:1] in "x×" and value[1:2].strip("-+.,0123456789") == ""


def read_factor(value: object, what: str, where: Place | str) -> Fraction:
    """The factor that a value is; ``what`` begins the message. Raises SpecError for another."""
    found = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    factor = Fraction(found[1]) if found else Fraction(0)
    if 0 < factor <= LARGEST:
        return factor
    shown = "nothing" if value is None else f"`{value}`"
    number = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*[x×]?", str(value))
    hint = f"write x{number[1]}" if number and 0 < float(number[1]) <= LARGEST else None
    raise SpecError(
        f"{what} is a factor, as x1.5, not {shown}",
        where=where,
        hint=hint or f"write an x and a number above 0, up to {LARGEST}",
    )


def rounded(
    before: int, factor: Fraction, *, unit: int = 1, step: int = 1, whole: bool = False
) -> Rounded:
    """A width's size times a factor, rounded.

    ``unit`` is how many channels each of its features is (a group of 4: 4), ``step`` what it grows
    by (a head of 64: 64), ``whole`` says that only whole multiples of what it was are exact.
    """
    wanted = before * factor
    divisor = before if whole else lcm(_divisor(before, wanted, unit), step)
    return Rounded(before, wanted, max(_nearest(wanted, divisor), before), divisor * unit)


def _divisor(before: int, wanted: Fraction, unit: int) -> int:
    for aligned in _ALIGNED:
        divisor = aligned // gcd(aligned, unit)
        near = before % divisor == 0
        if near and abs(_nearest(wanted, divisor) - wanted) <= wanted * _ALIGNING:
            return divisor
    return 1


def _nearest(wanted: Fraction, divisor: int) -> int:
    """MobileNet's rule."""
    found = max(divisor, floor(wanted / divisor + Fraction(1, 2)) * divisor)
    return found + divisor if found < wanted * (1 - _LOST) else found
