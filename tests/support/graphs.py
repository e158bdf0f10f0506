"""Networks drawn at random: chains that branch, join, gate, share and end in several outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

from net2net_cli.spec import Document, dump, parse_document
from tests.support.draws import LARGEST, Draws, Entry, Shape, layer
from tests.support.memory import described


@dataclass(frozen=True)
class Drawn:
    """A drawn network as text, so that a failing example is shown as a person would write it."""

    text: str

    def __repr__(self) -> str:
        return f"\n{self.text}"

    @property
    def document(self) -> Document:
        return parse_document(self.text, "drawn.yaml")


@dataclass
class Sketch:
    """A network while it is drawn: its inputs, layers, and the shape of every value."""

    d: Draws
    inputs: dict[str, object] = field(default_factory=dict)
    layers: dict[str, Entry] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    def add(self, stem: str, entry: Entry, shape: Shape, *inputs: str) -> str:
        name = f"{stem}{len(self.layers)}"
        said: object = list(inputs) if len(inputs) > 1 else inputs[0]
        self.layers[name] = {**entry, "inputs": said}
        self.shapes[name] = shape
        self.read |= set(inputs)
        return name

    def value(self) -> str:
        """A value to go on from: mostly the last one."""
        names = [n for n, shape in self.shapes.items() if shape]
        return self.d.pick([names[-1], names[-1], names[-1], *names])

    def written(self, outputs: list[str]) -> Drawn:
        return Drawn(dump(described(self.layers, input=self.inputs, outputs=outputs)))


def _give_input(s: Sketch, name: str) -> None:
    kind = s.d.pick(["image", "image", "image", "vector", "sequence", "ids", "volume"])
    if kind == "ids":
        shape: Shape = (s.d.number(1, 4),)
        s.inputs[name] = {"shape": list(shape), "dtype": "int64", "high": 7}
        s.shapes[name] = ()
        width = s.d.number(1, 5)
        entry: Entry = {"type": "Embedding", "num_embeddings": 7, "embedding_dim": width}
        s.add("embed", entry, (*shape, width), name)
        return
    rank = {"vector": 0, "sequence": 1, "image": 2, "volume": 3}[kind]
    largest = 3 if rank == 3 else 5
    s.shapes[name] = (s.d.number(1, 4), *(s.d.number(3, largest) for _ in range(rank)))
    s.inputs[name] = list(s.shapes[name])


def _plain(s: Sketch) -> None:
    x = s.value()
    entry, shape = layer(s.d, s.shapes[x])
    s.add(str(entry["type"]).lower()[:6], entry, shape, x)


def _to_shape(s: Sketch, x: str, shape: Shape) -> str | None:
    """A layer that takes a value to another shape: a 1x1 convolution or a Linear."""
    own = s.shapes[x]
    if len(own) == len(shape) and own[1:] == shape[1:] and len(shape) in (2, 3, 4):
        entry: Entry = {
            "type": f"Conv{len(shape) - 1}d", "out_channels": shape[0], "kernel_size": 1,
        }  # fmt: skip
        return s.add("fit", entry, shape, x)
    if len(own) == len(shape) and own[:-1] == shape[:-1]:
        return s.add("fit", {"type": "Linear", "out_features": shape[-1]}, shape, x)
    return None


def _join(s: Sketch) -> None:
    """A sum, product or concatenation of values that are there, or of one made to fit."""
    x = s.value()
    shape = s.shapes[x]
    kind = s.d.pick(["Add", "Add", "Concat", "Concat", "Multiply"])
    others = [n for n, sh in s.shapes.items() if sh == shape and n != x]
    if kind == "Concat":
        _concat(s, x)
        return
    if not others or s.d.flag():
        fitted = [_to_shape(s, n, shape) for n in [s.value(), x]]
        others = [n for n in fitted if n] or others
    if others:
        picked = [s.d.pick(others) for _ in range(s.d.number(1, 2))]
        s.add(kind.lower(), {"type": kind}, shape, x, *picked)


def _concat(s: Sketch, x: str) -> None:
    shape = s.shapes[x]
    at = s.d.number(0, len(shape) - 1)
    fits = [
        n
        for n, sh in s.shapes.items()
        if len(sh) == len(shape) and sh[:at] == shape[:at] and sh[at + 1 :] == shape[at + 1 :]
    ]
    picked = [x, *(s.d.pick(fits) for _ in range(s.d.number(1, 2)))]
    size = sum(s.shapes[n][at] for n in picked)
    whole = (*shape[:at], size, *shape[at + 1 :])
    if prod(whole) <= LARGEST:
        s.add("concat", {"type": "Concat", "dim": at + 1}, whole, *picked)


def _broadcast(s: Sketch) -> None:
    """A value joined with one that has size 1 along some axes."""
    x = s.value()
    shape = s.shapes[x]
    fits = [
        n
        for n, sh in s.shapes.items()
        if len(sh) == len(shape) and all(a in (1, b) for a, b in zip(sh, shape, strict=True))
    ]
    kind = s.d.pick(["Multiply", "Add"])
    s.add(kind.lower(), {"type": kind}, shape, *s.d.order([x, s.d.pick(fits)]))


def _gate(s: Sketch) -> None:
    """Squeeze-and-excitation."""
    x = s.value()
    shape = s.shapes[x]
    if len(shape) != 3:
        return
    squeezed: Shape = (shape[0], 1, 1)
    y = s.add("squeeze", {"type": "AdaptiveAvgPool2d", "output_size": 1}, squeezed, x)
    inner = s.d.number(1, 4)
    y = s.add("down", {"type": "Conv2d", "out_channels": inner, "kernel_size": 1}, (inner, 1, 1), y)
    y = s.add("act", {"type": "ReLU"}, (inner, 1, 1), y)
    y = s.add("up", {"type": "Conv2d", "out_channels": shape[0], "kernel_size": 1}, squeezed, y)
    y = s.add("gate", {"type": s.d.pick(["Sigmoid", "Hardsigmoid"])}, squeezed, y)
    s.add("excite", {"type": "Multiply"}, shape, *s.d.order([x, y]))


def _block(s: Sketch) -> None:
    """A container with branches: residual, or Inception-like."""
    x = s.value()
    shape = s.shapes[x]
    kind = s.d.pick(["Add", "Concat"])
    branches: list[dict[str, Entry]] = []
    total = 0
    for index in range(s.d.number(1, 2)):
        out = shape[0] if kind == "Add" else s.d.number(1, 4)
        branch, width = _branch(s, f"{index}", shape, out)
        branches.append(branch)
        total += width
    identity = s.d.flag() or len(branches) == 1
    if identity:
        branches.append({})
        total += shape[0]
    size = shape[0] if kind == "Add" else total
    if prod((size, *shape[1:])) > LARGEST:
        return
    named = s.d.flag()
    listed: object = {f"b{i}": b for i, b in enumerate(branches)} if named else branches
    s.add(kind.lower(), {"type": kind, "branches": listed}, (size, *shape[1:]), x)


def _branch(s: Sketch, index: str, shape: Shape, out: int) -> tuple[dict[str, Entry], int]:
    """Layers that keep a value's shape but for its channels."""
    rank = len(shape) - 1
    core: Entry = {"type": f"Conv{rank}d", "kernel_size": s.d.number(1, 3), "padding": "same"}
    if rank == 0:
        core = {"type": "Linear"}
    size = "out_features" if rank == 0 else "out_channels"
    found: dict[str, Entry] = {}
    if s.d.flag():
        found[f"in{index}"] = {**core, size: s.d.number(1, 5)}
        if s.d.flag():
            found[f"norm{index}"] = {"type": f"BatchNorm{max(rank, 1)}d"}
        found[f"relu{index}"] = {"type": "ReLU"}
    found[f"out{index}"] = {**core, size: out}
    if s.d.flag():
        found[f"last{index}"] = {"type": f"BatchNorm{max(rank, 1)}d"}
    return found, out


