"""What each layer that only the target has must do, so that the function stays.

Every layer that both networks have must see what it saw: its inputs are *exactly* values of the
teacher. Walking back from there, a new layer is an *identity* (Net2Deeper), or ends a branch in
*zeros* (a residual branch that adds nothing yet), or is *free* (whatever it computes is not read
yet). Where none of them is possible, the target is refused with the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from net2net_cli.errors import UnreachableError
from net2net_cli.intervals import Interval, fixed_interval, inside, intervals
from net2net_cli.layers.shapes import before_after, pad_pairs
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layers.zero import maps_zero
from net2net_cli.layout import GraphLayout
from net2net_cli.network import Layer


@dataclass(frozen=True)
class Exact:
    """Equals the teacher's value of that name, each channel ``repeat`` times; ``pads`` is what
    zero padding put around it, (before, after) for each spatial axis."""

    value: str
    repeat: int = 1
    pads: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Zero:
    """Is zero for every input."""


@dataclass(frozen=True)
class Free:
    """May be anything: nothing reads it yet with a weight other than zero."""


Duty = Exact | Zero | Free


@dataclass(frozen=True)
class Duties:
    """The duty of every layer of the target; ``taps``, for inserted convolutions, is the place of
    the identity kernel's one entry; ``zeroed`` names the layers whose parameters become zero."""

    of: Mapping[str, Duty]
    taps: Mapping[str, tuple[int, ...]]
    zeroed: frozenset[str]


def find_duties(source: GraphLayout, target: GraphLayout, matches: Mapping[str, str]) -> Duties:
    """Give every layer of the target its duty.

    ``matches`` maps target names to source names. Raises UnreachableError (exit 3) where a new
    layer can be nothing of the three, naming what would work.
    """
    return _Walk(source, target, matches).run()


def alike(source: GraphLayout, layer: Layer) -> str | None:
    """The source's layer whose tensors that never change a new layer has too: that with windows of
    the same size."""
    return next(
        (
            old.name
            for old in source.spec.layers
            if old.type == layer.type and old.args.get("window_size") == layer.args["window_size"]
        ),
        None,
    )


_PADS_NOTHING: tuple[tuple[int, int], ...] = ()
_INSERTABLE = (
    "Linear, Conv, BatchNorm, PReLU and activations after a value in their range can be"
    " inserted, and whole branches into a sum"
)


