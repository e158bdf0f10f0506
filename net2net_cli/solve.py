"""The size that each width of the target has in the source.

Each tensor and each value that both networks have gives an equation: the target's axis, at the
source's sizes, is as large as the source's axis. What no equation reaches belongs to new branches
that nothing reads yet: it has size 0 in the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from net2net_cli.axes import Axis, Width, product, size_of, widths
from net2net_cli.errors import UnreachableError
from net2net_cli.insertion import Duties, Exact
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import GraphLayout


@dataclass(frozen=True)
class Equation:
    """``axis`` has ``size`` features in the source; ``layer`` is where that is seen."""

    axis: Axis
    size: int
    layer: str


def source_sizes(
    source: GraphLayout, target: GraphLayout, matches: Mapping[str, str], duties: Duties
) -> dict[Width, int]:
    """Every width of the target, at its size in the source.

    Raises UnreachableError where no sizes fit: the target connects features that the source keeps
    apart, or cuts them elsewhere.
    """
    equations = [
        *_tensor_equations(source, target, matches),
        *_value_equations(source, target, duties),
    ]
    sizes: dict[Width, int] = {}
    reached = {w for e in equations for w in widths(e.axis)}
    carried = _carried_widths(target, duties)
    new = _all_widths(target) - reached
    sizes.update({w: target.sizes[w] if w in carried else 0 for w in new})
    _settle(equations, sizes)
    for width in (w for e in equations for w in widths(e.axis)):
        if width not in sizes:
            sizes = _guessed(equations, sizes, width, target.sizes[width])
    _check(equations, sizes)
    return sizes


def _settle(equations: Sequence[Equation], sizes: dict[Width, int]) -> None:
    while _substitute(equations, sizes) or _eliminate(equations, sizes):
        pass


def _guessed(
    equations: Sequence[Equation], sizes: Mapping[Width, int], width: Width, largest: int
) -> dict[Width, int]:
    """The sizes with the largest of a width that fits, where widths multiply (groups of a new
    convolution) so that no equation tells it; with the target's where none does."""
    for size in range(largest, -1, -1):
        tried = {**sizes, width: size}
        try:
            _settle(equations, tried)
            _check([e for e in equations if tried.keys() >= set(widths(e.axis))], tried)
        except UnreachableError:
            continue
        return tried
    return {**sizes, width: largest}


def _all_widths(target: GraphLayout) -> set[Width]:
    found = {w for t in target.tensors.values() for a in t.axes for f in a for w in widths(f.axis)}
    return found | {w for d in target.values.values() for a in d.axes for w in widths(a)}


def _carried_widths(target: GraphLayout, duties: Duties) -> set[Width]:
    """Widths that layers with a value of the source have; those that no equation reaches stand
    beside axes that never grow, as the groups of a convolution over them do."""
    exact = [t for t in target.tensors.values() if isinstance(duties.of.get(t.layer), Exact)]
    return {w for t in exact for axis in t.axes for f in axis for w in widths(f.axis)}


def _tensor_equations(
    source: GraphLayout, target: GraphLayout, matches: Mapping[str, str]
) -> Sequence[Equation]:
    found = []
    for tensor in target.tensors.values():
        if tensor.layer not in matches:
            continue
        old = source_tensor(source, tensor.name, tensor.layer, matches)
        if old is None or len(source.tensors[old].shape) != len(tensor.axes):
            continue
        for new, known in zip(tensor.axes, source.tensors[old].axes, strict=True):
            if len(new) == len(known):
                pairs = [(f.axis, g.axis) for f, g in zip(new, known, strict=True)]
            else:  # one of them has one group, or one channel a group
                pairs = [(product(*(f.axis for f in new)), product(*(f.axis for f in known)))]
            found += [Equation(axis, source.size(size), tensor.layer) for axis, size in pairs]
    for layer, arguments in target.arguments.items():
        if layer in matches:
            before = source.spec.layer(matches[layer]).args
            for name, axes in arguments.items():
                value = before.get(name)
                sizes = value if isinstance(value, tuple) else (value,)
                found += [
                    Equation(axis, size, layer)
                    for axis, size in zip(axes, sizes, strict=False)
                    if isinstance(size, int) and size >= 0 and len(axes) == len(sizes)
                ]
    return found


def source_tensor(
    source: GraphLayout, name: str, layer: str, matches: Mapping[str, str]
) -> str | None:
    """The source's name of a tensor of a matched layer, aliases resolved; None if it has none."""
    old = matches[layer] + name[len(layer) :]
    old = source.aliases.get(old, old)
    return old if old in source.tensors else None


