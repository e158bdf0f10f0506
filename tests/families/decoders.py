"""Every decoder's teachers, and how each of them grows or is refused."""

from __future__ import annotations

from tests.families.gemmas import GEMMA
from tests.families.llamas import LLAMA, PHI, QWEN
from tests.families.mixtures import MIXTURES, UPCYCLED
from tests.support.families import Case

__all__ = ["CASES", "UPCYCLED"]

CASES: tuple[Case, ...] = (*LLAMA, *QWEN, *GEMMA, *PHI, *MIXTURES)
