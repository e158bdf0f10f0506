"""From two layouts to the operations of a plan: which expansion each width takes, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import prod

from net2net_cli.axes import Axis, Number, Product, Sum, Width, widths
from net2net_cli.choosing import HOW, Growth, check_choices, choose, chosen_for
from net2net_cli.diff import Comparison
from net2net_cli.errors import UnreachableError
from net2net_cli.insertion import Exact, Free
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import GraphLayout
from net2net_cli.moments import closed_form
from net2net_cli.network import Layer
from net2net_cli.plan import Choices, Insert, Operation, Plan, Rescale, Widen


def operations(
    comparison: Comparison,
    choices: Choices,
    *,
    calibrated: bool,
    chosen: Mapping[str, str] | None = None,
) -> tuple[Operation, ...]:
    """Every operation, insertions first. ``calibrated``: statistics will come from data;
    ``chosen``: the expansions that a plan has for widths already.

    Raises UnreachableError where a width cannot grow as asked, with the reasons of the layers
    that forbid it; UsageError for an unknown expansion or split.
    """
    check_choices(choices)
    comparison = _without_idle(comparison)
    inserts = _inserts(comparison, calibrated=calibrated)
    widens = _widens(comparison, choices, chosen or {}, calibrated=calibrated)
    _check_joint(comparison, {Width(w.width): w.expansion for w in widens})
    return (*inserts, *widens, *_rescales(comparison, widens))


def leads(plan: Plan, comparison: Comparison) -> bool:
    """Whether a plan comes to what it takes to get from its source to its target.

    Raises UnreachableError where it has chosen an expansion that the layers do not bear.
    """
    wanted = operations(comparison, plan.choices, calibrated=False, chosen=plan.chosen)
    return plan.comes_to(wanted)


def _without_idle(comparison: Comparison) -> Comparison:
    """Without the demands of new layers that may compute anything: they keep no function."""
    duties, target = comparison.duties, comparison.target
    idle = duties.zeroed | {name for name, duty in duties.of.items() if isinstance(duty, Free)}
    demands = tuple(d for d in target.demands if d.layer not in idle)
    return replace(comparison, target=replace(target, demands=demands))


def _inserts(comparison: Comparison, *, calibrated: bool) -> list[Insert]:
    found = []
    for layer in comparison.target.spec.layers:
        if layer.name in comparison.matches:
            continue
        duty = comparison.duties.of[layer.name]
        what, value, how = "free", None, _free_how(layer.type)
        if isinstance(duty, Exact):
            what, value, how = "identity", duty.value, _identity_how(layer.type)
        elif layer.name in comparison.duties.zeroed:
            ends = "last projection starts" if LAYER_TYPES[layer.type].last else "parameters start"
            what, how = "zero", f"its {ends} at zero, so that its branch adds nothing"
        elif not isinstance(duty, Free):
            what, how = "zero", "passes zeros on"
        moments = None
        if _has_moments(layer):
            undone = value if what == "identity" else None
            moments = _moments(comparison.source, undone, calibrated=calibrated)
        found.append(Insert(layer.name, layer.type, what, value, how, moments))
    return found


def _free_how(kind: str) -> str:
    fed = "what it feeds starts at zero"
    return f"freshly initialised; {fed}" if LAYER_TYPES[kind].tensors else fed


def _has_moments(layer: Layer) -> bool:
    return layer.type.startswith("BatchNorm") and bool(layer.args["track_running_stats"])


def _moments(source: GraphLayout, undone: str | None, *, calibrated: bool) -> str:
    """Where a BatchNorm's new statistics come from; ``undone`` is the teacher's value whose
    normalisation it undoes, where it does."""
    if calibrated:
        return "calibration"
    if undone is None:
        return "initial"
    return "closed form" if closed_form(source.spec, undone) else "probes"


def _identity_how(kind: str) -> str:
    if LAYER_TYPES[kind].spatial in ("conv", "transposed"):
        return "identity kernel, bias 0"
    return {
        "Linear": "identity matrix, bias 0",
        "PReLU": "slope 1",
        "Add": "adds zeros to what passes through",
        "Maxout": "all pieces are the same",
        "LayerScale": "scale 1",
    }.get(
        kind,
        "undoes its own normalisation"
        if kind.startswith("BatchNorm")
        else "leaves the values that reach it as they are",
    )


def _widens(
    comparison: Comparison, choices: Choices, chosen: Mapping[str, str], *, calibrated: bool
) -> list[Widen]:
    target, found = comparison.target, []
    for width in _ordered(target):
        growth = Growth(width, comparison.sizes[width], target.sizes[width])
        members = _old_members(comparison, width)
        if growth.before == growth.after or not members:
            continue
        if growth.after < growth.before:
            raise UnreachableError(
                f"`{members[0]}` shrinks from {growth.before} to {growth.after} features",
                hint="a student is never smaller than its teacher",
            )
        kind = choose(target, growth, chosen_for(choices, chosen, width), members)
        split = choices.split if kind in ("duplicate", "even") else None
        normed = any(_has_moments(target.spec.layer(m)) for m in target.members(width))
        moments = None
        if kind == "fresh" and normed:
            moments = _moments(comparison.source, None, calibrated=calibrated)
        found.append(
            Widen(
                width.name, members, growth.before, growth.after, kind, split, HOW[kind],
                moments=moments,
            )
        )  # fmt: skip
    return found


def _ordered(target: GraphLayout) -> tuple[Width, ...]:
    tensors = (f.axis for t in target.tensors.values() for axis in t.axes for f in axis)
    values = (axis for data in target.values.values() for axis in data.axes)
    return tuple(dict.fromkeys(w for axis in (*tensors, *values) for w in widths(axis)))


def _old_members(comparison: Comparison, width: Width) -> tuple[str, ...]:
    """The members of a width whose tensors come from the source or carry its values; where only a
    value has the width (new features laid beside old ones), the new members."""
    of, target = comparison.duties.of, comparison.target
    members = target.members(width)
    if old := tuple(m for m in members if isinstance(of.get(m), Exact)):
        return old
    exact = (name for name, duty in of.items() if isinstance(duty, Exact))
    holders = tuple(n for n in exact if any(width in widths(a) for a in target.values[n].axes))
    return holders and (members or holders)


def _check_joint(comparison: Comparison, chosen: Mapping[Width, str]) -> None:
    """Where one norm takes statistics over parts laid end to end, all must grow alike."""
    target = comparison.target
    for demand in target.demands:
        if not demand.joint or not isinstance(demand.axis, Sum | Product):
            continue
        grown = [chosen[w] for w in widths(demand.axis) if w in chosen]
        if grown and (set(grown) != {"even"} or _times(demand.axis, comparison) is None):
            raise UnreachableError(
                f"the parts laid end to end before `{demand.layer}` must all grow by the same"
                f" whole factor: {demand.reason}",
                where=target.place(demand.layer),
            )


def _times(axis: Axis, comparison: Comparison) -> Fraction | None:
    """How often each feature of an axis is copied; None where not all are equally often."""
    match axis:
        case Number():
            return Fraction(1)
        case Width():
            before = comparison.sizes[axis]
            return Fraction(comparison.target.sizes[axis], before) if before else None
        case Product(factors):
            known = [n for f in factors if (n := _times(f, comparison)) is not None]
            return prod(known, start=Fraction(1)) if len(known) == len(factors) else None
        case Sum(terms):
            each = {_times(t, comparison) for t in terms}
            return each.pop() if len(each) == 1 else None


def _rescales(comparison: Comparison, widens: list[Widen]) -> list[Rescale]:
    """Eps . n/m for every LayerNorm over a width that grows by its mean, and every RMSNorm over one
    that grows by zeros (MATH: LayerNorm, RMSNorm)."""
    means = {Width(w.width): w for w in widens if w.expansion in ("mean", "zero")}
    found = []
    for demand in comparison.target.demands:
        if not demand.joint or demand.axis not in means:
            continue
        grown = means[demand.axis]
        layer = comparison.target.spec.layer(demand.layer)
        if LAYER_TYPES[layer.type].rule != "norm":
            continue
        eps = float(str(layer.args["eps"]))
        found.append(
            Rescale(
                layer.name,
                "eps",
                eps,
                eps * grown.before / grown.after,
                f"the {'mean square' if layer.type == 'RMSNorm' else 'variance'} of the grown width"
                " is smaller by the same factor",
            )
        )
    return found
