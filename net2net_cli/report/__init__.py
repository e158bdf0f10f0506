"""What a run has to show, in every form: for a terminal, a script, a pull request, a browser.

``outcome`` is what a command did; ``sheets`` makes tables and sentences of it, which ``text``,
``markdown`` and ``page`` set; ``document`` is JSON; ``graph``, ``blocks`` and ``drawing`` are the
pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from net2net_cli.errors import UsageError
from net2net_cli.report.outcome import Checkpoint, Diagnostic, Outcome, from_error

if TYPE_CHECKING:
    from net2net_cli.console import Screen
    from net2net_cli.families import LaidFamily
    from net2net_cli.plan import Plan
    from net2net_cli.report.graph import Graph

__all__ = [
    "REPORT_ENDINGS",
    "Checkpoint",
    "Diagnostic",
    "Outcome",
    "from_error",
    "render",
    "show",
]

Form = Literal["text", "json", "markdown", "mermaid"]

REPORT_ENDINGS = (".html", ".svg", ".md", ".json")


def show(outcome: Outcome, form: Form, screen: Screen) -> None:
    """Print a run: remarks on standard error, the result on standard output."""
    from net2net_cli.console import say_marked, write_text

    for item in outcome.diagnostics:
        if item.severity == "error" or not screen.quiet:
            say_marked(screen.err, item.lines())
    match form:
        case "json":
            from net2net_cli.report.document import document, to_text

            write_text(to_text(document(outcome)))
        case "text":
            from net2net_cli.report.text import print_text

            print_text(outcome, screen)
        case "markdown":
            from net2net_cli.report.markdown import markdown

            write_text(markdown(outcome))
        case "mermaid":
            from net2net_cli.report.drawing import mermaid

            write_text(mermaid(_drawn(outcome)) if outcome.exit_code in (0, 5) else "")


def render(outcome: Outcome, ending: str) -> str:
    """A run as the text of a file with that ending, one of REPORT_ENDINGS."""
    from net2net_cli.report.document import document, to_text
    from net2net_cli.report.drawing import mermaid, svg
    from net2net_cli.report.markdown import markdown
    from net2net_cli.report.page import page

    graphs = graphs_of(outcome)
    match ending:
        case ".json":
            return to_text(document(outcome))
        case ".md":
            return markdown(outcome, drawing=mermaid(graphs) if graphs else "")
        case ".svg":
            return svg(_drawn(outcome))
        case _:
            return page(outcome, svg(graphs) if graphs else "")


def _drawn(outcome: Outcome) -> list[tuple[str, Graph]]:
    graphs = graphs_of(outcome)
    if not graphs:
        raise UsageError(
            f"{outcome.command} has no network to draw",
            hint="pictures are for inspect, plan, apply, grow, widen and deepen",
        )
    return graphs


def graphs_of(outcome: Outcome) -> list[tuple[str, Graph]]:
    """The networks of a run, with titles: teacher and student of a plan, or the one inspected."""
    from net2net_cli.layout import GraphLayout

    if outcome.plan:
        teacher, student = _planned(outcome.plan, outcome.family)
        return [("teacher", teacher), ("student", student)]
    if isinstance(outcome.inspected, GraphLayout):
        from net2net_cli.report.graph import graph_of

        return [("network", graph_of(outcome.inspected.spec))]
    if outcome.family:
        from net2net_cli.report.blocks import blocks_of

        return [("network", blocks_of(outcome.family))]
    return []


def _planned(plan: Plan, family: LaidFamily | None) -> tuple[Graph, Graph]:
    if family is not None:
        from net2net_cli.report.blocks import grown_blocks

        return grown_blocks(family, plan)
    from net2net_cli.match import match_layers
    from net2net_cli.report.graph import side_by_side
    from net2net_cli.spec import parse_document, to_spec

    old = to_spec(parse_document(plan.source, "the plan's source"))
    new = to_spec(parse_document(plan.target, "the plan's target"))
    return side_by_side(old, new, match_layers(old, new))
