"""Axes as expressions of widths, and the unification that finds which widths are one.

    axis = width | number | (axis axis)   a product, outermost first
                          | (axis + axis) laid end to end

Unifying two axes says that they hold the same features in the same order. A width unified with
a product is factored, with a sum it is cut; what cannot be aligned is *fixed*: it keeps its size,
with the reason. Knows sizes, no tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod


@dataclass(frozen=True)
class Number:
    """An axis, or a part of one, that never grows."""

    size: int


@dataclass(frozen=True)
class Width:
    """A set of features that grow together; ``name`` is unique within one Unifier."""

    name: str


@dataclass(frozen=True)
class Product:
    """Factors, outermost first: features of one factor repeat inside each of the one before."""

    factors: tuple[Axis, ...]


@dataclass(frozen=True)
class Sum:
    """Terms laid end to end."""

    terms: tuple[Axis, ...]


Axis = Number | Width | Product | Sum


def widths(axis: Axis) -> Iterator[Width]:
    """Every width in an axis, outermost or first first, repeats included."""
    match axis:
        case Width():
            yield axis
        case Product(parts) | Sum(parts):
            for part in parts:
                yield from widths(part)
        case Number():
            return


def product(*factors: Axis) -> Axis:
    """A product in normal form: flat, no ones, numbers multiplied, an outermost sum outside."""
    flat: list[Axis] = []
    for factor in factors:
        for part in factor.factors if isinstance(factor, Product) else (factor,):
            if isinstance(part, Number) and flat and isinstance(flat[-1], Number):
                flat[-1] = Number(flat[-1].size * part.size)
            elif part != Number(1):
                flat.append(part)
    if len(flat) > 1 and isinstance(flat[0], Sum):
        return total(*(product(term, *flat[1:]) for term in flat[0].terms))
    return flat[0] if len(flat) == 1 else Product(tuple(flat)) if flat else Number(1)


def total(*terms: Axis) -> Axis:
    """A sum in normal form: flat, neighbouring numbers added."""
    flat: list[Axis] = []
    for term in terms:
        for part in term.terms if isinstance(term, Sum) else (term,):
            if isinstance(part, Number) and flat and isinstance(flat[-1], Number):
                flat[-1] = Number(flat[-1].size + part.size)
            else:
                flat.append(part)
    return flat[0] if len(flat) == 1 else Sum(tuple(flat))


def size_of(axis: Axis, sizes: Mapping[Width, int]) -> int:
    """The number of features of an axis, given the size of each of its widths."""
    match axis:
        case Number(size):
            return size
        case Width():
            return sizes[axis]
        case Product(factors):
            return prod(size_of(f, sizes) for f in factors)
        case Sum(terms):
            return sum(size_of(t, sizes) for t in terms)


@dataclass
class Unifier:
    """The widths of one network while its layers are laid out.

    ``sizes`` holds every width's size, ``bound`` what a width turned out to be, ``fixed`` the
    axes that could not be aligned, with the reason; ``ages`` counts widths as they are made.
    """

    sizes: dict[Width, int] = field(default_factory=dict)
    bound: dict[Width, Axis] = field(default_factory=dict)
    fixed: list[tuple[Axis, str]] = field(default_factory=list)
    ages: dict[Width, int] = field(default_factory=dict)

    def width(self, name: str, size: int) -> Width:
        """A new width; a number is appended where the name is taken."""
        unique, count = Width(name), 1
        while unique in self.sizes:
            count += 1
            unique = Width(f"{name}#{count}")
        self.sizes[unique] = size
        self.ages[unique] = len(self.ages)
        return unique

    def size(self, axis: Axis) -> int:
        """The axis' number of features."""
        return size_of(axis, self.sizes)

    def resolve(self, axis: Axis) -> Axis:
        """The axis in normal form, every bound width replaced by what it is."""
        match axis:
            case Number():
                return axis
            case Width():
                return self.resolve(self.bound[axis]) if axis in self.bound else axis
            case Product(factors):
                return product(*(self.resolve(f) for f in factors))
            case Sum(terms):
                return total(*(self.resolve(t) for t in terms))

    def unify(self, a: Axis, b: Axis, where: str) -> None:
        """Make two axes of equal size one. ``where`` names what demands it, for the reasons."""
        a, b = self.resolve(a), self.resolve(b)
        if a == b:
            return
        if isinstance(a, Width) and isinstance(b, Width):  # the older name stays: chains stay short
            older, newer = sorted((a, b), key=self.ages.__getitem__)
            self._bind(newer, older, where)
        elif isinstance(b, Width) and not isinstance(a, Number):
            self._bind(b, a, where)
        elif isinstance(a, Width) and not isinstance(b, Number):
            self._bind(a, b, where)
        elif isinstance(a, Number) or isinstance(b, Number):
            self.fix(a, b, reason=f"{where} aligns it with an axis that never grows")
        elif isinstance(a, Sum) and isinstance(b, Sum):
            self._align_sums(a, b, where)
        elif isinstance(a, Product) and isinstance(b, Product):
            self._align_products(a, b, where)
        elif isinstance(a, Sum) and isinstance(b, Product):
            self._sum_as_product(a, b, where)
        elif isinstance(a, Product) and isinstance(b, Sum):
            self._sum_as_product(b, a, where)

    def fix(self, *axes: Axis, reason: str) -> None:
        """Keep every width of these axes at its size."""
        self.fixed.extend((axis, reason) for axis in axes)

    def _bind(self, width: Width, axis: Axis, where: str) -> None:
        if width in widths(axis):
            self.fix(width, axis, reason=f"{where} reorders it against itself")
        else:
            self.bound[width] = axis

    def _align_sums(self, a: Sum, b: Sum, where: str) -> None:
        left, right = a.terms[0], b.terms[0]
        sizes = self.size(left), self.size(right)
        if sizes[0] > sizes[1]:
            cut = self._cut(left, sizes[1])
        elif sizes[0] < sizes[1]:
            cut = self._cut(right, sizes[0])
        else:
            cut = (left, right)
        if cut is None:
            self.fix(a, b, reason=f"the parts laid end to end do not line up in {where}")
            return
        first = (
            (left, right) if sizes[0] == sizes[1] else (min((left, right), key=self.size), cut[0])
        )
        rest_a, rest_b = list(a.terms[1:]), list(b.terms[1:])
        if sizes[0] > sizes[1]:
            rest_a.insert(0, cut[1])
        elif sizes[0] < sizes[1]:
            rest_b.insert(0, cut[1])
        self.unify(*first, where)
        if rest_a and rest_b:
            self.unify(total(*rest_a), total(*rest_b), where)

    def _cut(self, axis: Axis, at: int) -> tuple[Axis, Axis] | None:
        """Cut an axis into two laid end to end, the first of size ``at``; None if impossible."""
        axis, size = self.resolve(axis), self.size(axis)
        match axis:
            case Number():
                return Number(at), Number(size - at)
            case Width():
                parts = self.width(axis.name, at), self.width(axis.name, size - at)
                self.bound[axis] = Sum(parts)
                return parts
            case Product(factors):
                inner = product(*factors[1:])
                steps, over = divmod(at, self.size(inner))
                outer = None if over else self._cut(factors[0], steps)
                return outer and (product(outer[0], inner), product(outer[1], inner))
            case Sum(terms):
                first = self.size(terms[0])
                if first == at:
                    return terms[0], total(*terms[1:])
                if first > at:
                    head = self._cut(terms[0], at)
                    return head and (head[0], total(head[1], *terms[1:]))
                rest = self._cut(total(*terms[1:]), at - first)
                return rest and (total(terms[0], rest[0]), rest[1])

    def _align_products(self, a: Product, b: Product, where: str) -> None:
        if self.size(a.factors[0]) < self.size(b.factors[0]):
            a, b = b, a
        large, head = a.factors[0], b.factors[0]
        if self.size(head) == 1 < self.size(large):  # its one feature may stand anywhere in there
            self.fix(head, reason=f"{where} aligns its one feature with several")
            self.unify(a, product(*b.factors[1:]), where)
            return
        quotient = self._quotient(large, head, where)
        if quotient is None:
            self.fix(a, b, reason=f"the groups do not line up in {where}")
            return
        self.unify(product(quotient, *a.factors[1:]), product(*b.factors[1:]), where)

    def _quotient(self, large: Axis, head: Axis, where: str) -> Axis | None:
        """View ``large`` as ``(head quotient)``; None where it cannot be."""
        size, over = divmod(self.size(large), self.size(head))
        if over:
            return None
        if size == 1:
            self.unify(large, head, where)
            return Number(1)
        if isinstance(large, Number):
            self.fix(head, reason=f"{where} aligns it with an axis that never grows")
            return Number(size)
        if not isinstance(large, Width) or large in widths(head):
            return None
        quotient = self.width(large.name, size)
        self.bound[large] = product(head, quotient)
        return quotient

    def _sum_as_product(self, a: Sum, b: Product, where: str) -> None:
        inner = product(*b.factors[1:])
        outer, step = b.factors[0], self.size(inner)
        if isinstance(outer, Width) and all(self.size(t) % step == 0 for t in a.terms):
            parts = tuple(self.width(outer.name, self.size(t) // step) for t in a.terms)
            self.bound[outer] = Sum(parts)
            for term, part in zip(a.terms, parts, strict=True):
                self.unify(term, product(part, inner), where)
            return
        self._equal_blocks(a, b, step, inner, where)

    def _equal_blocks(self, a: Sum, b: Product, step: int, inner: Axis, where: str) -> None:
        """A sum seen as equal blocks: ``(n x)`` with a number n makes all blocks one."""
        outer = b.factors[0]
        if isinstance(outer, Width):
            self.fix(outer, reason=f"{where} takes its groups across parts laid end to end")
        rest: Axis = a
        for left in range(self.size(outer) - 1, -1, -1):
            cut = self._cut(rest, step) if left else (rest, Number(0))
            if cut is None:
                self.fix(a, b, reason=f"the groups do not line up with the parts in {where}")
                return
            self.unify(cut[0], inner, where)
            rest = self.resolve(cut[1])
