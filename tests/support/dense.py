"""Dense E and D, float64, written apart from the program: what its sparse maps are held against.

E of a product is the Kronecker product of its factors' E, of a sum the block diagonal, of a
number the identity; so is D. Fresh rows of E are drawn at random, as they may hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from net2net_cli.axes import Axis, Number, Product, Sum, Width
from net2net_cli.expansion import NEW, Expansion

Matrix = NDArray[np.float64]


def dense_encode(e: Expansion, rng: np.random.Generator) -> Matrix:
    """E, ``[after, before]``."""
    found = np.zeros((e.after, e.before))
    for j, n in enumerate(e.index):
        if n != NEW:
            found[j, n] = 1
        elif e.kind == "mean":
            found[j] = 1 / e.before
        elif e.kind == "fresh":
            found[j] = rng.normal(size=e.before)
    return found


def dense_decode(e: Expansion, rng: np.random.Generator | None) -> Matrix:
    """D, ``[before, after]``, with shares drawn at random, or even ones without a generator."""
    found = np.zeros((e.before, e.after))
    for n in range(e.before):
        copies = [j for j in range(e.after) if e.index[j] == n]
        shares = np.ones(len(copies)) if rng is None else rng.uniform(0.5, 1.5, len(copies))
        found[n, copies] = shares / shares.sum()
    return found


def along(axis: Axis, matrices: Mapping[Width, Matrix], sizes: Mapping[Width, int]) -> Matrix:
    """The matrix of an axis, from those of its widths (the identity where one has none)."""
    match axis:
        case Number(size):
            return np.eye(size)
        case Width():
            return matrices.get(axis, np.eye(sizes[axis]))
        case Product(factors):
            return reduce(np.kron, [along(f, matrices, sizes) for f in factors])
        case Sum(terms):
            return blocks([along(t, matrices, sizes) for t in terms])


def blocks(parts: Sequence[Matrix]) -> Matrix:
    """The block diagonal."""
    shape = (sum(p.shape[0] for p in parts), sum(p.shape[1] for p in parts))
    found, row, column = np.zeros(shape), 0, 0
    for part in parts:
        found[row : row + part.shape[0], column : column + part.shape[1]] = part
        row, column = row + part.shape[0], column + part.shape[1]
    return found


def applied(matrix: Matrix, tensor: Matrix, dim: int) -> Matrix:
    """A matrix times a tensor along one axis."""
    return np.moveaxis(np.tensordot(matrix, tensor, axes=(1, dim)), 0, dim)
