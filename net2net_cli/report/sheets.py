"""A run as tables and sentences: the same for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from net2net_cli.console import Symbols
from net2net_cli.report.outcome import Checkpoint, Outcome

if TYPE_CHECKING:
    from net2net_cli.diff import Difference
    from net2net_cli.layout import Layout
    from net2net_cli.optimizer import Carried
    from net2net_cli.plan import Insert, Operation, Plan, Widen
    from net2net_cli.rebuilding import Shrunk
    from net2net_cli.trainability import Finding
    from net2net_cli.verification import Verification
    from net2net_cli.verify.proof import Proof

Tone = Literal["plain", "new", "changed", "gone", "good", "bad"]

NAMED = 4
"""So many members of a width are named where a network is inspected, unless all are asked for."""

FOLDED = 20
"""A plan with more operations than that shows alike ones together, unless all are asked for."""

SHORT = len("blake3:") + 12
"""So much of a digest is shown beside other things; JSON and `inspect -v` have all of it."""


@dataclass(frozen=True)
class Row:
    """Cells, and what the row stands for."""

    cells: tuple[str, ...]
    tone: Tone = "plain"


@dataclass(frozen=True)
class Sheet:
    """A table; columns named in ``right`` hold numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    right: tuple[str, ...] = ()


def sheets(outcome: Outcome, symbols: Symbols, *, all_names: bool = False) -> list[Sheet]:
    """Every table of a run, in reading order."""
    found = []
    if outcome.inspected:
        found += [_layers(outcome.inspected), _widths(outcome.inspected, all_names=all_names)]
    if outcome.training:
        found.append(_training(outcome.training))
    if outcome.differences:
        found.append(_differences(outcome.differences, symbols))
    if outcome.plan:
        found.append(_operations(outcome.plan, symbols, all_names=all_names))
    if outcome.verification:
        found.append(_comparisons(outcome.verification))
    return [sheet for sheet in found if sheet.rows]


def sentences(outcome: Outcome, symbols: Symbols) -> list[Row]:
    """The lines below the tables: what was read and written, and the verdict last."""
    found = []
    if outcome.inspected and outcome.teacher:
        found += [Row((line,)) for line in _checkpoint(outcome.teacher)]
    elif outcome.teacher and outcome.spec is None and not outcome.shrunk:
        found.append(Row((_read_line(outcome.teacher),)))
    if outcome.student:
        found.append(Row((_part_line(outcome.student),)))
    if outcome.carried:
        found += [Row((line,)) for line in _carried(outcome.carried)]
    if outcome.training == ():
        found.append(Row(("nothing was found that cannot learn",), "good"))
    if outcome.shrunk:
        found += _shrunk(outcome.shrunk, outcome.teacher)
    if outcome.written:
        found.append(Row((f"saved as {outcome.written}",)))
    if outcome.differences is not None:
        found.append(Row((counted(len(outcome.differences), "difference"),)))
    if outcome.plan:
        found.append(Row((_plan_line(outcome.plan, symbols),)))
        found += _advice(outcome.plan, trains=outcome.student is not None)
    if outcome.verification:
        found += _verdict(outcome.verification)
    return found


