"""The figures of SECURITY.md and of the README, out of the files that the long runs write:
python -m tests.security."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.faults import results as faults
from tests.fuzz import results as fuzz
from tests.support.command import ROOT

PAGE = ROOT / "SECURITY.md"
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- figures: end -->)", re.DOTALL)


def figures() -> str:
    """As Markdown: what was fuzzed, and what was made to fail."""
    tried, failed = fuzz.Results.read(fuzz.FILE), faults.Results.read(faults.FILE)
    return f"""\
Spoilt inputs: seconds are the processor's, memory is the whole process'.

{fuzz.table(tried)}

Faults at calls that change the file system (EFBIG: no file may grow beyond 1,000 to 11,500 bytes):

{faults.table(failed)}
"""


def summary() -> str:
    """The same in three rows."""
    tried, failed = fuzz.Results.read(fuzz.FILE), faults.Results.read(faults.FILE)
    slowest = max(kind.seconds for kind in tried.kinds.values())
    most = max(kind.memory for kind in tried.kinds.values())
    met = sum(sums["met"] for sums in failed.random.values())
    return f"""\
| what was tried | command | so far | found |
| --- | --- | --- | --- |
| spoilt inputs, of {len(tried.kinds)} kinds | `make fuzz` | {tried.inputs:,} of 100,000 | \
{len(tried.found)} tracebacks, hangs or the like; at most {slowest:.1f} s and {most / 1e6:.0f} MB |
| kills, signals, I/O errors and full disks at every call that changes files, in \
{len(failed.faults)} scenarios | `python -m tests.faults.campaign` | {failed.at_calls:,} | \
{len(failed.wrong)} with anything lost or half written |
| kills and signals at random moments | the same | {failed.signals} of 500, {met} in time | \
none of these |
"""


PAGES: Mapping[Path, Callable[[], str]] = {PAGE: figures, ROOT / "README.md": summary}


def main() -> None:
    """Write them into the pages."""
    for page, made in PAGES.items():
        page.write_text(FIGURES.sub(lambda _, made=made: made(), page.read_text()))


if __name__ == "__main__":
    main()
