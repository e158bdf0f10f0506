"""What of a network cannot learn: parts without a gradient, copies that stay copies, dead gains.

Weights tell of copies and gains. Of gradients only the network itself can tell: one of layers is
run forwards and backwards in training mode, on random inputs or given ones, before and after a
small step, since what gets no gradient at first (a fresh unit, whose readers are zero) may get one
from then on. Needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from net2net_cli.axes import Axis, Number, Product, Sum, Width, size_of, widths
from net2net_cli.layout import LaidTensor, Layout, tensor_widths
from net2net_cli.opening import FamilyModel, Model, SpecModel
from net2net_cli.verification import ProbeOptions, probe_inputs

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Parameter

    from net2net_cli.io import Source

Trouble = Literal["no gradient", "copies", "gain"]

PROBES = 64
"""Random inputs: so many that a unit which none of them reaches is dead."""

STEP = 1e-3
"""The length of the small step, in units of the weights' root mean square."""


@dataclass(frozen=True)
class Finding:
    """One thing that will not learn: ``count`` of ``of`` units or entries of a ``layer``."""

    trouble: Trouble
    layer: str
    count: int
    of: int
    what: str
    hint: str


def findings(model: Model, options: ProbeOptions) -> tuple[Finding, ...]:
    """Everything that was found, in the network's order; gradients of layer specs only."""
    layout = model.layout
    state = _Read(model.source, [n for n in layout.tensors if n in model.source.tensors])
    found = [*_gains(model, layout, state), *_copies(model, layout, state)]
    if isinstance(model, SpecModel):
        found += _without_gradient(model, layout, options)
    names = (n for name, t in layout.tensors.items() for n in (t.layer, name.rpartition(".")[0]))
    order = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return tuple(sorted(found, key=lambda f: (order.get(f.layer, 0), f.trouble)))


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


def _without_gradient(model: SpecModel, layout: Layout, options: ProbeOptions) -> Iterator[Finding]:
    still = _still(model, options)
    told: set[str] = set()
    for name, where in still.items():
        if bool(where.all()):
            told.add(name)
            yield Finding(
                "no gradient",
                layout.tensors[name].layer,
                where.numel(),
                where.numel(),
                f"{name} gets no gradient",
                "what it gives reaches no output: is a gain, or all that reads it, 0?",
            )
    for width, members in _members(layout, still).items():
        seen = [u.all(1) for n in members if n not in told for u in _units(still, layout, n, width)]
        dead = int(sum(seen[1:], seen[0].int()).eq(len(seen)).sum()) if seen else 0
        if dead:
            yield Finding(
                "no gradient",
                layout.tensors[members[0]].layer,
                dead,
                layout.sizes[width],
                "units get no gradient: neither what writes them nor what reads them",
                "dead behind a ReLU, on these inputs: --probe-data FILE gives real ones",
            )


def _still(model: SpecModel, options: ProbeOptions) -> Mapping[str, Tensor]:
    """Where each parameter gets no gradient, neither at first nor after a small step; bool."""
    import torch

    from net2net_cli.verify.memory import require_room
    from net2net_cli.verify.network import as_mode, build
    from net2net_cli.verify.state import named_parameters

    state = {name: model.source.tensor(name).clone() for name in model.source.tensors}
    network = build(model.spec, state, label=model.source.label)
    count = 1 if options.data else options.probes
    require_room(count * network.example_bytes, f"{count} inputs at once", options.memory)
    inputs = tuple(probe_inputs(model, options).values())
    parameters = named_parameters([(step.layer, step.module) for step in network.steps])
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in parameters.items()}
    generator = torch.Generator().manual_seed(options.seed)
    with as_mode(network, "training"):
        for _ in range(2):
            gradients = _gradients(network(*inputs), list(parameters.values()), generator)
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                masks[name] &= gradient == 0
                length = STEP * max(float(parameter.detach().square().mean().sqrt()), STEP)
                size = float(gradient.square().mean().sqrt())
                parameter.data.sub_(gradient, alpha=length / size if size else 0.0)
    return masks


def _gradients(
    outputs: Sequence[Tensor], parameters: list[Parameter], generator: Generator
) -> list[Tensor]:
    """Those of a random function of the outputs; 0 for what no output depends on."""
    import torch

    parts = []
    for value in outputs:
        if value.requires_grad:
            wanted = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            parts.append((value * wanted).sum())
    loss = torch.stack(parts).sum()
    return list(torch.autograd.grad(loss, parameters, materialize_grads=True))