def counted(number: int, noun: str) -> str:
    """``1 layer``, ``2 layers``, ``no layers``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else f"no {noun}s"


def bytes_of(number: int) -> str:
    """A size as a person reads it, in powers of 1000: ``36.8 kB``."""
    size, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"


def figure(number: float) -> str:
    """An error, to two digits."""
    return "0" if number == 0 else f"{number:.1e}"


def _training(found: Sequence[Finding]) -> Sheet:
    rows = [
        Row((item.layer, f"{item.count:,} of {item.of:,}", item.what, item.hint), "changed")
        for item in found
    ]
    return Sheet("Training", ("layer", "how many", "what cannot learn", "why, or what to do"),
                 tuple(rows), ("how many",))  # fmt: skip


def _layers(layout: Layout) -> Sheet:
    from net2net_cli.diff import shown
    from net2net_cli.layout import GraphLayout
    from net2net_cli.report.inspection import layer_rows, module_rows

    if not isinstance(layout, GraphLayout):
        modules = [
            Row((row.name, row.axes, _shape(row.shape), f"{row.count:,}", f"{row.parameters:,}"))
            for row in module_rows(layout)
        ]
        head = ("tensor", "axes", "shape", "times", "parameters")
        return Sheet("Tensors", head, tuple(modules), ("times", "parameters"))

    rows = [
        Row(
            (
                layer.name,
                layer.type,
                " ".join(f"{k}={shown(v)}" for k, v in layer.arguments.items()),
                _shape(layer.shape),
                f"{layer.parameters:,}" if layer.parameters else "",
            )
        )
        for layer in layer_rows(layout)
    ]
    head = ("layer", "type", "arguments", "gives", "parameters")
    return Sheet("Layers", head, tuple(rows), ("parameters",))


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _widths(layout: Layout, *, all_names: bool) -> Sheet:
    from net2net_cli.report.inspection import width_rows

    rows = [
        Row(
            (
                f"{width.name} {width.size:,}".strip(),
                _names(width.members, all_names=all_names),
                ", ".join(width.grows) or "frozen",
                "; ".join(width.reasons),
            )
        )
        for width in width_rows(layout)
    ]
    return Sheet("Widths", ("width", "layers", "grows by", "because"), tuple(rows), ("width",))


def _differences(found: Sequence[Difference], symbols: Symbols) -> Sheet:
    rows = []
    for item in found:
        change = f"{item.what} {_arrow(item.before, item.after, symbols)}".strip()
        match item.kind:
            case "added":
                rows.append(Row(("+", item.layer, change), "new"))
            case "removed":
                rows.append(Row((symbols.minus, item.layer, change), "gone"))
            case _:
                rows.append(Row(("~", item.layer, change), "changed"))
    return Sheet("Differences", ("", "layer", "change"), tuple(rows))


def _operations(plan: Plan, symbols: Symbols, *, all_names: bool) -> Sheet:
    rows = [_operation(item, symbols) for item in plan.operations]
    if len(rows) > FOLDED and not all_names:
        rows = _folded(rows)
    return Sheet("Plan", ("", "operation", "change", "touches", "exact because"), tuple(rows))


def _folded(rows: Sequence[Row]) -> list[Row]:
    """Rows that differ in their layers alone as one, which names some of them."""
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        verb, _, _ = row.cells[1].partition(" ")
        alike.setdefault((verb, row.cells[2], row.cells[4]), []).append(row)
    found = []
    for (verb, change, how), same in alike.items():
        if len(same) == 1:
            own = same[0].cells
            touched = _names(own[3].split(", "), all_names=False)
            found.append(Row((*own[:3], touched, own[4]), same[0].tone))
            continue
        names = [row.cells[1].removeprefix(f"{verb} ") for row in same]
        noun = {"widen": "width", "insert": "layer", "rescale": "norm"}.get(verb, "part")
        touched = _names(names, all_names=False)
        cells = (same[0].cells[0], f"{verb} {counted(len(same), noun)}", change, touched, how)
        found.append(Row(cells, same[0].tone))
    return found


def _operation(item: Operation, symbols: Symbols) -> Row:
    from net2net_cli.plan import Insert, Rescale, Widen

    match item:
        case Widen():
            return _widen(item, symbols)
        case Insert():
            return _insert(item)
        case Rescale():
            change = f"{item.argument} {_arrow(f'{item.before:g}', f'{item.after:g}', symbols)}"
            return Row(("~", f"rescale {item.layer}", change, item.layer, item.how), "changed")
        case _:
            assert_never(item)


def _widen(item: Widen, symbols: Symbols) -> Row:
    """All layers are named: they are what a person must change together. A width that a config
    key names needs that key only."""
    unit = " groups" if ".groups" in item.width else ""
    by = ", ".join(word for word in (item.expansion, item.split) if word)
    cells = (
        "~",
        f"widen {item.name}",
        _arrow(f"{item.before:,}", f"{item.after:,}{unit}", symbols),
        _names(item.members, all_names=not item.label),
        f"{by}: {item.how}{_statistics(item)}",
    )
    return Row(cells, "changed")


def _insert(item: Insert) -> Row:
    how = item.how + _statistics(item)
    return Row(("+", f"insert {item.layer}", item.type, item.value or "", how), "new")


def _statistics(item: Widen | Insert) -> str:
    """Where a BatchNorm's come from; nothing of those that torch begins with."""
    return f" (statistics: {item.moments})" if item.moments not in (None, "initial") else ""


def _plan_line(plan: Plan, symbols: Symbols) -> str:
    from net2net_cli.plan import kind_of

    if not plan.changes:
        return "nothing to do: the checkpoint is what the target asks for"
    kinds = [kind_of(item) for item in plan.operations]
    done = {
        "widen": counted(kinds.count("widen"), "width") + " grown",
        "insert": counted(kinds.count("insert"), _inserted(plan)) + " inserted",
        "rescale": counted(kinds.count("rescale"), _rescaled(plan)) + " rescaled",
    }
    said = ", ".join(text for kind, text in done.items() if kind in kinds)
    before, after = plan.before, plan.after
    ratio = f"{after.parameters / before.parameters:.3g}" if before.parameters else "1"
    times = "" if ratio == "1" else f" ({symbols.times}{ratio})"
    count = _arrow(f"{before.parameters:,}", f"{after.parameters:,}", symbols)
    size = _arrow(bytes_of(before.nbytes), bytes_of(after.nbytes), symbols)
    return f"{said}; {count} parameters{times}, {size}"


def _advice(plan: Plan, *, trains: bool) -> list[Row]:
    """Why widths grow as they do; and how to train on, where there is a student."""
    from net2net_cli.advice import advice

    found = advice(plan)
    if found is None:
        return []
    why = [Row((f"auto took {found.why}",))] if found.why else []
    if not trains:
        return why
    new = _names(found.new, all_names=False)
    grown = f"in part {_names(found.grown, all_names=False)}" if found.grown else ""
    told = "; ".join(text for text in (new, grown) if text)
    lines = (f"train on: {found.rate}", f"watch: {found.watch}", f"new: {told}")
    return why + [Row((line,)) for line in lines]


