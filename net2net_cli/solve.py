"""The size that each width of the target has in the source.

Each tensor and each value that both networks have gives an equation: the target's axis, at the
source's sizes, is as large as the source's axis. What no equation reaches belongs to new branches
that nothing reads yet: it has size 0 in the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from net2net_cli.axes import Axis, Width, product, size_of, widths
from net2net_cli.errors import UnreachableError
from net2net_cli.insertion import Duties, Exact
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import Layout


@dataclass(frozen=True)
class Equation:
    """``axis`` has ``size`` features in the source; ``layer`` is where that is seen."""

    axis: Axis
    size: int
    layer: str


def source_sizes(
    source: Layout, target: Layout, matches: Mapping[str, str], duties: Duties
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
    while _substitute(equations, sizes):
        pass
    for width in (w for e in equations for w in widths(e.axis)):
        if width not in sizes:
            sizes[width] = target.sizes[width]
            while _substitute(equations, sizes):
                pass
    _check(equations, sizes)
    return sizes


def _all_widths(target: Layout) -> set[Width]:
    found = {w for t in target.tensors.values() for a in t.axes for f in a for w in widths(f.axis)}
    return found | {w for d in target.values.values() for a in d.axes for w in widths(a)}


def _carried_widths(target: Layout, duties: Duties) -> set[Width]:
    """Widths that layers with a value of the source have; those that no equation reaches stand
    beside axes that never grow, as the groups of a convolution over them do."""
    exact = [t for t in target.tensors.values() if isinstance(duties.of.get(t.layer), Exact)]
    return {w for t in exact for axis in t.axes for f in axis for w in widths(f.axis)}


def _tensor_equations(
    source: Layout, target: Layout, matches: Mapping[str, str]
) -> Sequence[Equation]:
    found = []
    for tensor in target.tensors.values():
        if tensor.layer not in matches:
            continue
        old = source_tensor(source, tensor.name, tensor.layer, matches)
        if old is None or len(source.tensors[old].shape) != len(tensor.axes):
            continue
        for factors, size in zip(tensor.axes, source.tensors[old].shape, strict=True):
            found.append(Equation(product(*(f.axis for f in factors)), size, tensor.layer))
    for layer, arguments in target.arguments.items():
        if layer in matches:
            before = source.spec.layer(matches[layer]).args
            for name, axes in arguments.items():
                value = before.get(name)
                if isinstance(value, int) and len(axes) == 1:
                    found.append(Equation(axes[0], value, layer))
    return found


def source_tensor(source: Layout, name: str, layer: str, matches: Mapping[str, str]) -> str | None:
    """The source's name of a tensor of a matched layer, aliases resolved; None if it has none."""
    old = matches[layer] + name[len(layer) :]
    old = source.aliases.get(old, old)
    return old if old in source.tensors else None


def _value_equations(source: Layout, target: Layout, duties: Duties) -> Sequence[Equation]:
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
        unknown = {w for w in widths(equation.axis) if w not in sizes}
        if len(unknown) != 1:
            continue
        width = unknown.pop()
        at_zero = size_of(equation.axis, {**sizes, width: 0})
        step = size_of(equation.axis, {**sizes, width: 1}) - at_zero
        if step <= 0 or (equation.size - at_zero) % step or equation.size < at_zero:
            raise _no_fit(equation)
        sizes[width] = (equation.size - at_zero) // step
        progress = True
    return progress


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
