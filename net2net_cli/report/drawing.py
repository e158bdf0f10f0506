"""Graphs as Mermaid (which GitHub draws in a comment) and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as escape_html

from net2net_cli.console import escape
from net2net_cli.report.graph import Graph, Node
from net2net_cli.report.sheets import Tone

FILLS: dict[Tone, tuple[str, str]] = {
    "plain": ("#f6f8fa", "#8c959f"),
    "new": ("#dafbe1", "#1a7f37"),
    "changed": ("#fff8c5", "#9a6700"),
    "gone": ("#ffebe9", "#cf222e"),
    "good": ("#dafbe1", "#1a7f37"),
    "bad": ("#ffebe9", "#cf222e"),
}
"""Fill and line of each tone; readable in both of GitHub's themes."""

HEIGHT, GAP_X, GAP_Y, MARGIN, TITLE = 38, 16, 22, 20, 28

CHARACTER, NARROW, WIDE = 6.7, 26, 64
"""A box is as wide as the longest text in any, from NARROW to WIDE characters of so many pixels."""


def mermaid(graphs: Sequence[tuple[str, Graph]]) -> str:
    """A flowchart; several graphs become titled subgraphs."""
    lines = ["flowchart TD"]
    for index, (title, graph) in enumerate(graphs):
        names = {node.name: f"g{index}n{i}" for i, node in enumerate(graph.nodes)}
        lines += [f'  subgraph g{index}["{_quoted(title)}"]'] if len(graphs) > 1 else []
        lines += [f"    {names[node.name]}{_box(node)}" for node in graph.nodes]
        lines += [f"    {names[a]} --> {names[b]}" for a, b in graph.edges]
        lines += ["  end"] if len(graphs) > 1 else []
    for tone in ("new", "changed"):
        fill, line = FILLS[tone]
        lines.append(f"  classDef {tone} fill:{fill},stroke:{line},color:#1f2328")
    return "\n".join(lines) + "\n"


def _box(node: Node) -> str:
    mark = f":::{node.tone}" if node.tone in ("new", "changed") else ""
    return f'["{_quoted(node.name)}<br/>{_quoted(node.label)}"]{mark}'


def _quoted(text: str) -> str:
    return "".join(c if c.isalnum() or c in " ._-:,()" else f"#{ord(c)};" for c in text)


def svg(graphs: Sequence[tuple[str, Graph]]) -> str:
    """A picture with the graphs side by side, equal ranks at equal heights."""
    parts: list[str] = []
    left, tallest, box = MARGIN, 0, _box_width(graphs)
    for title, graph in graphs:
        places = _places(graph, left, box)
        parts.append(_text_at(left, MARGIN + 10, title, "title"))
        taken = set(places.values())
        parts += [_line(places[a], places[b], taken, box) for a, b in graph.edges]
        parts += [_rectangle(node, places[node.name], box) for node in graph.nodes]
        left = max(x for x, _ in places.values()) + box + 4 * GAP_X
        tallest = max(tallest, *(y for _, y in places.values()))
    width, height = left - 4 * GAP_X + MARGIN, tallest + HEIGHT + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="system-ui, sans-serif" font-size="12">'
    )
    style = (
        "<style>.title{font-weight:600;font-size:14px}.kind{fill:#59636e}"
        "path{fill:none;stroke:#8c959f}</style>"
    )
    back = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, style, back, *parts, "</svg>"]) + "\n"


def _box_width(graphs: Sequence[tuple[str, Graph]]) -> int:
    texts = [text for _, graph in graphs for n in graph.nodes for text in (n.name, n.label)]
    return round(CHARACTER * min(max([NARROW, *map(len, texts)]), WIDE)) + 16


def _places(graph: Graph, left: int, box: int) -> dict[str, tuple[int, int]]:
    """The upper left corner of each node: a row for each rank, below the first that it reads if it
    can be, and rather below what comes from the inputs than below a parameter."""
    fed = {target for _, target in graph.edges} | {n.name for n in graph.nodes if n.rank == 0}
    last_first = [(target, source) for source, target in reversed(graph.edges)]
    inputs = dict(last_first) | {target: source for target, source in last_first if source in fed}
    taken: set[tuple[int, int]] = set()
    columns: dict[str, int] = {}
    for node in graph.nodes:
        column = columns.get(inputs.get(node.name, ""), 0)
        while (node.rank, column) in taken:
            column += 1
        taken.add((node.rank, column))
        columns[node.name] = column
    return {
        node.name: (
            left + columns[node.name] * (box + GAP_X),
            MARGIN + TITLE + node.rank * (HEIGHT + GAP_Y),
        )
        for node in graph.nodes
    }


def _rectangle(node: Node, place: tuple[int, int], box: int) -> str:
    x, y = place
    fill, line = FILLS[node.tone]
    return (
        f'<rect x="{x}" y="{y}" width="{box}" height="{HEIGHT}" rx="6" fill="{fill}"'
        f' stroke="{line}"/>'
        + _text_at(x + 8, y + 16, _short(node.name), "name")
        + _text_at(x + 8, y + 31, _short(node.label), "kind")
    )


def _line(
    source: tuple[int, int], target: tuple[int, int], taken: set[tuple[int, int]], box: int
) -> str:
    """An edge: straight where it can be, else in the lane of its farther end, or around boxes."""
    x, y = source[0] + box // 2, source[1] + HEIGHT
    to_x, to_y = target[0] + box // 2, target[1]
    if to_y - y <= GAP_Y:
        return f'<path d="M{x} {y}C{x} {to_y},{to_x} {y},{to_x} {to_y}"/>'
    lane = max(x, to_x)
    if any(left == source[0] == target[0] and y < top < to_y for left, top in taken):
        lane = source[0] - GAP_X // 2
    return (
        f'<path d="M{x} {y}C{x} {y + GAP_Y},{lane} {y},{lane} {y + GAP_Y}V{to_y - GAP_Y}'
        f'C{lane} {to_y},{to_x} {to_y - GAP_Y},{to_x} {to_y}"/>'
    )


def _text_at(x: int, y: int, text: str, style: str) -> str:
    return f'<text x="{x}" y="{y}" class="{style}">{escape_html(escape(text))}</text>'


def _short(text: str) -> str:
    """The end of a long name: that is where names differ."""
    return text if len(text) <= WIDE else f"…{text[1 - WIDE :]}"