def _inserted(plan: Plan) -> str:
    from net2net_cli.plan import Insert

    types = {item.type for item in plan.operations if isinstance(item, Insert)}
    return "block" if types == {"block"} else "layer"


def _rescaled(plan: Plan) -> str:
    """What rescaling changes: a norm's eps, or keys of a config."""
    from net2net_cli.plan import Rescale

    layers = {item.layer for item in plan.operations if isinstance(item, Rescale)}
    return "config key" if layers == {"config.json"} else "norm"


def _comparisons(verification: Verification) -> Sheet:
    rows = []
    for judged in verification.probes:
        found = judged.comparison
        agrees = found.argmax_agreement
        cells = (
            found.mode,
            f"{found.probes} in {found.dtype}",
            figure(found.max_error),
            figure(found.relative_error),
            figure(judged.tolerance),
            "" if agrees is None else f"{agrees:.1%}",
            "same" if judged.passed else "DIFFERENT",
        )
        rows.append(Row(cells, "good" if judged.passed else "bad"))
    head = ("mode", "probes", "max error", "relative", "tolerance", "arg max agrees", "function")
    return Sheet("Verification", head, tuple(rows), head[2:6])


def _verdict(verification: Verification) -> list[Row]:
    found = [_proved(verification.proof)] if verification.proof else []
    if verification.skipped:
        found.append(Row((f"not probed: {verification.skipped}",)))
    elif verification.passed:
        found.append(Row(("the student computes what the teacher computes",), "good"))
    else:
        found.append(Row(("the student does not compute what the teacher computes",), "bad"))
    return found


def _proved(proof: Proof) -> Row:
    if not proof.holds:
        return Row((f"the proof fails for {_names(proof.failed, all_names=False)}",), "bad")
    widths = f"D E = I for {counted(proof.widths, 'width')}; " if proof.widths else ""
    return Row(
        (f"proved: {widths}{counted(proof.tensors, 'tensor')}, each in its shape and dtype",)
    )


def _carried(found: Carried) -> list[str]:
    """What became of an optimizer's state, and of what lay beside it."""
    kinds = ", ".join(dict.fromkeys(found.optimizers)) or "an unknown optimizer"
    by = f" by the {found.map} map" if found.map else ""
    did = "started afresh" if found.reset else f"carried on{by}"
    new = f", {counted(found.new, 'new one')}" if found.new else ""
    file = f"wrote {found.written}, {bytes_of(found.nbytes)}" if found.nbytes else "in it"
    count = counted(found.grown, "parameter")
    lines = [f"{file}: {kinds}, {did}, {count}{new}, in {found.order}"]
    if "Adam" in found.optimizers and found.map == "step" and not found.reset:
        lines.append(
            "by this map Adam goes on at the teacher's pace; --optimizer-map restart lets new units"
            " learn as fast as with no state"
        )
    if found.without:
        names = _names(found.without, all_names=False)
        lines.append(f"the teacher's optimizer keeps nothing of {names}")
    if found.averages:
        lines.append(f"grown as the weights are: {', '.join(found.averages)}")
    if found.passed:
        lines.append(f"as they were: {', '.join(found.passed)}")
    return lines


def _read_line(part: Checkpoint) -> str:
    return f"read {part.checkpoint}, its spec {part.spec}"


def _shrunk(found: Shrunk, teacher: Checkpoint | None) -> list[Row]:
    """What was written, and whether it is the teacher."""
    rows = [Row((_part_line(teacher),))] if teacher else []
    if found.same:
        return [*rows, Row(("every tensor is the teacher's, byte for byte",), "good")]
    if found.same is None:
        return [*rows, Row(("whether it is the teacher's every byte, the student does not tell",))]
    many = f"{len(found.rounded):,} of {counted(found.tensors, 'tensor')}"
    why = f"{many} are rounded" if found.rounded else "the weights are others"
    return [*rows, Row((f"not byte for byte the teacher: {why}",), "changed")]


def _part_line(part: Checkpoint) -> str:
    if part.header_digest:
        return _read_line(part)
    return f"wrote {part.checkpoint}, {bytes_of(part.nbytes or 0)}, {(part.digest or '')[:SHORT]}"


def _checkpoint(part: Checkpoint) -> list[str]:
    size = f"{counted(part.tensors or 0, 'tensor')}, {part.parameters or 0:,} parameters"
    lines = [f"{size}, {', '.join(part.dtypes)}, {bytes_of(part.nbytes or 0)}"]
    if part.spec:
        lines.append(f"spec: {part.spec}")
    lines += [f"{key}: {value}" for key, value in part.provenance.items()]
    if part.digest:
        lines.append(f"digest: {part.digest}")
    lines.append(f"header digest: {part.header_digest}")
    return lines


def _arrow(before: str, after: str, symbols: Symbols) -> str:
    return f" {symbols.arrow} ".join(side for side in (before, after) if side)


def _names(names: Sequence[str], *, all_names: bool) -> str:
    if all_names or len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
