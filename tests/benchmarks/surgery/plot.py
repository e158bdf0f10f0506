"""Results as a picture: what each contestant takes beside `cp`, and what it holds in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.surgery.results import Contest, Results

COLOURS = {"net2net": "#1b6ca8", "mergekit": "#e08e45", "load-edit-save": "#9a9a9a"}


def draw(results: Results, file: Path) -> None:
    """Two panels with one group of bars for each growth and size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    contests = results.contests
    height = 1.2 + 0.62 * len(contests)
    figure, (times, memory) = plt.subplots(1, 2, sharey=True, figsize=(10, height))
    _bars(times, contests, _time)
    times.axvline(1, color="black", linewidth=1, label="cp + fsync of the output")
    times.set(xscale="log", xlabel="seconds, cp + fsync of the output = 1")
    _bars(
        memory, contests, lambda one, name: (found := one.middle(name, "anonymous")) and found / 1e6
    )
    memory.set(xscale="log", xlabel="anonymous memory at its fullest, MB")
    times.set_yticks(range(len(contests)), map(_label, contests))
    times.invert_yaxis()
    figure.legend(*times.get_legend_handles_labels(), loc="upper center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / height))
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _bars(axes: Any, contests: tuple[Contest, ...], value: Any) -> None:
    for index, (name, colour) in enumerate(COLOURS.items()):
        places = [row + 0.26 * (index - 1) for row in range(len(contests))]
        values = [value(one, name) or 0 for one in contests]
        bars = axes.barh(places, values, 0.24, color=colour, label=name)
        axes.bar_label(bars, map(_figure, values), padding=2, fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.margins(x=0.15)


def _time(one: Contest, name: str) -> float | None:
    copy, took = one.middle("cp", "wall"), one.middle(name, "wall")
    return took / copy if took and copy else None


def _label(one: Contest) -> str:
    return f"{one.title}\n{one.source_bytes / 1e9:.1f} → {one.output_bytes / 1e9:.1f} GB"


def _figure(value: float) -> str:
    return "" if not value else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
