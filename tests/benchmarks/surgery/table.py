"""Results as tables in Markdown; all figures are medians over the rounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from tests.benchmarks.surgery.results import Contest, Planning, Results

CONTESTANTS = ("net2net", "cp", "mergekit", "load-edit-save")
TIMES = ("growth", "source", "output", "start", "net2net", "cp + fsync", "× cp",
         "mergekit", "× net2net", "load-edit-save", "× net2net")  # fmt: skip
MEMORY = ("growth", "source", *(f"{name}, {what}" for name in CONTESTANTS if name != "cp"
                                for what in ("CPU s", "anonymous MB", "all MB")))  # fmt: skip


SECONDS = """\
Medians of all rounds, in seconds. `start` is what net2net takes for the same growth of a model of a
megabyte; `× cp` is the median of the rounds' ratios without it, in brackets with it. Right of the
others: their time over net2net's, start included. They leave what they wrote to the machine: in
brackets until it is on the disk, which net2net and `cp` wait for. All read from the machine's
cache."""


def document(results: Results) -> str:
    """The whole file."""
    parts = [
        "# Surgery, measured",
        f"`{results.command}`",
        "\n".join(f"- {name}: {value}" for name, value in results.machine.items()),
        SECONDS,
        table(TIMES, map(_times, results.contests)),
        (
            "Processor seconds, and memory at its fullest: anonymous, and with the pages of mapped"
            " files."
        ),
        table(MEMORY, map(_memory, results.contests)),
    ]
    if results.planning:
        parts += ["`net2net plan`, and what torch's import alone takes:",
                  table(PLANS, map(_plan, results.planning))]  # fmt: skip
    reasons = [*results.left_out, *_reasons(results.contests)]
    if reasons:
        parts += ["Left out:", "\n".join(f"- {reason}" for reason in reasons)]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{' --- |' * len(head)}", *lines[1:]])


def _times(one: Contest) -> list[str]:
    cells = [one.title, gigabytes(one.source_bytes), gigabytes(one.output_bytes),
             seconds(one.starting), seconds(one.middle("net2net", "wall")),
             seconds(one.middle("cp", "wall"))]  # fmt: skip
    without, whole = one.times("cp", started=False), one.times("cp")
    assert without is not None
    assert whole is not None
    cells.append(f"{without:.2f} ({whole:.2f})")
    for name in ("mergekit", "load-edit-save"):
        cells += [times_of(one, name), _behind(one, name)]
    return cells


def times_of(one: Contest, name: str) -> str:
    """Another's seconds, and until all of it is on the disk."""
    if name not in one.costs:
        return "–"
    return f"{seconds(one.middle(name, 'wall'))} ({seconds(one.middle(name, 'settled'))})"


def _behind(one: Contest, name: str) -> str:
    ratios = [one.times(name, of=of) for of in ("wall", "settled")]
    whole, settled = (f"{1 / ratio:.1f}" if ratio else "–" for ratio in ratios)
    return f"{whole} ({settled})" if ratios[0] else "–"


def _memory(one: Contest) -> list[str]:
    cells = [one.title, gigabytes(one.source_bytes)]
    for name in CONTESTANTS:
        if name != "cp":
            cells += [seconds(one.middle(name, "cpu")), megabytes(one.middle(name, "anonymous")),
                      megabytes(one.middle(name, "resident"))]  # fmt: skip
    return cells


PLANS = ("source", "bare python", "import torch", "net2net plan", "× import torch", "imports torch",
         "anonymous MB", "anonymous MB of import torch")  # fmt: skip


def _plan(one: Planning) -> list[str]:
    runs = (one.python, one.torch, one.plan)
    python, torch, plan = (median(c.wall for c in costs) for costs in runs)
    return [
        gigabytes(one.source_bytes), f"{python:.3f} s", f"{torch:.2f} s", f"{plan:.2f} s",
        f"{plan / torch:.2f}", "yes" if one.imports_torch else "no",
        *(megabytes(median(c.anonymous for c in costs)) for costs in (one.plan, one.torch)),
    ]  # fmt: skip


def _reasons(contests: Iterable[Contest]) -> Iterator[str]:
    for one in contests:
        for name, reason in one.skipped.items():
            yield f"{name} at {one.title}, {gigabytes(one.source_bytes)}: {reason}"


def gigabytes(nbytes: float) -> str:
    return f"{nbytes / 1e9:.2f} GB"


def megabytes(nbytes: float | None) -> str:
    return "–" if nbytes is None else f"{nbytes / 1e6:.0f}"


def seconds(found: float | None) -> str:
    return "–" if found is None else f"{found:.2f}" if found < 10 else f"{found:.1f}"
