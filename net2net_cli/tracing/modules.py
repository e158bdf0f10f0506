"""Calls of torch.nn's own modules, each of which is one layer whatever operations it is made of.

Its type is the module's class, its arguments the module's attributes: a spec speaks torch's own
vocabulary. A module that is called twice is two layers that share their tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.fx import Node

from net2net_cli.layers.table import LAYER_TYPES, Arg, LayerType
from net2net_cli.network import Value
from net2net_cli.spec.arguments import normalise_default
from net2net_cli.tracing.drafts import Flow, Known, Origin, Shape
from net2net_cli.tracing.origins import origin_of, stack_of
from net2net_cli.tracing.reader import GETITEM, Reader, inputs_of, written_over

_RECURRENT = {"LSTM": ("output", "hidden", "cell"), "GRU": ("output", "hidden"),
              "RNN": ("output", "hidden")}  # fmt: skip
_TORCHVISION = {
    "torchvision.models.convnext.LayerNorm2d": "LayerNorm2d",
    "torchvision.models.swin_transformer.ShiftedWindowAttention": "WindowAttention",
    "torchvision.ops.stochastic_depth.StochasticDepth": "StochasticDepth",
}
"""Modules of torchvision's that are layer types."""
_STATEFUL = ("MultiheadAttention", *_RECURRENT)
"""Types that may be called with a tensor beside what they read."""
_LAST = ("features", "norm")
"""Rules of types that act on the last axes, whatever stands before them."""


@dataclass(eq=False)
class Call:
    """One call of a module that is a layer type, and the operations that it is made of."""

    module: nn.Module
    path: str
    nodes: list[Node] = field(default_factory=list)

    @property
    def kind(self) -> LayerType:
        """Its layer type."""
        return LAYER_TYPES[_type_of(self.module)]

    def collapse(self, reader: Reader) -> bool:
        """Adds its layer in place of its operations; False where they do not make one."""
        read = self._read(reader)
        given = self._given()
        if read is None or not given:
            return False
        first = [flow for _, flow in read]
        if getattr(self.module, "p", None) == 0 and self.kind.name.startswith("Dropout"):
            reader.values.update(dict.fromkeys(self.nodes, first[0]))
            return True
        if self.kind.name in _RECURRENT:
            made = self._recurrent(reader, first, given)
        else:
            made = {given[0]: self._plain(reader, first, given[0])} if len(given) == 1 else {}
        if not made:
            return False
        for node in self.nodes:
            reader.values[node] = None
        reader.values.update(made)
        self._overwrite(reader, [node for node, _ in read])
        return True

    def _overwrite(self, reader: Reader, read: list[Node]) -> None:
        """A module that works in place (``ReLU(inplace=True)``) changes what it reads."""
        for node in self.nodes:
            target = node.target
            if isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable:  # noqa: SLF001
                for source in read:
                    if node.args[:1] == (source,):
                        written_over(reader, node)

    def _read(self, reader: Reader) -> list[tuple[Node, Flow]] | None:
        """The values that flow into it; None where a layer cannot read what it reads."""
        found = []
        for node in inputs_of(self.nodes):
            value = reader.values[node]
            if isinstance(value, Flow):
                found.append((node, value))
            elif self.kind.name in _STATEFUL and isinstance(value, Known) and value.tensor.any():
                return None  # a mask, or a state to start from
        distinct = len({value for _, value in found})
        allowed = 3 if self.kind.name == "MultiheadAttention" else 1
        return found if 1 <= distinct <= allowed else None

    def _given(self) -> list[Node]:
        """The operations whose values are read outside."""
        inside = set(self.nodes)
        return [node for node in self.nodes if any(user not in inside for user in node.users)]

    def _plain(self, reader: Reader, read: list[Flow], given: Node) -> Flow:
        origin, kind = origin_of(self.nodes[0]), self.kind
        shape: Shape = tuple(given.meta["val"].shape)
        swapped = getattr(self.module, "batch_first", True) is False
        flows = []
        for flow in dict.fromkeys(read):
            turned = _swapped(flow) if swapped else flow
            loose = kind.rule == "pointwise" or (kind.rule in _LAST and _keeps_last(turned, self))
            flows.append(turned if loose else reader.natural(turned, origin))
        axes = None
        if kind.rule in ("pointwise", *_LAST):
            axes = flows[0].axes
            own = flows[0].source.shape
            shape = own if kind.rule == "pointwise" else (*own[:-1], shape[-1])
        elif swapped:
            shape = (shape[1], shape[0], *shape[2:])
            axes = ((1,), (0,), *((i,) for i in range(2, len(shape))))
        return reader.layer(
            kind.name, arguments(self.module, kind), flows, shape, self._origin(origin),
            tensors=self._tensors(), axes=axes, word=self.path.rpartition(".")[2],
        )  # fmt: skip

    def _origin(self, origin: Origin) -> Origin:
        return replace(origin, path=self.path, kind=_class_of(self.module))

    def _tensors(self) -> dict[str, str]:
        return {name: f"{self.path}.{name}" for name in self.module.state_dict()}

    def _recurrent(self, reader: Reader, read: list[Flow], given: list[Node]) -> dict[Node, Flow]:
        """One layer for each of its outputs that is read: the sequence, or the last states."""
        origin, kind = origin_of(self.nodes[0]), self.kind
        swapped = getattr(self.module, "batch_first", True) is False
        flow = reader.natural(_swapped(read[0]) if swapped else read[0], origin)
        made = {}
        for node in given:
            if node.target is not GETITEM or not isinstance(node.args[1], int):
                return {}
            returns = _RECURRENT[kind.name][node.args[1]]
            args = arguments(self.module, kind)
            shape: Shape = tuple(node.meta["val"].shape)
            axes = None
            if returns != "output":
                args["returns"] = returns
            if swapped or returns != "output":  # torch: [T, N, h], and [layers, N, h]
                shape, axes = (shape[1], shape[0], *shape[2:]), ((1,), (0,), (2,))
            made[node] = reader.layer(
                kind.name, args, [flow], shape, self._origin(origin), tensors=self._tensors(),
                axes=axes, word=self.path.rpartition(".")[2],
            )  # fmt: skip
        return made


