"""Which layer of the target is which layer of the source.

By name; numbered members of a sequence (``features.0``, ``layer1.1``) by alignment of what they
are, so that an insertion does not shift every later match. What ``rename:`` says is settled first
and all at once: ``{1: 3, 3: 5}`` moves two layers, and none of them twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from net2net_cli.errors import SpecError, closest
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer, Spec


@dataclass
class _Node:
    """One level of dotted names: its own layer, if any, and what stands below it."""

    name: str = ""
    layer: Layer | None = None
    children: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True)
class _Renames:
    """What ``rename:`` says: source names -> target names."""

    names: Mapping[str, str]
    targets: frozenset[str]

    def says(self, old: _Node, new: _Node) -> bool:
        """Whether the one is said to become the other."""
        return self.names.get(old.name) == new.name

    def leaves(self, old: _Node, new: _Node) -> bool:
        """Whether nothing is said of either."""
        return old.name not in self.names and new.name not in self.targets


Pairs = dict[str, str]
"""Target names -> source names."""

_SAID, _CHANGED, _SAME, _SIZES, _NAME = 1e6, 0.4, 1.0, 0.1, 0.01
"""What a pair is worth: ``rename:`` says it, same type, same arguments, same sizes, same name."""


def match_layers(source: Spec, target: Spec) -> Mapping[str, str]:
    """Target layer name -> source layer name, for every layer that both have.

    Raises SpecError where ``rename:`` names a layer that does not exist, or one twice.
    """
    renames = _checked_renames(source, target)
    old, new = _tree(source.layers), _tree(target.layers)
    pairs: Pairs = {}
    for before, after in renames.names.items():
        _align(_at(old, before), _at(new, after), renames, pairs, same=True)
    _align(old, new, renames, pairs, same=True)
    return pairs


def _checked_renames(source: Spec, target: Spec) -> _Renames:
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
    given = tuple(target.rename.values())
    if twice := [name for name in given if given.count(name) > 1]:
        raise SpecError(
            f"`rename` makes two layers into `{twice[0]}`",
            where=target.place,
            hint="every layer of the target comes from one of the source",
        )
    return _Renames(target.rename, frozenset(given))


def _tree(layers: tuple[Layer, ...]) -> _Node:
    root = _Node()
    for layer in layers:
        node = root
        for part in layer.name.split("."):
            node = node.children.setdefault(part, _Node(_join(node.name, part)))
        node.layer = layer
    return root


def _at(root: _Node, name: str) -> _Node:
    for part in name.split("."):
        root = root.children[part]
    return root


def _align(old: _Node, new: _Node, renames: _Renames, pairs: Pairs, *, same: bool) -> float:
    """Match two subtrees into ``pairs``; their score. ``same``: their names say that they match."""
    score = 0.0
    if old.layer and new.layer:
        found = _likeness(old.layer, new.layer)
        if found or same:
            pairs[new.name] = old.name
            score += found + (_NAME if same else 0)
    for key in (k for k in old.children if not k.isdigit() and k in new.children):
        a, b = old.children[key], new.children[key]
        if renames.leaves(a, b):
            score += _align(a, b, renames, pairs, same=same)
    return score + _align_numbered(old, new, renames, pairs, same=same)


def _align_numbered(
    old: _Node, new: _Node, renames: _Renames, pairs: Pairs, *, same: bool
) -> float:
    """Align the numbered children of two nodes by the best total score, in order.

    Pairs that ``rename:`` says are matched already; here they keep the others on their sides.
    """
    left = [node for key, node in old.children.items() if key.isdigit()]
    right = [node for key, node in new.children.items() if key.isdigit()]
    scores: dict[tuple[int, int], float] = {}
    found: dict[tuple[int, int], Pairs] = {}
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            inner: Pairs = {}
            alike = a.name.rpartition(".")[2] == b.name.rpartition(".")[2]
            score = _SAID if renames.says(a, b) else 0.0
            if renames.leaves(a, b):
                score = _align(a, b, renames, inner, same=same and alike)
                score += _NAME if alike and score else 0
            scores[i, j], found[i, j] = score, inner
    best = _best_path(scores, len(left), len(right))
    for pair in best:
        pairs.update(found[pair])
    return sum(scores[pair] for pair in best)


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
    pairs = [(old.args.get(n), new.args.get(n)) for n in LAYER_TYPES[new.type].sizes]
    shrinks = any(isinstance(a, int) and isinstance(b, int) and b < a for a, b in pairs)
    if shrinks or changed_arguments(old, new):
        return _CHANGED
    return _SAME + (_SIZES if all(a == b for a, b in pairs) else 0)


_HARMLESS = frozenset({
    "inplace", "momentum", "init", "normalized_shape", "num_parameters", "dropout", "dropout_p",
    "attention_dropout",
})  # fmt: skip
_OF_DROPOUT = frozenset({"p", "mode"})
"""Arguments that may change without changing the function in evaluation mode, or that are sizes."""


def changed_arguments(old: Layer, new: Layer) -> tuple[str, ...]:
    """The arguments of a matched pair that differ and are no sizes."""
    kind = LAYER_TYPES[new.type]
    return tuple(
        arg.name
        for arg in kind.args
        if arg.name not in _HARMLESS
        and arg.name not in kind.sizes
        and not (kind.fixes == (-inf, inf) and arg.name in _OF_DROPOUT)
        and old.args.get(arg.name) != new.args.get(arg.name)
    )


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
