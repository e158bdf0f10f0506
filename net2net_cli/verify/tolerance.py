"""How far a preserved function may drift: the default of ``--tolerance``, a relative error.

Both networks are evaluated in float64, whatever the checkpoint's dtype, so arithmetic leaves about
1e-15 for each layer, and a student whose weights are exact copies or exact splits meets 1e-10 in
bfloat16 too. Three things leave more, and each has its own bound:

- **rounding**: a rule that scales weights (LayerNorm's mean rule, an even split by three) rounds
  each once in the checkpoint's dtype. The bound is some 16 half-units in the last place of the
  coarsest dtype: 1e-6 in float32, 1e-2 in float16, 5e-2 in bfloat16. Mistakes cost 0.3 and more.
- **an inserted BatchNorm in training mode**, which replaces a value's statistics by the batch's:
  1e-8 with statistics measured on the same batch (stored in the checkpoint's dtype: rounding
  applies as well). Estimated statistics are near where values are Gaussian (1e-2 and less), but
  0.05 to 0.5 was measured on trained and on deep networks, so that the bound is 1: it tells
  statistics left at 0 and 1, which cost 1.8. What is found is reported, and is no error.
- **evaluation in less than float64**, where it does not fit: sums in another order differ. Most of
  transformers' models run in float64 but for norms, softmax or rotation, which they take in float32
  whatever the dtype; a value that falls to the other side of a rounding moves the rest by up to
  6e-8 a block. Small models stay below 2e-6; the bound is 1e-5.

Knows no torch: dtypes are named as torch names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from net2net_cli.verify.comparison import Mode

EXACT = 1e-10
ESTIMATED = 1.0
MEASURED = 1e-8

ROUNDING = {"float64": EXACT, "float32": 1e-6, "float16": 1e-2, "bfloat16": 5e-2}
"""By the checkpoint's coarsest dtype, where the rules that were used round."""

MIXED = "float64 with parts in float32"
"""The dtype of a probe whose models narrow some of their values by themselves."""

EVALUATED_IN = {"float64": EXACT, MIXED: 1e-5, "float32": 1e-4, "float16": 5e-2, "bfloat16": 0.2}
"""By the dtype that the probe is computed in."""

Inserted = Literal["none", "measured", "estimated"]
"""Where the statistics of inserted BatchNorms come from: no such layer, this batch, elsewhere."""


def tolerance(
    dtypes: Iterable[str],
    *,
    mode: Mode = "evaluation",
    rounding: bool = False,
    inserted: Inserted = "none",
    evaluated_in: str = "float64",
) -> float:
    """The largest relative error that counts as preserved.

    ``dtypes`` are those of the student's tensors (integers are ignored); ``rounding`` says whether
    any of its weights were rounded; ``inserted`` matters in training mode only.
    """
    bounds = [EVALUATED_IN[evaluated_in]]
    measured = mode == "training" and inserted == "measured"
    if rounding or measured:
        bounds += [ROUNDING[dtype] for dtype in dtypes if dtype in ROUNDING]
    if measured:
        bounds.append(MEASURED)
    if mode == "training" and inserted == "estimated":
        bounds.append(ESTIMATED)
    return max(bounds)
