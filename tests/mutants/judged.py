"""Growths of networks that stand in specs, each with one mistake at a time, and who notices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

from net2net_cli import making
from net2net_cli.api import Choices
from net2net_cli.errors import Net2NetError
from net2net_cli.expansion import KINDS as EXPANSIONS
from net2net_cli.expansion import Expansion, decode, encode, even_shares, expand
from net2net_cli.io import TensorInfo
from net2net_cli.plan import Rescale, Widen
from net2net_cli.spec import parse_document
from net2net_cli.targets import deepenings
from net2net_cli.verify.comparison import PROBES
from net2net_cli.verify.inputs import draw_inputs
from net2net_cli.verify.probe import probe
from net2net_cli.verify.proof import WidthProof
from net2net_cli.writing import prove_written
from tests.growth.joined_nets import JOINED_NETS
from tests.growth.layer_nets import LAYER_NETS
from tests.growth.nets import Net
from tests.mutants.mutations import KINDS
from tests.support.memory import EXACT, Growth, Judge, Student, built, model_of, teacher_of
from tests.support.oracle import unlike

NETS: Mapping[str, Net] = {net.name: net for net in (*LAYER_NETS, *JOINED_NETS)}
ROUNDING = 1e-13


@dataclass(frozen=True)
class Mutant:
    """A growth with one mistake: its kind, where it is, and who notices.

    ``harmless``: nobody did, and the function is the same for all that is known otherwise.
    """

    network: str
    growth: str
    kind: str
    where: str
    proof: bool
    probe: bool
    harmless: bool = False


@dataclass(frozen=True)
class Attempt:
    """One growth of one network, to be spoilt."""

    network: str
    label: str
    judge: Judge
    growth: Growth

    def mutants(self, draw: Random, each: int) -> Iterator[Mutant]:
        """``each`` mistakes of every kind that can be made here."""
        for kind, mutation in KINDS.items():
            places = list(self.growth.recipes)
            draw.shuffle(places)
            spoilt = (changed for r in places if (changed := mutation(r, draw)) is not None)
            for changed, _ in zip(spoilt, range(each), strict=False):
                recipes = tuple(
                    changed if r.name == changed.name else r for r in self.growth.recipes
                )
                student = self.judge.student(replace(self.growth, recipes=recipes))
                yield self._judged(kind, changed.name, student)
        yield from self._stale()
        yield from self._lost_units(draw)
        yield from self._wrong_header(draw)

    def _judged(self, kind: str, where: str, student: Student) -> Mutant:
        errors = self.judge.errors(student)
        caught = any(not error <= EXACT for error in errors.values())
        harmless = not caught and self._no_matter(where, student)
        return Mutant(
            self.network, self.label, kind, where, self._disproved(student), caught, harmless
        )

    def _no_matter(self, where: str, student: Student) -> bool:
        """Whether the tensor is still what it must be (shares of one weight may be any numbers with
        its sum), or the change, made fifty times as large, moves no output on other inputs and
        many: what a norm takes away again, what meets only zeros, what nothing reads."""
        kept = unlike(self.growth, self.judge.model.source.state, student.state)
        if kept.get(where, 1.0) <= ROUNDING:
            return True
        right = self.judge.student(self.growth).state[where]
        wild = right + 50 * (student.state[where] - right)
        if where.endswith("running_var"):
            wild = wild.abs()
        network = built(model_of(student.model.document, {**student.state, where: wild}))
        inputs = draw_inputs(self.judge.model.spec, 64, 17)
        return all(c.within(EXACT) for c in probe(self.judge.network, network, inputs))

    def _disproved(self, student: Student, grown: Mapping[str, Expansion] | None = None) -> bool:
        found = prove_written(
            self._widths(grown or {}),
            student.model.layout,
            self._dtypes(),
            student.model.source.tensors,
        )
        return not found.holds

    def _dtypes(self) -> Mapping[str, str]:
        wanted = self.growth.plan.choices.dtype
        return making.student_dtypes(self.growth.comparison, self.judge.model.dtypes, wanted)

    def _widths(self, grown: Mapping[str, Expansion]) -> list[WidthProof]:
        made = []
        for o in self.growth.plan.operations:
            if isinstance(o, Widen):
                e = grown.get(o.width) or self._expansion(o)
                made.append(WidthProof(o.name, o.before, encode(e), decode(e, even_shares(e))))
        return made

    def _expansion(self, o: Widen) -> Expansion:
        key = f"{self.growth.plan.choices.seed}/{o.width}"
        return expand(o.expansion, o.before, o.after, key)  # type: ignore[arg-type]

    def _stale(self) -> Iterator[Mutant]:
        """A norm whose eps does not follow its width."""
        for o in self.growth.plan.operations:
            if isinstance(o, Rescale):
                text = self.growth.plan.student.replace(f"eps: {o.after}", f"eps: {o.before}")
                assert text != self.growth.plan.student
                student = self.judge.student(self.growth)
                doc = parse_document(text, "stale.yaml")
                stale = replace(student, model=model_of(doc, student.state))
                errors = self.judge.errors(stale)
                caught = any(not error <= EXACT for error in errors.values())
                yield Mutant(self.network, self.label, "stale eps", o.layer, False, caught)

    def _lost_units(self, draw: Random) -> Iterator[Mutant]:
        """An expansion in which no unit copies one of the old ones any more."""
        for o in self.growth.plan.operations:
            if not isinstance(o, Widen) or o.before < 2 or o.expansion == "mean":
                continue  # a mean is taken of all units, or cannot be taken at all
            e = self._expansion(o)
            gone = draw.randrange(e.before)
            other = draw.choice([n for n in range(e.before) if n != gone])
            lossy = replace(e, index=tuple(other if n == gone else n for n in e.index))
            real = making._expansion

            def expansion(width, grown, choices, lossy=lossy, name=o.width, real=real):
                return lossy if width.name == name else real(width, grown, choices)

            with patch.object(making, "_expansion", expansion):
                recipes = making.make_recipes(
                    self.growth.comparison, self.growth.plan, self.judge.model.dtypes
                )
            student = self.judge.student(replace(self.growth, recipes=recipes))
            errors = self.judge.errors(student)
            caught = any(not error <= EXACT for error in errors.values())
            disproved = self._disproved(student, {o.width: lossy})
            yield Mutant(self.network, self.label, "lost unit", o.width, disproved, caught)

    def _wrong_header(self, draw: Random) -> Iterator[Mutant]:
        """A tensor that was not written, one too small, and one in another dtype."""
        student = self.judge.student(self.growth)
        names = [n for n, t in student.model.layout.tensors.items() if t.line.fill != "count"]
        name = draw.choice(names)
        there = dict(student.model.source.tensors)
        shape = there[name].shape
        smaller = TensorInfo(name, there[name].dtype, (shape[0] - 1, *shape[1:])) if shape else None
        without = {n: info for n, info in there.items() if n != name}
        other = "float32" if there[name].dtype == "float64" else "float64"
        another = {**there, name: TensorInfo(name, other, shape)}
        headers = {"missing tensor": without, "another dtype": another}
        if smaller:
            headers["short tensor"] = {**there, name: smaller}
        for kind, header in headers.items():
            holds = prove_written(
                self._widths({}), student.model.layout, self._dtypes(), header
            ).holds
            yield Mutant(self.network, self.label, kind, name, not holds, probe=False)


def attempts(name: str) -> Iterator[Attempt]:
    """A network made wider by every expansion that it bears, and deeper where a layer fits in."""
    net = NETS[name]
    judge = Judge(teacher_of(parse_document(net.spec(4), name), 1), PROBES)
    for expansion in EXPANSIONS:
        split = "signed" if expansion == "duplicate" else "even"
        asked = "duplicate" if expansion == "even" else expansion
        for size in (7, 8) if expansion == "duplicate" else (8,):
            try:
                target = parse_document(net.spec(size), name)
                growth = judge.prepare(target, Choices(asked, split, seed=3))
            except Net2NetError:
                continue
            yield Attempt(name, f"{asked} 4 to {size}, {split}", judge, growth)
    for layer in judge.model.spec.layers:
        try:
            ways = deepenings(judge.model.document, judge.model.layout, layer.name, None, 1)
            growth = judge.prepare(next(iter(ways)).document)
        except (Net2NetError, StopIteration):
            continue
        yield Attempt(name, f"deeper behind {layer.name}", judge, growth)


def mutants(name: str, each: int = 1) -> Iterator[Mutant]:
    """All mutants of one network, the same in every run."""
    draw = Random(name)
    for attempt in attempts(name):
        yield from attempt.mutants(draw, each)
