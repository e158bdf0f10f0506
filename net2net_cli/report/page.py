"""A run as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape as escape_html

from net2net_cli.console import Symbols, escape
from net2net_cli.report.outcome import Outcome
from net2net_cli.report.sheets import Sheet, sentences, sheets

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; color: #1f2328 }
table { border-collapse: collapse; margin: 0 0 1.5rem } td, th { padding: .25rem .75rem .25rem 0 }
th { text-align: left; border-bottom: 1px solid #d1d9e0 } td { vertical-align: top }
.right { text-align: right; font-variant-numeric: tabular-nums }
.new, .good { color: #1a7f37 } .changed { color: #9a6700 } .gone, .bad { color: #cf222e }
.picture { overflow: auto; max-height: 60rem; border: 1px solid #d1d9e0; border-radius: 6px }
"""


def page(outcome: Outcome, picture: str) -> str:
    """The whole page; ``picture`` is SVG, or empty."""
    title = f"net2net {outcome.command}"
    said = [
        f'<p class="bad">{item.severity}: {_text(item.message)}</p>'
        for item in outcome.diagnostics
        if item.severity != "note"
    ]
    lines = [
        f'<p class="{row.tone}">{_text(row.cells[0])}</p>' for row in sentences(outcome, Symbols())
    ]
    tables = [_table(sheet) for sheet in sheets(outcome, Symbols(), all_names=True)]
    drawn = [f'<h2>Networks</h2><div class="picture">{picture}</div>'] if picture else []
    body = "\n".join([f"<h1>{title}</h1>", *said, *lines, *tables, *drawn])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _table(sheet: Sheet) -> str:
    marks = ['class="right"' if name in sheet.right else "" for name in sheet.head]
    head = "".join(f"<th {m}>{_text(n)}</th>" for m, n in zip(marks, sheet.head, strict=True))
    rows = [
        f'<tr class="{row.tone}">'
        + "".join(f"<td {m}>{_text(c)}</td>" for m, c in zip(marks, row.cells, strict=True))
        + "</tr>"
        for row in sheet.rows
    ]
    return f"<h2>{sheet.title}</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


def _text(text: str) -> str:
    return escape_html(escape(text))
