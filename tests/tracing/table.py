"""The README's table of traced networks: each is traced, rebuilt and grown; errors are told, and
what is refused, with the tool's own reason. Prints Markdown.

    python -m tests.tracing.table [NAME...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from net2net_cli.errors import Net2NetError
from net2net_cli.report.sheets import figure
from tests.tracing.growing import Found, tried
from tests.tracing.zoo import ALL, NAMED

HEAD = "| network | rebuilt | 1.25 × as wide | widths | deeper |\n| --- | --- | --- | --- | --- |"


def main(names: list[str]) -> None:
    """Prints a row for each network as it is done, then the reasons of what was refused."""
    print(HEAD)
    reasons: dict[str, int] = {}
    done = 0
    for name in names or ALL:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = tried(ALL[name], Path(folder))
            except Net2NetError as error:
                number = reasons.setdefault(error.message, len(reasons) + 1)
                print(f"| {name} | refused [{number}] | | | |", flush=True)
                continue
        done += name in NAMED
        print(row(name, found, reasons), flush=True)
    print()
    for reason, number in reasons.items():
        print(f"{number}. {reason}")
    print(f"{done} of the {len(NAMED)} named networks", file=sys.stderr)


def row(name: str, found: Found, reasons: dict[str, int]) -> str:
    """One network's line of the table."""
    cells = [name, figure(found.rebuilt)]
    for growth, error in (("wider", found.wider), ("deeper", found.deeper)):
        if error is not None:
            cells.append(figure(error))
        else:
            number = reasons.setdefault(found.refused[growth], len(reasons) + 1)
            cells.append(f"refused [{number}]")
    cells.insert(3, str(found.widths or ""))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
