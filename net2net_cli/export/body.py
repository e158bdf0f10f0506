"""The statements of a unit's ``forward``, as a person would write them.

A value keeps the variable of the one that it is made of, where nothing else needs that; values that
live side by side are called after the layers that make them. Norms and activations stand around the
layer before them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from net2net_cli.export.code import Expression, Several, Text, flat
from net2net_cli.export.grouping import Unit, reads, writes
from net2net_cli.export.layers import is_source, stands_around
from net2net_cli.export.names import variable
from net2net_cli.network import Layer

Say = Callable[[Layer | Unit, list[str]], Expression]
"""What an item computes, given the texts of what it reads."""

DEEPEST, LONGEST = 3, 66
"""So many calls in one statement at most, and so many characters."""


@dataclass(frozen=True)
class Statement:
    """``before`` and an expression: ``x = ...``, ``return ...``."""

    before: str
    expression: Expression


@dataclass(frozen=True)
class Forward:
    """Names of what a unit reads, and its statements."""

    parameters: tuple[str, ...]
    statements: tuple[Statement, ...]


def forward_of(unit: Unit, parameters: tuple[str, ...], say: Say) -> Forward:
    """The forward of a unit, whose inputs have those names."""
    return _Writer(unit, parameters, say).run()


@dataclass
class _Pending:
    """A value that is said but has no variable yet."""

    value: str
    expression: Expression
    reads: tuple[str, ...]
    depth: int


class _Writer:
    def __init__(self, unit: Unit, parameters: tuple[str, ...], say: Say) -> None:
        self.unit, self.parameters, self.say = unit, parameters, say
        self.left = Counter(value for item in unit.items for value in reads(item))
        self.left.update(unit.outputs)
        self.uses = dict(self.left)
        self.called = dict(zip(unit.inputs, parameters, strict=True))
        self.statements: list[Statement] = []
        self.pending: _Pending | None = None

    def run(self) -> Forward:
        for item in self.unit.items:
            if isinstance(item, Layer) and is_source(item):
                self.called[item.name] = flat(self.say(item, []))
            elif not self._put_around(item):
                self._flush()
                self._begin(item)
        self._return()
        return Forward(self.parameters, tuple(self.statements))

    def _put_around(self, item: Layer | Unit) -> bool:
        """Write a norm or an activation around the value before, where it alone reads that."""
        last = self.pending
        if last is None or isinstance(item, Unit) or not stands_around(item):
            return False
        if item.inputs != (last.value,) or self.uses[last.value] > 1 or last.depth == DEEPEST:
            return False
        said = self.say(item, [flat(last.expression)])
        if len(flat(said)) > LONGEST:
            return False
        self.left.subtract(item.inputs)
        self.pending = _Pending(item.name, said, last.reads, last.depth + 1)
        return True

    def _begin(self, item: Layer | Unit) -> None:
        said = self.say(item, [self.called[value] for value in reads(item)])
        made = writes(item)
        self.left.subtract(reads(item))
        if len(made) == 1:
            self.pending = _Pending(made[0], said, reads(item), 1)
            return
        names = [self._new(value) for value in made]
        self.called.update(zip(made, names, strict=True))
        self.statements.append(Statement(f"{', '.join(names)} = ", said))

    def _flush(self) -> None:
        if self.pending is None:
            return
        last, self.pending = self.pending, None
        name = self._kept(last) or self._new(last.value)
        self.called[last.value] = name
        self.statements.append(Statement(f"{name} = ", last.expression))

    def _kept(self, last: _Pending) -> str | None:
        """The first variable whose value ends in this one; a branch gets its own."""
        ended = [value for value in last.reads if not self.left[value]]
        if len(set(last.reads)) == 1 and self.uses[last.reads[0]] > len(last.reads):
            return None
        names = [name for name in map(self.called.__getitem__, ended) if name.isidentifier()]
        free = [name for name in dict.fromkeys(self.called.values()) if name in names]
        return next((name for name in free if name not in self._live()), None)

    def _live(self) -> set[str]:
        return {name for value, name in self.called.items() if self.left[value]}

    def _new(self, value: str) -> str:
        stem = self._stem(value)
        taken = self._live()
        name, count = stem, 1
        while name in taken:
            count += 1
            name = f"{stem}{count}"
        self.called[value] = name
        return name

    def _stem(self, value: str) -> str:
        """What all that is made of a value has in common, as far as nothing else joins in."""
        found = []
        while True:
            item = next((i for i in self.unit.items if value in writes(i)), None)
            if item is None:
                break
            found.append(self.unit.within(item.name).partition(".")[0])
            readers = [i for i in self.unit.items if value in reads(i)]
            if len(readers) != 1 or self.uses[value] != 1 or len(reads(readers[0])) != 1:
                break
            (value,) = writes(readers[0])[:1]
        return (variable(found[0]) if len(set(found)) == 1 else "") or "out"

    def _return(self) -> None:
        outputs = self.unit.outputs
        if self.pending is not None and outputs == (self.pending.value,):
            self.statements.append(Statement("return ", self.pending.expression))
            return
        self._flush()
        names = tuple(self.called[value] for value in outputs)
        said = Text(names[0]) if len(names) == 1 else Several(names)
        self.statements.append(Statement("return ", said))
