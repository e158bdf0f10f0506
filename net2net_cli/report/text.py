"""A run for a person at a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from net2net_cli.console import Screen, escape, say, say_table, table, write_text
from net2net_cli.report.outcome import Outcome
from net2net_cli.report.sheets import Row, Sheet, Tone, sentences, sheets

_STYLES: dict[Tone, str] = {
    "plain": "",
    "new": "green",
    "changed": "yellow",
    "gone": "red",
    "good": "green",
    "bad": "bold red",
}


def print_text(outcome: Outcome, screen: Screen) -> None:
    """The tables, then the sentences."""
    console = screen.out if outcome.text_to == "stdout" else screen.err
    for sheet in sheets(outcome, screen.symbols, all_names=screen.verbose):
        say_table(console, _table(sheet))
        say(console, "")
    if outcome.written is None and outcome.code is not None:
        write_text(outcome.code)
        return  # it may go into a file: nothing else with it
    if outcome.spec is not None and outcome.written is None:
        for line in outcome.spec.splitlines():
            say(console, line)
    for row in sentences(outcome, screen.symbols):
        say(console, Text(escape(row.cells[0]), style=_STYLES[row.tone]))


def _table(sheet: Sheet) -> Table:
    return table(sheet.head, [_cells(row) for row in sheet.rows], sheet.right)


def _cells(row: Row) -> list[Text]:
    """The first two cells carry the row's colour; the rest is easier to read without."""
    style = _STYLES[row.tone]
    coloured = len(row.cells) if row.tone in ("good", "bad") else 2
    styles = [style if at < coloured else "" for at in range(len(row.cells))]
    return [Text(escape(c), style=s) for c, s in zip(row.cells, styles, strict=True)]
