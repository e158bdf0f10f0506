"""Which layer of the target is which layer of the source.

By name; numbered members of a sequence (``features.0``, ``layer1.1``) by alignment of what they
are, so that an insertion does not shift every later match; ``rename:`` settles the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from net2net_cli.errors import SpecError, closest
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec.model import Layer, Spec


@dataclass
class _Node:
    """One level of dotted names: its own layer, if any, and what stands below it."""

    layer: Layer | None = None
    children: dict[str, _Node] = field(default_factory=dict)


Pairs = dict[str, str]

_CHANGED, _SAME, _SIZES, _NAME = 0.4, 1.0, 0.1, 0.01
"""What a pair is worth: same type, same arguments, same sizes, same name."""


def match_layers(source: Spec, target: Spec) -> Mapping[str, str]:
    """Target layer name -> source layer name, for every layer that both have.

    Raises SpecError where ``rename:`` names a layer that does not exist.
    """
    renames = _checked_renames(source, target)
    old, new = _tree(source.layers, renames), _tree(target.layers, {})
    pairs: Pairs = {}
    _align(old, new, pairs)
    back = {_renamed(layer.name, renames): layer.name for layer in source.layers}
    return {name: back[other] for name, other in pairs.items()}


def _checked_renames(source: Spec, target: Spec) -> Mapping[str, str]:
    for side, spec, names in (
        ("the source", source, target.rename.keys()),
        ("the target", target, target.rename.values()),
    ):
        known = [layer.name for layer in spec.layers]
        for name in names:
            if not any(k == name or k.startswith(f"{name}.") for k in known):
                raise SpecError(
                    f"`rename` names `{name}`, which {side} does not have",
                    where=target.place,
                    hint=closest(name, known) or None,
                )
    return target.rename


def _renamed(name: str, renames: Mapping[str, str]) -> str:
    for old, new in renames.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return name


def _tree(layers: tuple[Layer, ...], renames: Mapping[str, str]) -> _Node:
    root = _Node()
    for layer in layers:
        node = root
        for part in _renamed(layer.name, renames).split("."):
            node = node.children.setdefault(part, _Node())
        node.layer = layer
    return root


def _align(old: _Node, new: _Node, pairs: Pairs, old_name: str = "", new_name: str = "") -> float:
    """Match two subtrees into ``pairs`` (target name -> renamed source name); their score."""
    score = 0.0
    if old.layer and new.layer:
        found = _likeness(old.layer, new.layer)
        if found or old_name == new_name:
            pairs[new_name] = old_name
            score += found + (_NAME if old_name == new_name else 0)
    for name in (n for n in old.children if not n.isdigit() and n in new.children):
        score += _align(
            old.children[name], new.children[name], pairs, _join(old_name, name),
            _join(new_name, name),
        )  # fmt: skip
    return score + _align_numbered(old, new, pairs, old_name, new_name)


def _align_numbered(old: _Node, new: _Node, pairs: Pairs, old_name: str, new_name: str) -> float:
    """Align the numbered children of two nodes by the best total score, in order."""
    left = [n for n in old.children if n.isdigit()]
    right = [n for n in new.children if n.isdigit()]
    if not left or not right:
        return 0.0
    found: dict[tuple[int, int], tuple[float, Pairs]] = {}
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            inner: Pairs = {}
            score = _align(
                old.children[a], new.children[b], inner, _join(old_name, a), _join(new_name, b)
            )
            found[i, j] = (score + (_NAME if a == b and score else 0), inner)
    best = _best_path({k: v[0] for k, v in found.items()}, len(left), len(right))
    for pair in best:
        pairs.update(found[pair][1])
    return sum(found[pair][0] for pair in best)


def _best_path(
    scores: Mapping[tuple[int, int], float], rows: int, columns: int
) -> list[tuple[int, int]]:
    total = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            with_pair = scores[i, j] + total[i + 1][j + 1] if scores[i, j] else 0.0
            total[i][j] = max(with_pair, total[i + 1][j], total[i][j + 1])
    path, i, j = [], 0, 0
    while i < rows and j < columns:
        if scores[i, j] and total[i][j] == scores[i, j] + total[i + 1][j + 1]:
            path.append((i, j))
            i, j = i + 1, j + 1
        elif total[i][j] == total[i][j + 1]:
            j += 1
        else:
            i += 1
    return path


def _likeness(old: Layer, new: Layer) -> float:
    if old.type != new.type:
        return 0.0
    if changed_arguments(old, new):
        return _CHANGED
    sizes = LAYER_TYPES[new.type].sizes
    same = all(old.args.get(name) == new.args.get(name) for name in sizes)
    return _SAME + (_SIZES if same else 0)


_HARMLESS = frozenset({"inplace", "momentum", "p", "init", "normalized_shape", "num_parameters"})
"""Arguments that may change without changing the function in evaluation mode, or that are sizes."""


def changed_arguments(old: Layer, new: Layer) -> tuple[str, ...]:
    """The arguments of a matched pair that differ and are no sizes."""
    kind = LAYER_TYPES[new.type]
    return tuple(
        arg.name
        for arg in kind.args
        if arg.name not in _HARMLESS
        and arg.name not in kind.sizes
        and old.args.get(arg.name) != new.args.get(arg.name)
    )


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