def calls_of(module: nn.Module, nodes: Iterable[Node]) -> dict[Node, Call]:
    """The calls of modules that are layer types, by each of their operations."""
    found: dict[Node, Call] = {}
    calls: dict[str, Call] = {}
    for node in nodes:
        for call, path, _ in stack_of(node):
            if call not in calls:
                own = _layer_module(module, path)
                if own is None:
                    continue
                calls[call] = Call(own, path)
            calls[call].nodes.append(node)
            found[node] = calls[call]
            break
    return found


def arguments(module: nn.Module, kind: LayerType) -> dict[str, Value]:
    """The module's arguments as a spec says them, those left out that are defaults."""
    found: dict[str, Value] = {}
    for arg in kind.args:
        if arg.need == "inferred" or arg.name == "inplace" or not _has(module, arg):
            continue
        value = _plain_value(module, arg)
        if arg.name in ("kdim", "vdim") and value == module.embed_dim:
            continue
        if arg.need == "required" or _spread(kind, arg, value) != normalise_default(kind, arg):
            found[arg.name] = value if arg.kind == "ints" else compact(value)
    return found


def compact(value: Value) -> Value:
    """One number where all axes have the same."""
    if isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1:
        return value[0] if isinstance(value[0], (int, float)) else value
    return value


def _spread(kind: LayerType, arg: Arg, value: Value) -> Value:
    if arg.kind in ("size", "padding") and type(value) is int and kind.rank > 0:
        return (value,) * kind.rank
    if arg.kind == "float" and type(value) is int:
        return float(value)
    return value


def _has(module: nn.Module, arg: Arg) -> bool:
    return hasattr(module, arg.name) or arg.name == "bias" or _biased(module, arg) is not None


def _biased(module: nn.Module, arg: Arg) -> nn.Module | None:
    """The part of a module whose bias an argument is about: ``qkv`` for ``qkv_bias``."""
    part = getattr(module, arg.name.removesuffix("_bias"), None)
    return part if arg.name.endswith("_bias") and isinstance(part, nn.Module) else None


def _plain_value(module: nn.Module, arg: Arg) -> Value:
    if arg.name == "bias":
        own = getattr(module, "bias", None) if hasattr(module, "bias") else None
        own = module.in_proj_bias if hasattr(module, "in_proj_bias") else own
        return own if isinstance(own, bool) else own is not None
    part = _biased(module, arg)
    value = getattr(module, arg.name) if part is None else part.bias is not None
    if isinstance(value, (list, tuple)):
        return tuple(value)
    assert value is None or isinstance(value, (bool, int, float, str)), (module, arg)
    return value


def _layer_module(module: nn.Module, path: str) -> nn.Module | None:
    """The module of that path, where it is one of torch.nn's (or torchvision's) layer types."""
    try:
        own = module.get_submodule(path)
    except AttributeError:
        return None
    return own if path and _type_of(own) in LAYER_TYPES else None


def _type_of(module: nn.Module) -> str:
    """The layer type that a module would be, empty where it would be none."""
    name = type(module).__name__
    if type(module) is getattr(nn, name, None):
        return name
    return _TORCHVISION.get(_class_of(module), "")


def _class_of(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _swapped(flow: Flow) -> Flow:
    return Flow(flow.source, (flow.axes[1], flow.axes[0], *flow.axes[2:]), flow.origin)


def _keeps_last(flow: Flow, call: Call) -> bool:
    """Whether the last axes, on which a layer acts, are the last of the layer before, in order."""
    shape = getattr(call.module, "normalized_shape", (0,))
    count, own = len(shape), len(flow.source.shape)
    return flow.axes[-count:] == tuple((own - count + i,) for i in range(count))
