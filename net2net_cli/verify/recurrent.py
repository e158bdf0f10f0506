"""Torch's recurrent modules, as a spec has them: batch first, and one value comes out (which mypy
calls another signature)."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn


class _Returns(nn.RNNBase):
    """``[N, T, in]`` -> ``[N, T, directions * h]``, or a state ``[N, layers * directions, h]``."""

    def __init__(self, *, returns: str, **args: Any) -> None:
        super().__init__(**args, batch_first=True)
        self.returns = returns

    def forward(self, value: Tensor) -> Tensor:
        """The value that ``returns`` names."""
        with warnings.catch_warnings():  # weights that are read when they are used lie apart
            warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
            output, state = super().forward(value)
        states = state if isinstance(state, tuple) else (state,)
        found: Tensor = output
        if self.returns != "output":
            found = states[-1 if self.returns == "cell" else 0].transpose(0, 1)
        return found


class LSTM(_Returns, nn.LSTM):  # type: ignore[misc]
    """See ``_Returns``."""


class GRU(_Returns, nn.GRU):  # type: ignore[misc]
    """See ``_Returns``."""


class RNN(_Returns, nn.RNN):  # type: ignore[misc]
    """See ``_Returns``."""


MODULES = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}