def _value_equations(
    source: GraphLayout, target: GraphLayout, duties: Duties
) -> Sequence[Equation]:
    found = [
        Equation(a, source.size(b), new.name)
        for new, old in zip(target.spec.inputs, source.spec.inputs, strict=True)
        for a, b in zip(target.values[new.name].axes, source.values[old.name].axes, strict=True)
    ]
    for name, duty in duties.of.items():
        if not isinstance(duty, Exact):
            continue
        rule = LAYER_TYPES[target.spec.layer(name).type].rule
        old, new = source.values[duty.value].axes, target.values[name].axes
        channel = len(new) - 1 if rule == "features" else 0
        for index, (a, b) in enumerate(zip(new, old, strict=True)):
            repeat = duty.repeat if index == channel else 1
            if not duty.pads or index == 0:
                found.append(Equation(a, source.size(b) * repeat, name))
    return found


def _substitute(equations: Sequence[Equation], sizes: dict[Width, int]) -> bool:
    """Solve each equation that has one unknown width; whether any was solved."""
    progress = False
    for equation in equations:
        found = _linear(equation, sizes)
        if found is None or len(found[0]) != 1:
            continue
        ((width, step),) = found[0].items()
        if found[1] < 0 or found[1] % step:
            raise _no_fit(equation)
        sizes[width] = found[1] // step
        progress = True
    return progress


def _linear(equation: Equation, sizes: Mapping[Width, int]) -> tuple[dict[Width, int], int] | None:
    """How often an equation counts each unknown width, and what they sum to; None where unknown
    widths multiply."""
    axis, own = equation.axis, dict.fromkeys(widths(equation.axis))
    known = {w: sizes[w] for w in own if w in sizes}
    unknown = {w: 0 for w in own if w not in sizes}
    none = size_of(axis, {**known, **unknown})
    steps = {w: size_of(axis, {**known, **unknown, w: 1}) - none for w in unknown}
    twice = size_of(axis, {**known, **dict.fromkeys(unknown, 2)}) - none
    if twice != 2 * sum(steps.values()):
        return None
    return {w: n for w, n in steps.items() if n}, equation.size - none


def _eliminate(equations: Sequence[Equation], sizes: dict[Width, int]) -> bool:
    """Solve what equations with several unknown widths say together; whether any was solved."""
    rows: dict[Width, tuple[dict[Width, Fraction], Fraction]] = {}
    for equation in equations:
        if not (found := _linear(equation, sizes)):
            continue
        row, rest = {w: Fraction(n) for w, n in found[0].items()}, Fraction(found[1])
        for pivot in rows.keys() & row.keys():
            row, rest = _less(row, rest, pivot, *rows[pivot])
        if row:
            pivot, count = next(iter(row.items()))
            new = {w: n / count for w, n in row.items()}, rest / count
            rows = {w: _less(*old, pivot, *new) for w, old in rows.items()}
            rows[pivot] = new
    solved = {w: rest for w, (row, rest) in rows.items() if len(row) == 1}
    whole = {w: int(n) for w, n in solved.items() if n >= 0 and n.denominator == 1}
    sizes.update(whole)
    return bool(whole)


def _less(
    row: dict[Width, Fraction], rest: Fraction, pivot: Width,
    other: dict[Width, Fraction], other_rest: Fraction,
) -> tuple[dict[Width, Fraction], Fraction]:  # fmt: skip
    """A row without its pivot, by means of another row that counts the pivot once."""
    factor = row.get(pivot, Fraction(0))
    left = {w: row.get(w, Fraction(0)) - factor * other.get(w, 0) for w in {**row, **other}}
    return {w: n for w, n in left.items() if n}, rest - factor * other_rest


def _check(equations: Sequence[Equation], sizes: dict[Width, int]) -> None:
    for equation in equations:
        if size_of(equation.axis, sizes) != equation.size:
            raise _no_fit(equation, size_of(equation.axis, sizes))


def _no_fit(equation: Equation, found: int | None = None) -> UnreachableError:
    known = f", and {found} by the layers around it" if found is not None else ""
    return UnreachableError(
        f"the target's connections do not fit the source's sizes at `{equation.layer}`:"
        f" {equation.size} features there{known}",
        hint="what is added, laid end to end or grouped must be so in both networks",
    )
