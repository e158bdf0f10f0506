"""A network as the text of a Python file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from net2net_cli.export.alike import Alike, Families
from net2net_cli.export.body import Forward, forward_of
from net2net_cli.export.code import (
    STEP,
    WIDTH,
    Bracketed,
    Expression,
    Item,
    Numbered,
    Repeated,
    Text,
    call,
    flat,
    lines,
    listed,
    literal,
    quoted,
)
from net2net_cli.export.grouping import Unit, group
from net2net_cli.export.layers import (
    LEADING,
    Construct,
    Setting,
    expression_of,
    is_function,
    is_held,
)
from net2net_cli.export.members import Container, Member, Members, Path, members_of
from net2net_cli.export.names import RESERVED, counted, is_attribute, is_harmless, variable
from net2net_cli.export.tensors import FLOATS, common_float, exceptions, ties_of
from net2net_cli.export.written import HELPERS, held_value
from net2net_cli.layout import GraphLayout
from net2net_cli.network import Layer, Value

_FEW = 3
"""So many widths stand in a call without their names, and so many equal units one by one."""


@dataclass(frozen=True)
class Ref:
    """A parameter of the class in which an expression stands."""

    name: str


def source_of(layout: GraphLayout, dtypes: Mapping[str, str], name: str, header: str) -> str:
    """The file: ``header`` as its docstring, then the classes, the network's own, ``name``, last.

    ``dtypes`` are those of the checkpoint's tensors, by name: the network's state dict has the
    same names, shapes and dtypes.
    """
    return _Writer(layout, dtypes, name).text(header)


class _Writer:
    def __init__(self, layout: GraphLayout, dtypes: Mapping[str, str], name: str) -> None:
        self.layout, self.dtypes = layout, dtypes
        self.ties = ties_of(layout, dtypes)
        self.root = group(layout.spec, self.ties.together)
        self.members = members_of(self.root, layout, self.ties.absent)
        self.inputs = _input_names(self.root)
        self.alone: set[str] = set()
        for layer in layout.spec.layers:
            if self.alone.issuperset(layer.inputs):
                self.alone.add(layer.name)
        self.forwards = {
            path: self._forward(found) for path, found in self.members.items() if not found.chain
        }
        self.families = Families(self.root, self.members, self.forwards, name, tuple(HELPERS))

    def text(self, header: str) -> str:
        """The whole file."""
        classes = ["\n".join(self._class(alike)) for alike in self.families.all if alike.name]
        built = {
            member.made.function
            for found in self.members.values()
            for member in found.members
            if isinstance(member.made, Construct)
        }
        helpers = [text.rstrip() for kind, text in HELPERS.items() if kind in built]
        body = "\n\n\n".join([*helpers, *classes])
        imports = [f"import {name}" for name in ("base64", "zlib") if f"{name}." in body]
        if "OrderedDict(" in body:
            imports.append("from collections import OrderedDict")
        if imports:
            imports.append("")
        if "torch." in body:
            imports.append("import torch")
        imports.append(
            "from torch import Tensor, nn" if "Tensor" in body else "from torch import nn"
        )
        return "\n".join([f'"""{header}"""', "", *imports, "", "", body, ""])

    def _forward(self, found: Members) -> Forward:
        unit = found.unit
        given = ("x",) if len(unit.inputs) == 1 else ("x", "y", "z")[: len(unit.inputs)]
        parameters = given if unit.path else self.inputs

        def say(item: Layer | Unit, read: list[str]) -> Expression:
            return self._said(found, item, read)

        return forward_of(unit, parameters, say)

    def _said(self, found: Members, item: Layer | Unit, read: list[str]) -> Expression:
        if isinstance(item, Layer) and is_function(item):
            return expression_of(item, self._as_many(item, read))
        name = found.unit.within(self.ties.instead.get(item.name, item.name))
        again = item.name in self.ties.instead
        reached = self._reached(found, name) if again else found.reach(tuple(name.split(".")))
        borrowed = self.ties.borrowed.get(item.name, {})
        given = {own: self._tensor(found, full) for own, full in borrowed.items()}
        if isinstance(item, Layer) and is_held(item):
            tensor = next(iter(given.values()), reached)
            return held_value(item.type, tensor, read, item.args)
        if not given:
            return call(reached, *read)
        tensors = [Item(Text(text), f"{quoted(own)}: ") for own, text in given.items()]
        inputs = f"({read[0]},)" if len(read) == 1 else f"({', '.join(read)})"
        return call(
            "torch.func.functional_call", reached, Bracketed("{", tuple(tensors), "}"), inputs
        )

    def _as_many(self, item: Layer, read: list[str]) -> list[str]:
        """Tensors that all examples share, as often as there are examples, where that is needed."""
        shared = [value in self.alone for value in item.inputs]
        if item.type not in ("Concat", "Einsum") or all(shared) or not any(shared):
            return read
        count = f"{read[shared.index(False)]}.shape[0]"
        ranks = [len(self.layout.values[value].axes) for value in item.inputs]
        return [
            f"{text}.expand({', '.join([count, *['-1'] * rank])})" if one else text
            for text, rank, one in zip(read, ranks, shared, strict=True)
        ]

    def _tensor(self, found: Members, full: str) -> str:
        """A tensor of another layer, reached from a unit that holds both."""
        layer = self.ties.layer_of[full]
        path = found.unit.within(layer)
        text = self._reached(found, path)
        return text if full == layer else f"{text}.{full[len(layer) + 1 :]}"

    def _reached(self, found: Members, name: str) -> str:
        """A layer below a unit, through the units in between."""
        text, rest = "self", tuple(name.split("."))
        while True:
            inner = next(m for m in found.members if rest[: len(m.path)] == m.path)
            text = found.reach(inner.path, text)
            if not isinstance(inner.made, Unit):
                return text
            rest = rest[len(inner.path) :]
            found = self.members[inner.made.path]

    def _class(self, alike: Alike) -> Iterator[str]:
        """The lines of one class."""
        unit = alike.units[0]
        found = self.members[unit.path]
        yield f"class {alike.name}(nn.{'Sequential' if found.chain else 'Module'}):"
        yield f'{" " * STEP}"""{_told(alike, self.root)}"""'
        yield ""
        made = self._made(alike)
        yield from _signature(alike)
        if found.chain:
            yield from lines(_sequence("super().__init__", found.names, list(made.values())), 8)
        else:
            yield f"{' ' * 8}super().__init__()"
            yield from self._assignments(found, made)
        if unit is self.root:
            yield from self._settled()
        if not found.chain:
            yield ""
            yield from _forward_lines(self.forwards[unit.path], len(unit.outputs))

    def _made(self, alike: Alike) -> dict[Path, Expression]:
        """What makes each member, in terms of the parameters."""
        unit = alike.units[0]
        slots = [slot.setting.value for slot in self.families.slots(unit)]
        values: list[Value | Ref] = list(slots)
        for parameter in alike.parameters:
            for place in parameter.places:
                values[place] = Ref(parameter.name)
        given = iter(values)
        return {m.path: self._expression(m, given) for m in self.members[unit.path].members}

    def _expression(self, member: Member, values: Iterator[Value | Ref]) -> Expression:
        if isinstance(member.made, Construct):
            return _constructed(member.made, [next(values) for _ in member.made.settings])
        alike = self.families.of[member.made.path]
        if alike.name:
            settings = [parameter.setting for parameter in alike.parameters]
            return _called(alike.name, settings, [next(values) for _ in settings])
        inner = self.members[member.made.path]
        made = [self._expression(own, values) for own in inner.members]
        return _sequence("nn.Sequential", inner.names, made)

    def _assignments(self, found: Members, made: Mapping[Path, Expression]) -> Iterator[str]:
        """Each member under its name, those of a container with it."""
        for name in found.names:
            yield from self._assigned(found, made, (name,))

    def _assigned(
        self, found: Members, made: Mapping[Path, Expression], path: Path
    ) -> Iterator[str]:
        kind = found.container(path)
        expression = made[path] if kind is None else _contained(found, made, path)
        before, said = _placed(found, path, expression)
        yield from lines(said, 8, before)
        if path[-1] in RESERVED and not found.lasting(path):
            kept = f"{found.reach(path[:-1])}._non_persistent_buffers_set"
            yield f"{' ' * 8}{kept}.add({quoted(path[-1])})"
        if kind is not None:
            yield from self._filled(found, made, path, kind)

    def _filled(
        self, found: Members, made: Mapping[Path, Expression], path: Path, kind: Container
    ) -> Iterator[str]:
        """The members of modules that stand empty within a container, or are the container."""
        for below in _below(found, path):
            inner = found.container(below)
            if kind == "module":
                yield from self._assigned(found, made, below)
            elif inner is not None:
                yield from self._filled(found, made, below, inner)

    def _settled(self) -> Iterator[str]:
        """What is said once all is built: shared tensors, dtypes."""
        top = self.members[""]
        for alias, owner in self.ties.tied.items():
            yield from self._tied(top, alias, owner)
        for layer, tensors in self.ties.borrowed.items():
            for own in tensors:
                if own and layer not in self.ties.absent:
                    yield f"{' ' * 8}{self._reached(top, layer)}.{own} = None  # borrowed"
        common = common_float(self.dtypes)
        if common != "float32":
            yield f"{' ' * 8}self.to(torch.{common})"
        others = exceptions(self.dtypes, common)
        for dtype in dict.fromkeys(others.values()):
            yield from self._other_dtype(top, dtype, [n for n in others if others[n] == dtype])

    def _tied(self, top: Members, alias: str, owner: str) -> Iterator[str]:
        """One tensor under two names."""
        layer = self.ties.layer_of[owner]
        line = f"{' ' * 8}{self._tensor(top, alias)} = {self._tensor(top, owner)}"
        if len(line) <= WIDTH:
            yield line
            return
        yield f"{' ' * 8}owner = {self._reached(top, layer)}"
        yield f"{' ' * 8}{self._tensor(top, alias)} = owner{owner[len(layer) :]}"

    def _other_dtype(self, top: Members, dtype: str, names: Sequence[str]) -> Iterator[str]:
        """Tensors that have not the dtype of most: whole modules, where they have all of it."""
        own: dict[str, set[str]] = {}
        for name, kind in self.dtypes.items():
            if kind.startswith(FLOATS):
                own.setdefault(self.ties.layer_of[name], set()).add(name)
        whole = [n for n in dict.fromkeys(map(self.ties.layer_of.__getitem__, names))
                 if n not in names and own[n] <= {*names}]  # fmt: skip
        alone = [name for name in names if self.ties.layer_of[name] not in whole]
        for texts, what, said in (
            ([self._reached(top, name) for name in whole], "layer", "{}.to({})"),
            ([self._tensor(top, name) for name in alone], "tensor", "{0}.data = {0}.data.to({1})"),
        ):
            line = f"{' ' * 8}{said.format(texts[0] if texts else '', f'torch.{dtype}')}"
            if len(texts) == 1 and len(line) <= WIDTH:
                yield line
            elif texts:
                given = Bracketed("(", tuple(Item(Text(text)) for text in texts), ")")
                yield from lines(given, 8, f"for {what} in ", ":")
                yield f"{' ' * 12}{said.format(what, f'torch.{dtype}')}"


def _input_names(root: Unit) -> tuple[str, ...]:
    if len(root.inputs) == 1:
        return ("x",)
    found: list[str] = []
    for name in root.inputs:
        stem = text = variable(name) or "x"
        count = 1
        while text in found:
            count += 1
            text = f"{stem}{count}"
        found.append(text)
    return tuple(found)


def _signature(alike: Alike) -> Iterator[str]:
    items = [Item(Text("self"))]
    for parameter in alike.parameters:
        kinds = " | ".join(parameter.kinds)
        default = parameter.setting.default
        after = "" if isinstance(default, type) else f" = {literal(default)}"
        items.append(Item(Text(f"{parameter.name}: {kinds}{after}")))
    yield from lines(Bracketed("def __init__(", tuple(items), ")"), STEP, after=" -> None:")


def _forward_lines(forward: Forward, outputs: int) -> Iterator[str]:
    items = (Item(Text("self")), *(Item(Text(f"{p}: Tensor")) for p in forward.parameters))
    gives = "Tensor" if outputs == 1 else f"tuple[{', '.join(['Tensor'] * outputs)}]"
    if outputs > _FEW:
        gives = "tuple[Tensor, ...]"
    yield from lines(Bracketed("def forward(", items, ")"), STEP, after=f" -> {gives}:")
    for statement in forward.statements:
        yield from lines(statement.expression, 8, statement.before)


def _told(alike: Alike, root: Unit) -> str:
    """The docstring of a class: which units it is."""
    if alike.units[0] is root:
        return "The network."
    paths = [unit.path for unit in alike.units]
    first, last, count = paths[0], paths[-1], len(paths)
    plain = all(map(is_harmless, paths))
    ways = [
        ", ".join(paths) if count <= _FEW else f"{first} to {last}, {count} of them",
        first if count == 1 else f"{first} and {count - 1} more",
    ]
    fit = [f"{way}." for way in ways if plain and len(way) <= WIDTH - 12]
    return fit[0] if fit else "One unit." if count == 1 else f"{count} units that are alike."


def _constructed(made: Construct, values: Sequence[Value | Ref]) -> Expression:
    if isinstance(made.form, Text):
        texts = {s.name: _text(v) for s, v in zip(made.settings, values, strict=True)}
        return Text(made.form.text.format(**texts))
    if made.form is not None:
        return made.form
    return _called(made.function, made.settings, values)


def _called(function: str, settings: Sequence[Setting], values: Sequence[Value | Ref]) -> Bracketed:
    """A call of a constructor: widths in front without their names, defaults left out."""
    torch = function.startswith("nn.")
    leading = [s for s in settings if isinstance(s.default, type) and s.width]
    items = []
    for setting, value in zip(settings, values, strict=True):
        if value == setting.default and type(value) is type(setting.default):
            continue
        first = setting.name in LEADING if torch else len(leading) <= _FEW and setting in leading
        items.append(Item(Text(_text(value)), "" if first else f"{setting.name}="))
    return Bracketed(f"{function}(", tuple(items), ")")


def _text(value: Value | Ref) -> str:
    return value.name if isinstance(value, Ref) else literal(value)


def _sequence(function: str, names: Sequence[str], made: Sequence[Expression]) -> Expression:
    """``nn.Sequential``: of what it counts itself, or of names."""
    if counted(list(names)):
        return call(function, *_runs(made))
    if all(map(is_attribute, names)):
        numbered = _numbered(names, made)
        if numbered is not None:
            return call(function, numbered)
        pairs = dict(zip(names, made, strict=True))
        return call(function, call("OrderedDict", **pairs))
    tuples = [
        Bracketed("(", (Item(Text(quoted(name))), Item(expression)), ")")
        for name, expression in zip(names, made, strict=True)
    ]
    return call(function, call("OrderedDict", listed(*tuples)))


def _numbered(names: Sequence[str], made: Sequence[Expression]) -> Expression | None:
    """Many that are made alike, and called alike but for their numbers, which count."""
    stem = names[0].rstrip("0123456789")
    first = names[0][len(stem) :]
    if len(names) < _FEW or not first or str(int(first)) != first:
        return None
    ends = (int(first), int(first) + len(names))
    alike = all(flat(expression) == flat(made[0]) for expression in made)
    if not alike or list(names) != [f"{stem}{n}" for n in range(*ends)]:
        return None
    return Numbered(stem, made[0], ends)


def _runs(made: Sequence[Expression]) -> Iterator[Expression]:
    """Many in a row that are made alike, in one line."""
    at = 0
    while at < len(made):
        count = 1
        while at + count < len(made) and flat(made[at + count]) == flat(made[at]):
            count += 1
        yield from [Repeated(made[at], count)] if count >= _FEW else made[at : at + count]
        at += count


def _below(found: Members, path: Path) -> list[Path]:
    return list(
        dict.fromkeys(
            m.path[: len(path) + 1] for m in found.members if m.path[:-1][: len(path)] == path
        )
    )


def _contained(found: Members, made: Mapping[Path, Expression], path: Path) -> Expression:
    """A container with what is in it, or an empty module to be filled."""
    kind = found.container(path)
    if kind == "module":
        return call("nn.Module")
    inside = {
        below[-1]: made[below] if below in made else _contained(found, made, below)
        for below in _below(found, path)
    }
    if kind == "list":
        return call("nn.ModuleList", listed(*inside.values()))
    items = tuple(Item(expression, f"{quoted(name)}: ") for name, expression in inside.items())
    return call("nn.ModuleDict", Bracketed("{", items, "}"))


def _placed(found: Members, path: Path, made: Expression) -> tuple[str, Expression]:
    """The statement by which what is made becomes the member at a path: its begin, its end."""
    name, around, kind = path[-1], found.reach(path[:-1]), found.kind(path)
    if kind == "buffer" and name not in RESERVED:
        more = {} if found.lasting(path) else {"persistent": "False"}
        return "", call(f"{around}.register_buffer", quoted(name), made, **more)
    if is_attribute(name):
        return f"{around}.{name} = ", made
    if name in RESERVED:
        return f"{around}._{kind}s[{quoted(name)}] = ", made
    add = "register_parameter" if kind == "parameter" else "add_module"
    return "", call(f"{around}.{add}", quoted(name), made)
