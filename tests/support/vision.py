"""torchvision's models without its compiled operators, which a CPU build of torch cannot load.

Importing torchvision registers fake kernels for two of them and fails where their schemas are
missing. The models of image classification use neither.
"""

from __future__ import annotations

from torch import library

for _operator in ("nms", "qnms"):
    library.define(
        f"torchvision::{_operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    )

from torchvision import models  # only after the schemas

__all__ = ["models"]
