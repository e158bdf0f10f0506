"""What of a network cannot learn: parts without a gradient, copies that stay copies, dead gains.

Weights tell of copies and gains. Of gradients only the network itself can tell: it is run forwards
and backwards, on random inputs or given ones, before and after a small step, since what gets no
gradient at first (a fresh unit, whose readers are zero) may get one from then on. One of layers
runs in training mode, a transformer in evaluation mode, by `transformers`, where that is installed
and memory holds weights and gradients. Needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from net2net_cli.axes import Axis, Number, Product, Sum, Width, size_of, widths
from net2net_cli.families.lay import block_of
from net2net_cli.layout import LaidTensor, Layout, tensor_widths
from net2net_cli.opening import FamilyModel, Model, SpecModel
from net2net_cli.verification import ProbeOptions, probe_inputs

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.io import Source

Trouble = Literal["no gradient", "copies", "gain"]

PROBES = 64
"""Random inputs of a network of layers: so many that a unit which none of them reaches is dead."""


@dataclass(frozen=True)
class Finding:
    """One thing that will not learn: ``count`` of ``of`` units or entries of a ``layer``."""

    trouble: Trouble
    layer: str
    count: int
    of: int
    what: str
    hint: str


@dataclass(frozen=True)
class Trainability:
    """Everything that was found, in the network's order; ``notes`` say what could not be looked
    at."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def find_trouble(model: Model, options: ProbeOptions) -> Trainability:
    """Look at a checkpoint's weights and, where it can be run, at their gradients.

    CheckpointError for data that do not fit.
    """
    layout = model.layout
    state = _Read(model.source, [n for n in layout.tensors if n in model.source.tensors])
    found, notes = [*_gains(model, layout, state), *_copies(model, layout, state)], []
    still = _still(model, options)
    if isinstance(still, str):
        notes.append(f"no gradients were taken, only weights were looked at: {still}")
    else:
        found += _without_gradient(model, layout, still)
    names = (n for name, t in layout.tensors.items() for n in (t.layer, name.rpartition(".")[0]))
    order = {name: at for at, name in enumerate(dict.fromkeys(names))}
    found.sort(key=lambda f: (order.get(f.layer, 0), f.trouble))
    return Trainability(tuple(found), tuple(notes))


class _Read(Mapping[str, "Tensor"]):
    """Tensors of a checkpoint by name, each read when it is asked for."""

    def __init__(self, source: Source, names: Sequence[str]) -> None:
        self.source, self.names = source, dict.fromkeys(names)

    def __getitem__(self, name: str) -> Tensor:
        return self.source.tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names


def _gains(model: Model, layout: Layout, state: Mapping[str, Tensor]) -> Iterator[Finding]:
    for name in state:
        if (nothing := _no_gain(model, layout.tensors[name])) is None:
            continue
        value = state[name]
        count = int((value == nothing).sum())
        if count:
            yield Finding(
                "gain",
                name.rpartition(".")[0] or name,
                count,
                value.numel(),
                "the norm's gain is 0",
                "what comes before it learns only once the gain has moved, and where what reads it"
                " is 0, too, neither does: set one of them to what it was",
            )


def _no_gain(model: Model, tensor: LaidTensor) -> float | None:
    """The value that a norm's gain has where it lets nothing through; None for other tensors."""
    if isinstance(model, FamilyModel):
        if "gain" not in model.laid.rules[tensor.name].flags:
            return None
        return -1.0 if model.laid.family.stream.one_plus else 0.0
    assert isinstance(model, SpecModel)
    norm = "Norm" in model.spec.layer(tensor.layer).type
    return 0.0 if norm and tensor.line.fill == "ones" and not tensor.line.buffer else None