def _share(s: Sketch) -> None:
    """A layer with another's parameters, on a value of the same shape."""
    owners = [
        (n, e)
        for n, e in s.layers.items()
        if str(e["type"]).startswith(("Conv", "Linear", "BatchNorm", "PReLU", "Layer"))
        and not e.keys() & {"share", "affine", "track_running_stats", "elementwise_affine"}
    ]
    if not owners:
        return
    name, entry = s.d.pick(owners)
    given = str(entry["inputs"])
    fits = [n for n, shape in s.shapes.items() if shape == s.shapes[given]]
    own = {k: v for k, v in entry.items() if k != "inputs"}
    share: object = name
    if str(entry["type"]).startswith(("Conv", "Linear")) and s.d.flag():
        share = {"weight": f"{name}.weight"}
    s.add("shared", {**own, "share": share}, s.shapes[name], s.d.pick(fits))


def _tie(s: Sketch) -> None:
    """A Linear with an Embedding's weight, as language models end."""
    owners = [(n, e) for n, e in s.layers.items() if e["type"] == "Embedding"]
    fits = [
        (n, name)
        for name, e in owners
        for n, shape in s.shapes.items()
        if shape and shape[-1] == e["embedding_dim"]
    ]
    if fits:
        x, owner = s.d.pick(fits)
        entry: Entry = {"type": "Linear", "out_features": 7, "bias": s.d.flag()}
        entry["share"] = {"weight": f"{owner}.weight"}
        s.add("tied", entry, (*s.shapes[x][:-1], 7), x)


STEPS: tuple[Callable[[Sketch], None], ...] = (
    *[_plain] * 9, _join, _join, _broadcast, _gate, _block, _block, _share, _tie,
)  # fmt: skip


def network(d: Draws, most: int = 8) -> Drawn:
    """A network of up to about twice ``most`` layers, every value small."""
    s = Sketch(d)
    for name in ["x", "y"][: d.pick([1, 1, 1, 2])]:
        _give_input(s, name)
    for _ in range(d.number(2, most)):
        d.pick(STEPS)(s)
    if not s.layers:
        _plain(s)
    return s.written(_outputs(s))


def _outputs(s: Sketch) -> list[str]:
    """Some of the values that nothing reads, most of them behind a layer that frees their width."""
    loose = [n for n in s.layers if n not in s.read]
    found = []
    for name in loose[-3:]:
        shape = s.shapes[name]
        if s.d.pick([True, True, True, False]):
            head: Entry = {"type": "Linear", "out_features": 3}
            flat = s.add("flat", {"type": "Flatten"}, (prod(shape),), name)
            name = s.add("head", head, (3,), flat)  # noqa: PLW2901
        found.append(name)
    return found
