"""A network, or a teacher beside its student, as a graph to draw: nodes with ranks, and edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer, Spec
from net2net_cli.report.sheets import Tone


@dataclass(frozen=True)
class Node:
    """One layer or input; ``rank`` counts the layers on the longest way to it."""

    name: str
    label: str
    rank: int
    tone: Tone = "plain"


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can run, edges by name."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


def graph_of(spec: Spec) -> Graph:
    """The network of a spec."""
    ranks = {declared.name: 0 for declared in spec.inputs}
    nodes = [Node(i.name, " x ".join(map(str, i.shape)), 0) for i in spec.inputs]
    for layer in spec.layers:
        ranks[layer.name] = 1 + max((ranks[name] for name in layer.inputs), default=0)
        nodes.append(Node(layer.name, _label(layer), ranks[layer.name]))
    edges = [(source, layer.name) for layer in spec.layers for source in layer.inputs]
    return Graph(tuple(nodes), tuple(edges))


def side_by_side(teacher: Spec, student: Spec, matches: Mapping[str, str]) -> tuple[Graph, Graph]:
    """Both graphs, each teacher's layer at the rank of the student's layer that it became.

    ``matches`` maps the student's names to the teacher's. New layers and changed ones are marked.
    """
    old, new = graph_of(teacher), graph_of(student)
    labels = {node.name: node.label for node in old.nodes}
    inputs = {declared.name for declared in student.inputs}
    marked = [
        node if node.name in inputs else replace(node, tone=_tone(node, labels, matches))
        for node in new.nodes
    ]
    ranks = {matches[node.name]: node.rank for node in marked if node.name in matches}
    moved = [replace(node, rank=ranks.get(node.name, node.rank)) for node in old.nodes]
    return Graph(tuple(moved), old.edges), Graph(tuple(marked), new.edges)


def _tone(node: Node, labels: Mapping[str, str], matches: Mapping[str, str]) -> Tone:
    if node.name not in matches:
        return "new"
    return "plain" if labels[matches[node.name]] == node.label else "changed"


def _label(layer: Layer) -> str:
    """The type and the sizes that growth may change: ``Conv2d 64``."""
    sizes = LAYER_TYPES[layer.type].sizes
    shown = [str(layer.args[name]) for name in sizes if name.startswith("out_")]
    return " ".join([layer.type, *shown])