def _copies(model: Model, layout: Layout, state: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Units of a width that are alike in all that writes them and in all that reads them."""
    for width, members in _members(layout, state).items():
        alike = layout.sizes[width] - _different(
            (part for name in members for part in _units(state, layout, name, width)),
            layout.sizes[width],
        )
        if alike:
            dropout = isinstance(model, SpecModel) and any(
                layer.type.startswith("Dropout") for layer in model.spec.layers
            )
            hint = "only dropout can part them: " if dropout else "they learn as one unit: "
            yield Finding(
                "copies",
                layout.tensors[members[0]].layer,
                alike,
                layout.sizes[width],
                "units are copies of others, in all that writes and reads them",
                f"{hint}grow with --split signed or whole, or with --noise 0.01",
            )


def _members(layout: Layout, state: Mapping[str, Tensor]) -> Mapping[Width, list[str]]:
    """The tensors of every width that can grow."""
    free = set(layout.free())
    found: dict[Width, list[str]] = {}
    for name, tensor in layout.tensors.items():
        if name in state:
            for width in dict.fromkeys(tensor_widths(tensor)):
                if width in free:
                    found.setdefault(width, []).append(name)
    return found


def _units(
    values: Mapping[str, Tensor], layout: Layout, name: str, width: Width
) -> Iterator[Tensor]:
    """What a tensor holds of each unit of a width; [units, entries]."""
    for dim, factors in enumerate(layout.tensors[name].axes):
        axis = Product(tuple(factor.axis for factor in factors))
        yield from _fronted(values[name], dim, axis, width, layout.sizes)


def _fronted(
    value: Tensor, dim: int, axis: Axis, width: Width, sizes: Mapping[Width, int]
) -> Iterator[Tensor]:
    match axis:
        case Width() if axis == width:
            yield value.movedim(dim, 0).reshape(value.shape[dim], -1)
        case Product(factors):
            parts = [size_of(factor, sizes) for factor in factors]
            split = value.reshape(*value.shape[:dim], *parts, *value.shape[dim + 1 :])
            for at, factor in enumerate(factors):
                if width in widths(factor):
                    yield from _fronted(split, dim + at, factor, width, sizes)
        case Sum(terms):
            start = 0
            for term in terms:
                size = size_of(term, sizes)
                if width in widths(term):
                    yield from _fronted(value.narrow(dim, start, size), dim, term, width, sizes)
                start += size
        case Width() | Number():
            return


def _different(parts: Iterable[Tensor], units: int) -> int:
    """How many of the units differ from each other, told by a random sum over the bits of what each
    has: of whole numbers that may overflow, so that the order of adding does not matter."""
    import torch

    generator = torch.Generator().manual_seed(0)
    marks = []
    for part in parts:
        weight = torch.empty(part.shape[1], dtype=torch.int64).random_(generator=generator)
        bits = (part.double() + 0.0).contiguous().view(torch.int64)  # -0 is 0
        marks.append((bits * (2 * weight + 1)).sum(1))
    return len(torch.unique(torch.stack(marks, 1), dim=0)) if marks else units


@dataclass(frozen=True)
class _Still:
    """Where each parameter gets no gradient, neither at first nor after a small step; bool.
    ``chosen`` are widths of which each input takes part in some units alone: tokens, positions,
    experts."""

    masks: Mapping[str, Tensor]
    chosen: frozenset[Width] = frozenset()


def _still(model: Model, options: ProbeOptions) -> _Still | str:
    """Or why that cannot be told."""
    if isinstance(model, FamilyModel):
        return _still_family(model, options)
    assert isinstance(model, SpecModel)
    return _still_spec(model, options)


def _still_spec(model: SpecModel, options: ProbeOptions) -> _Still:
    from net2net_cli.verify.memory import require_room
    from net2net_cli.verify.network import as_mode, build
    from net2net_cli.verify.state import named_parameters
    from net2net_cli.verify.stillness import still

    state = {name: model.source.tensor(name).clone() for name in model.source.tensors}
    network = build(model.spec, state, label=model.source.label)
    count = 1 if options.data else options.probes
    require_room(count * network.example_bytes, f"{count} inputs at once", options.memory)
    inputs = tuple(probe_inputs(model, options).values())
    parameters = named_parameters([(step.layer, step.module) for step in network.steps])
    with as_mode(network, "training"):
        return _Still(still(parameters, lambda: network(*inputs), options.seed))


def _still_family(model: FamilyModel, options: ProbeOptions) -> _Still | str:
    from net2net_cli.verify.pretrained import Pretrained
    from net2net_cli.verify.pretrained_stillness import still_pretrained

    pretrained = Pretrained(model.laid.config, model.source)
    found = still_pretrained(pretrained, seed=options.seed, data=options.data)
    if isinstance(found, str):
        return found
    laid = model.laid
    rows = [
        f.axis
        for name in found.tables & laid.rules.keys()
        for f in laid.layout.tensors[name].axes[0]
    ]
    numbering = {key for numbers in laid.numbers.values() for key in numbers if key != "*"}
    picked = {width for axis in rows for width in widths(axis)}
    masks = {name: mask for name, mask in found.masks.items() if name in laid.rules}
    return _Still(masks, frozenset(picked | {Width(name) for name in numbering}))


def _without_gradient(model: Model, layout: Layout, still: _Still) -> Iterator[Finding]:
    told: set[str] = set()
    for pattern, names in _still_tensors(model, still.masks).items():
        told |= set(names)
        numbers = [at[1] for name in names if (at := _block(model, name))]
        where = f" in {_blocks(numbers)}" if numbers else ""
        count = sum(still.masks[name].numel() for name in names)
        yield Finding(
            "no gradient",
            layout.tensors[names[0]].layer,
            count,
            count,
            f"{pattern} gets no gradient{where}",
            "what it gives reaches no output: is a gain, or all that reads it, 0?",
        )
    moving = {name: mask for name, mask in still.masks.items() if name not in told}
    for width, members in _members(layout, moving).items():
        if width not in still.chosen:
            yield from _still_units(model, moving, width, members)


def _still_tensors(model: Model, masks: Mapping[str, Tensor]) -> Mapping[str, list[str]]:
    """Those of which no entry gets a gradient, by what they are called in all blocks. Of a block's
    experts none is told before all are: the others may only have got no input."""
    kinds: dict[tuple[str, object], list[str]] = {}
    for name in masks:
        kinds.setdefault((_pattern(model, name), _block(model, name)), []).append(name)
    found: dict[str, list[str]] = {}
    for (pattern, _), names in kinds.items():
        if all(bool(masks[name].all()) for name in names):
            found.setdefault(pattern, []).extend(names)
    return found


def _still_units(
    model: Model, masks: Mapping[str, Tensor], width: Width, members: Sequence[str]
) -> Iterator[Finding]:
    """Units that get no gradient anywhere, and those that get none within a block."""
    layout, size = model.layout, model.layout.sizes[width]

    def dead(names: Sequence[str]) -> Tensor:
        parts = [u.all(1) for name in names for u in _units(masks, layout, name, width)]
        return sum(parts[1:], parts[0].int()).eq(len(parts))

    def finding(layer: str, count: int, where: str) -> Finding:
        of = f"units of {width.name}" if isinstance(model, FamilyModel) else "units"
        return Finding(
            "no gradient",
            layer,
            count,
            size,
            f"{of} get no gradient{where}: neither what writes them nor what reads them",
            _UNITS_HINT if isinstance(model, FamilyModel) else _DEAD_HINT,
        )

    everywhere = dead(members)
    if count := int(everywhere.sum()):
        yield finding(layout.tensors[members[0]].layer, count, "")
    blocks: dict[tuple[str, int], list[str]] = {}
    for name in members:
        if (at := _block(model, name)) is not None:
            blocks.setdefault(at, []).append(name)
    for (row, number), names in blocks.items():
        if count := int((dead(names) & ~everywhere).sum()):
            yield finding(names[0].rpartition(".")[0], count, f" in {row}.{number}")


_DEAD_HINT = "dead behind a ReLU, on these inputs: --probe-data FILE gives real ones"
_UNITS_HINT = (
    "all that multiplies them is 0, or no input reaches them: grow with another --expansion, or"
    " give real inputs with --probe-data FILE"
)


def _block(model: Model, name: str) -> tuple[str, int] | None:
    return block_of(model.laid, name) if isinstance(model, FamilyModel) else None


def _pattern(model: Model, name: str) -> str:
    """A tensor's name with * for its block's number."""
    if not isinstance(model, FamilyModel):
        return name
    rule = model.laid.rules[name]
    return rule.pattern if rule.head else f"{model.laid.prefix}{rule.pattern}"


def _blocks(numbers: Sequence[int], shown: int = 4) -> str:
    ordered = sorted(set(numbers))
    more = f" and {len(ordered) - shown} more" if len(ordered) > shown else ""
    listed = ", ".join(map(str, ordered[:shown])) + more
    return f"block{'s' if len(ordered) > 1 else ''} {listed}"
