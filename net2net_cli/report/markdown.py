"""A run as GitHub's Markdown: for pull requests and job summaries."""

from __future__ import annotations

from net2net_cli.console import Symbols, escape
from net2net_cli.report.outcome import Outcome
from net2net_cli.report.sheets import Sheet, sentences, sheets

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#~"})


def markdown(outcome: Outcome, *, drawing: str = "") -> str:
    """The tables and sentences; ``drawing`` is Mermaid, put in front."""
    parts = [f"## net2net {outcome.command}"]
    parts += [f"**{item.severity}**: {_text(item.message)}" for item in outcome.diagnostics]
    if drawing:
        parts.append(f"```mermaid\n{drawing}```")
    parts += [_table(sheet) for sheet in sheets(outcome, Symbols(), all_names=True)]
    if outcome.spec is not None:
        parts.append(f"```yaml\n{outcome.spec}```")
    if outcome.code is not None:
        parts.append(f"```python\n{outcome.code}```")
    parts += [_text(row.cells[0]) for row in sentences(outcome, Symbols())]
    return "\n\n".join(parts) + "\n"


def _table(sheet: Sheet) -> str:
    rule = ["---:" if name in sheet.right else "---" for name in sheet.head]
    lines = [sheet.head, rule, *(tuple(map(_text, row.cells)) for row in sheet.rows)]
    return f"### {sheet.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    return escape(text).translate(_SPECIAL)
