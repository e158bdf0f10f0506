"""The README's table of what is exact: every family's cases are run, and the worst error of each
kind of growth is told; what is refused, with the tool's own reason. Prints Markdown.

    python -m tests.families.table
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from net2net_cli import api, families
from net2net_cli.errors import Net2NetError, UnreachableError
from net2net_cli.report.sheets import figure
from tests.families.growing import CASES, UPCYCLED, Teachers, error, first_of, grow, written
from tests.families.sizes import Deepened
from tests.support.families import Case, Settings

COLUMNS = {
    "MLP": ("mlp", "encoder_mlp", "decoder_mlp", "experts_mlp", "inner"),
    "heads": ("heads", "heads_too", "encoder_heads", "decoder_heads", "hidden_and_heads"),
    "KV heads": ("kv_heads",),
    "groups": ("query_groups",),
    "head size": ("head_dim",),
    "hidden": ("hidden", "hidden_and_heads", "hidden_alone"),
    "hidden × k": ("hidden_doubled",),
    "vocabulary": ("vocabulary",),
    "depth": ("depth", "encoder_depth", "decoder_depth"),
    "experts": ("experts", "experts_with_their_number", "uneven_experts"),
    "upcycling": (),
    "all at once": ("everything",),
}
"""Columns, and the labels of the cases that belong there."""

KEYS = {
    "hidden": ("hidden_size", "n_embd", "n_embed", "d_model", "dim"),
    "head size": ("head_dim", "d_kv"),
    "KV heads": ("num_key_value_heads",),
}
"""Keys of what is tried in the first case of a family where no label stands for a column."""

TO_EPS = (
    "with an eps of 1e-5, exact up to about half of it for each inserted block: a norm behind"
    " another sees eps"
)
WIDTH, WIDER = 24, 36
"""Hidden sizes: the teachers', and one that their heads divide and that is no multiple of it."""


@dataclass
class Cell:
    """What came of one kind of growth: errors, whether one was too large, and reasons."""

    errors: list[float] = field(default_factory=list)
    failed: bool = False
    reasons: dict[str, None] = field(default_factory=dict)


@dataclass
class Table:
    """Cells by family and column."""

    teachers: Teachers
    folder: Path
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    runs: int = 0

    def cell(self, family: str, column: str) -> Cell:
        return self.cells.setdefault((family, column), Cell())

    def run(self, case: Case, settings: Settings, column: str, became: str | None = None) -> None:
        """Grow, compare, and note what came of it."""
        cell, student = self.cell(case.family, column), self.folder / str(self.runs)
        self.runs += 1
        print(f"\r{self.runs} {case}\033[K", end="", file=sys.stderr)
        try:
            grow(self.teachers.folder(case), settings, student)
        except UnreachableError as refused:
            cell.reasons[reason(refused)] = None
            return
        except Net2NetError as failure:
            cell.failed = True
            print(f"\n{case} {dict(settings)}: {failure}", file=sys.stderr)
            return
        found = error(self.teachers.folder(case), student, case.architecture, became)
        if isinstance(case, Deepened):
            cell.reasons[TO_EPS] = None
        cell.errors.append(found)
        if not found <= case.tolerance:
            cell.failed = True
            print(f"\n{case} {dict(settings)}: {found}", file=sys.stderr)

    def refuse(self, case: Case, label: str, column: str) -> None:
        """Note why the tool refuses what a case says that it does."""
        try:
            model = api.open_model(str(self.teachers.folder(case)))
            api.make_plan(model, None, written(case.refused[label][0]))
        except UnreachableError as refused:
            self.cell(case.family, column).reasons[reason(refused)] = None


def reason(refused: Net2NetError) -> str:
    """Why, without the sizes of the case."""
    return re.sub(r"^`\w+` cannot grow from \d+ to \d+: ", "", refused.message)


def column_of(label: str, settings: Settings) -> str | None:
    """The column of a label; a hidden size that is a multiple stands in the column of those."""
    found = next((name for name, labels in COLUMNS.items() if label in labels), None)
    sizes = [int(str(settings[key])) for key in KEYS["hidden"] if key in settings]
    if found == "hidden" and sizes and sizes[0] % WIDTH == 0:
        return "hidden × k"
    return found


def fill(table: Table) -> None:
    """Run every case, and try what no case stands for."""
    for case in CASES:
        for label, settings in case.grown.items():
            if column := column_of(label, settings):
                table.run(case, settings, column)
        for label, (settings, _) in case.refused.items():
            if column := column_of(label, settings):
                table.refuse(case, label, column)
    for case, became in UPCYCLED:
        for settings in case.grown.values():
            table.run(case, settings, "upcycling", became)
        for label in case.refused:
            table.refuse(case, label, "upcycling")
    for family in families.families():
        for column, keys in KEYS.items():
            if (family, column) not in table.cells and any(c.family == family for c in CASES):
                attempt(table, first_of(family), column, keys)


def attempt(table: Table, case: Case, column: str, keys: tuple[str, ...]) -> None:
    """Try a growth that no case has: what comes of it is exact, or refused with the reason."""
    key = next((key for key in keys if key in case.config), None)
    if key is not None:
        size = WIDER if column == "hidden" else 2 * int(str(case.config[key]))
        table.run(case, {key: size}, column)


def complete(table: Table) -> None:
    """What follows from other cells: heads grow in their groups, head sizes with the stream."""
    for name, family in families.families().items():
        grouped = [table.cells.get((name, column)) for column in ("KV heads", "groups")]
        for cell in filter(None, grouped):
            table.cell(name, "heads").errors += cell.errors
        if any(width.endswith("query") for width in family.widths) and (
            (name, "head size") not in table.cells
        ):
            wide = [table.cells.get((name, column)) for column in ("hidden", "hidden × k")]
            for cell in filter(None, wide):
                table.cell(name, "head size").errors += cell.errors


def shown(cell: Cell | None, notes: dict[str, int]) -> str:
    """A cell in Markdown; ``notes`` are the footnotes so far."""
    if cell is None:
        return "–"
    marks = "".join(f"[{notes.setdefault(text, len(notes) + 1)}]" for text in cell.reasons)
    if cell.failed:
        return f"FAILS {figure(max(cell.errors, default=float('nan')))} {marks}".strip()
    if cell.errors:
        return f"exact {figure(max(cell.errors))} {marks}".strip()
    return f"refused {marks}"


def markdown(table: Table) -> str:
    """The table and its footnotes."""
    notes: dict[str, int] = {}
    rows = [["family", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    for name in families.families():
        cells = [shown(table.cells.get((name, column)), notes) for column in COLUMNS]
        rows.append([name, *cells])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"{number}. {text}" for text, number in notes.items())])


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "teachers").mkdir()
        (Path(folder) / "students").mkdir()
        table = Table(Teachers(Path(folder) / "teachers"), Path(folder) / "students")
        fill(table)
        complete(table)
        print(file=sys.stderr)
        print(markdown(table))


if __name__ == "__main__":
    main()