class _Walk:
    def __init__(
        self, source: GraphLayout, target: GraphLayout, matches: Mapping[str, str]
    ) -> None:
        self.source, self.target, self.matches = source, target, matches
        self.intervals = intervals(source.spec)
        self.duties: dict[str, Duty] = {}
        self.taps: dict[str, tuple[int, ...]] = {}
        self.zeroed: set[str] = set()
        self.asked: dict[str, str] = {}
        inputs = zip(target.spec.inputs, source.spec.inputs, strict=True)
        self.given = {new.name: old.name for new, old in inputs}
        self.anchors = self._anchors()

    def run(self) -> Duties:
        for new, old in zip(self.target.spec.outputs, self.source.spec.outputs, strict=True):
            self.need(new, Exact(old), "the network's output")
        for layer in reversed(self.target.spec.layers):
            if layer.name in self.matches:
                self.need(layer.name, Exact(self.matches[layer.name]), "the teacher")
            self._visit(layer)
        return Duties(self.duties, self.taps, frozenset(self.zeroed))

    def need(self, name: str, duty: Duty, by: str) -> None:
        """Lay a duty on a value; ``by`` names who needs it."""
        if name in self.given:
            present: Duty | None = Exact(self.given[name])
        else:
            present = self.duties.get(name)
        if present is None or isinstance(present, Free):
            self.duties[name], self.asked[name] = duty, by
        elif not isinstance(duty, Free) and duty != present:
            raise self._conflict(name, present, duty, by)

    def _conflict(self, name: str, present: Duty, duty: Duty, by: str) -> UnreachableError:
        if isinstance(present, Exact) and isinstance(duty, Exact):
            return self._rewired(name, duty, by)
        reader = by if isinstance(duty, Zero) else self.asked[name]
        return UnreachableError(
            f"`{name}` would have to be zero for `{reader}`, but the teacher's function needs it",
            where=self._place(reader),
        )

    def _rewired(self, name: str, duty: Exact, by: str) -> UnreachableError:
        return UnreachableError(
            f"`{by}` reads `{duty.value}` in the source, but `{name}` in the target",
            where=self._place(by),
            hint="a growth keeps what each layer reads; use `rename:` if a layer has a new name",
        )

    def _place(self, name: str) -> str | None:
        place = next((la.place for la in self.target.spec.layers if la.name == name), None)
        return str(place) if place else None

    def _refuse(self, layer: Layer, why: str, hint: str | None = None) -> UnreachableError:
        return UnreachableError(
            f"`{layer.name}` ({layer.type}) cannot be inserted here: {why}",
            where=layer.place,
            hint=hint,
        )

    def _anchors(self) -> dict[str, dict[str, int]]:
        """For every value of the target, the teacher's values that it could equal, each with the
        number of new layers in between."""
        found: dict[str, dict[str, int]] = {n: {s: 0} for n, s in self.given.items()}
        for layer in self.target.spec.layers:
            if layer.name in self.matches:
                found[layer.name] = {self.matches[layer.name]: 0}
                continue
            joined = layer.inputs if layer.type == "Add" else layer.inputs[:1]
            if LAYER_TYPES[layer.type].most != 1 and layer.type != "Add":
                joined = ()
            near: dict[str, int] = {}
            for name in joined:
                for value, steps in found[name].items():
                    near[value] = min(near.get(value, steps + 1), steps + 1)
            found[layer.name] = near
        return found

    def _visit(self, layer: Layer) -> None:
        duty = self.duties.setdefault(layer.name, Free())
        if layer.name in self.matches:
            self._matched(layer)
            return
        if layer.type == "Buffer":
            raise self._refuse(layer, "nothing says what it holds", "write it as a Constant")
        if layer.type == "WindowAttention" and not alike(self.source, layer):
            raise self._refuse(layer, "no window of the source has its size, hence its index")
        match duty:
            case Exact():
                self._identity(layer, duty)
            case Zero():
                self._zero(layer)
            case Free():
                for name in layer.inputs:
                    self.need(name, Free(), layer.name)

    def _matched(self, layer: Layer) -> None:
        before = self.source.spec.layer(self.matches[layer.name]).inputs
        pairs = self._assign(layer, before)
        if LAYER_TYPES[layer.type].most is not None and len(before) != len(layer.inputs):
            raise UnreachableError(
                f"`{layer.name}` ({layer.type}) reads other values than in the source",
                where=layer.place,
            )
        last = -1
        for value, position in zip(before, pairs, strict=True):
            self.need(layer.inputs[position], Exact(value), layer.name)
            if layer.type == "Concat" and position < last:
                raise UnreachableError(
                    f"`{layer.name}` lays its inputs end to end in another order than the source",
                    where=layer.place,
                )
            last = position
        for position in sorted(set(range(len(layer.inputs))) - set(pairs)):
            name = layer.inputs[position]
            if layer.type == "Multiply":
                raise self._refuse(layer, f"`{name}` would have to be one everywhere")
            self.need(name, Zero() if layer.type == "Add" else Free(), layer.name)

    def _assign(self, layer: Layer, before: tuple[str, ...]) -> list[int]:
        """For each input that a layer has in the source, the position of its new input."""
        taken: list[int] = []
        ordered = LAYER_TYPES[layer.type].most is not None
        for place, value in enumerate(before):
            near = [
                (self.anchors[name][value], position)
                for position, name in enumerate(layer.inputs)
                if position not in taken and value in self.anchors[name]
                if position == place or not ordered
            ]
            if not near:
                raise self._lost(layer, value)
            taken.append(min(near)[1])
        return taken

    def _lost(self, layer: Layer, value: str) -> UnreachableError:
        new_ones = [n for n in layer.inputs if n not in self.matches and n not in self.given]
        for new in map(self.target.spec.layer, new_ones):
            if LAYER_TYPES[new.type].most != 1 and new.type != "Add":
                return self._refuse(new, f"{new.type} is no identity on `{value}`", _INSERTABLE)
        return UnreachableError(
            f"`{layer.name}` reads `{value}` in the source,"
            f" but only {', '.join(f'`{n}`' for n in layer.inputs)} in the target",
            where=layer.place,
            hint="a growth keeps what each layer reads; use `rename:` if a layer has a new name",
        )

    def _identity(self, layer: Layer, duty: Exact) -> None:
        """Demand what makes a new layer the identity on the teacher's value."""
        if layer.share:
            raise self._refuse(layer, "it shares its parameters with a layer that is no identity")
        if layer.type == "Add":
            self._keep_one(layer, duty)
            return
        if LAYER_TYPES[layer.type].most != 1:
            raise self._refuse(layer, f"{layer.type} is no identity", _INSERTABLE)
        self.need(layer.inputs[0], self._before(layer, duty), layer.name)

    def _before(self, layer: Layer, duty: Exact) -> Exact:
        """What the input of an inserted layer must be, for its output to be ``duty``."""
        kind = LAYER_TYPES[layer.type]
        if layer.type == "Maxout":
            pieces = layer.args["pieces"]
            assert isinstance(pieces, int)
            return Exact(duty.value, duty.repeat * pieces, duty.pads)
        if layer.type in ("PReLU", "LayerScale"):
            return duty
        if kind.rule == "pointwise":
            return self._before_activation(layer, duty)
        if layer.type.startswith("BatchNorm"):
            return self._before_batch_norm(layer, duty)
        if layer.type == "Linear":
            return Exact(duty.value, pads=duty.pads)
        if kind.spatial in ("conv", "transposed"):
            return self._before_conv(layer, duty)
        if layer.type.startswith("ZeroPad"):
            return self._before_pad(layer, duty)
        if kind.spatial in ("pool", "adaptive"):
            return self._before_pool(layer, duty)
        raise self._refuse(
            layer,
            f"{layer.type} is no identity for any parameters",
            _INSERTABLE,
        )

    def _before_activation(self, layer: Layer, duty: Exact) -> Exact:
        known = self.intervals[duty.value]
        fixes = fixed_interval(layer)
        if inside(known, fixes):
            return duty
        if fixes is None:
            raise self._refuse(
                layer,
                f"{layer.type} leaves no interval of values as it is",
                "insert the layer with ReLU after values that are never negative, with PReLU"
                " anywhere, or without an activation",
            )
        raise self._refuse(
            layer,
            f"{layer.type} keeps only values in {_shown(fixes)},"
            f" but `{duty.value}` gives {_shown(known)}",
            self._places(fixes),
        )

    def _places(self, fixes: Interval) -> str:
        names = [
            layer.name
            for layer in self.source.spec.layers
            if inside(self.intervals[layer.name], fixes)
            and LAYER_TYPES[layer.type].rule != "softmax"
        ]
        if not names:
            return "use PReLU, whose slope starts at 1, or no activation"
        shown = ", ".join(f"`{n}`" for n in names[:4]) + (", ..." if len(names) > 4 else "")
        return f"it can stand after {shown}; or use PReLU, whose slope starts at 1"

    def _before_batch_norm(self, layer: Layer, duty: Exact) -> Exact:
        if not (layer.args["affine"] and layer.args["track_running_stats"]):
            raise self._refuse(
                layer, "without affine parameters and running statistics it cannot undo itself"
            )
        return duty

    def _before_conv(self, layer: Layer, duty: Exact) -> Exact:
        if duty.pads != _PADS_NOTHING:
            raise self._refuse(layer, "the padding behind it would change the size")
        rank = len(self.target.values[layer.name].axes) - 1
        stride, dilation = layer.args["stride"], layer.args["dilation"]
        assert isinstance(stride, tuple)
        assert isinstance(dilation, tuple)
        if any(s != 1 for s in stride):
            raise self._refuse(layer, "its stride drops values", "use stride 1")
        explicit = self._explicit_pads(layer, rank)
        inner = before_after(layer.args, rank)
        sign = -1 if LAYER_TYPES[layer.type].spatial == "transposed" else 1
        reach = [b + sign * e for (b, _), (e, _) in zip(inner, explicit, strict=True)]
        spans = [sum(pair) for pair in before_after({**layer.args, "padding": "same"}, rank)]
        steps = [int(str(d)) for d in dilation]
        if any(r % d or not 0 <= r <= span for r, d, span in zip(reach, steps, spans, strict=True)):
            raise self._refuse(
                layer,
                "its padding is no multiple of its dilation, so no tap stands on the value itself",
                "give it an odd kernel, or no dilation",
            )
        taps = tuple(r // d for r, d in zip(reach, steps, strict=True))
        self._check_size(layer, duty)
        self.taps[layer.name] = taps
        pads = tuple(explicit) if any(p != (0, 0) for p in explicit) else _PADS_NOTHING
        return Exact(duty.value, 1, pads)

    def _explicit_pads(self, layer: Layer, rank: int) -> list[tuple[int, int]]:
        before = next((x for x in self.target.spec.layers if x.name == layer.inputs[0]), None)
        if before is None or before.name in self.matches or not before.type.startswith("ZeroPad"):
            return [(0, 0)] * rank
        return pad_pairs(before.args["padding"], rank)

    def _check_size(self, layer: Layer, duty: Exact) -> None:
        new, old = self.target.values[layer.name], self.source.values[duty.value]
        sizes = [self.target.size(axis) for axis in new.axes[1:]]
        wanted = [self.source.size(axis) for axis in old.axes[1:]]
        if sizes != wanted:
            transposed = LAYER_TYPES[layer.type].spatial == "transposed"
            raise self._refuse(
                layer,
                f"it makes {_image(wanted)} into {_image(sizes)}",
                "give it an odd kernel, and half of what it spans as padding"
                if transposed
                else "give it the padding that keeps the size: `padding: same`, or half the kernel",
            )

    def _before_pad(self, layer: Layer, duty: Exact) -> Exact:
        padding = layer.args["padding"]
        assert isinstance(padding, tuple)
        if duty.pads == _PADS_NOTHING and any(padding):
            raise self._refuse(
                layer, "padding changes the size", "put the convolution that uses it right behind"
            )
        return Exact(duty.value, duty.repeat)

    def _before_pool(self, layer: Layer, duty: Exact) -> Exact:
        kernel = layer.args.get("kernel_size", (2,))
        stride = layer.args.get("stride") or kernel
        assert isinstance(kernel, tuple)
        assert isinstance(stride, tuple)
        if {*kernel, *stride, layer.args.get("divisor_override") or 1} != {1}:
            raise self._refuse(layer, "pooling loses values")
        if layer.type.startswith("LPPool"):
            raise self._refuse(layer, "its powers and roots lose signs")
        return duty

    def _keep_one(self, layer: Layer, duty: Exact) -> None:
        near = [
            (self.anchors[name][duty.value], position)
            for position, name in enumerate(layer.inputs)
            if duty.value in self.anchors[name]
        ]
        if not near:
            raise self._refuse(layer, f"none of its inputs carries `{duty.value}`")
        kept = min(near)[1]
        for position, name in enumerate(layer.inputs):
            self.need(name, duty if position == kept else Zero(), layer.name)

    def _zero(self, layer: Layer) -> None:
        """Demand what makes a new layer zero: its own parameters, or its input."""
        kind = LAYER_TYPES[layer.type]
        if layer.type == "Constant":
            raise self._refuse(layer, "it ends a branch that must add nothing")
        if kind.most != 1 and not kind.tensors:
            for position, name in enumerate(layer.inputs):
                zero = kind.zeros in ("all", position)
                self.need(name, Zero() if zero else Free(), layer.name)
            return
        if kind.tensors and layer.type != "PReLU" and not layer.share:
            self._zero_parameters(layer)
            return
        adds = layer.share and layer.type not in ("PReLU", "LayerScale")
        if adds or not maps_zero(kind, layer.args) or kind.rule == "softmax":
            what = f"{layer.type} with another's parameters" if adds else layer.type
            raise self._refuse(
                layer,
                f"it ends a branch that must add nothing, and {what} does not keep zeros",
                "end the branch with a convolution, Linear or BatchNorm",
            )
        self.need(layer.inputs[0], Zero(), layer.name)

    def _zero_parameters(self, layer: Layer) -> None:
        if not (layer.args.get("affine", True) and layer.args.get("elementwise_affine", True)):
            self.need(layer.inputs[0], Zero(), layer.name)
            return
        self.zeroed.add(layer.name)
        for name in layer.inputs:
            self.need(name, Free(), layer.name)


def _shown(interval: Interval) -> str:
    if interval[0] == float("-inf") and interval[1] == float("inf"):
        return "any value"
    return f"[{interval[0]:g}, {interval[1]:g}]"


def _image(sizes: list[int]) -> str:
    return " x ".join(map(str, sizes)) or "a vector"
