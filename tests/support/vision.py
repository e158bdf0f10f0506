"""torchvision's models, also where its compiled operators cannot be loaded (by torch for the CPU).

Importing torchvision registers fake kernels for two of them and fails where their schemas are
missing. The models of image classification use neither.
"""

from __future__ import annotations

from torch import library

try:
    from torchvision import models
except RuntimeError:  # no such operator
    for _operator in ("nms", "qnms"):
        library.define(
            f"torchvision::{_operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )
    from torchvision import models

__all__ = ["models"]
