"""Recurrent layer types: gates laid end to end, each of them as wide as the hidden state.

Names, order of gates and initialisation are torch.nn's. All layers and both directions of one
module have one hidden width, as torch's ``hidden_size`` says. A layer of a spec gives one value:
``returns`` says which (``hidden`` and ``cell`` with the layers behind the batch).
"""

from __future__ import annotations

from net2net_cli.layers.kinds import Arg, LayerType, flag, number, recurrent_lines, whole


def _recurrent(name: str, gates: int, *more: Arg, returns: tuple[str, ...]) -> LayerType:
    return LayerType(
        name,
        "recurrent",
        (
            Arg("hidden_size", "int", "required"),
            whole("num_layers", 1, 1),
            *more,
            flag("bias", True),
            number("dropout", 0.0),
            flag("bidirectional", False),
            Arg("returns", "str", default="output", choices=returns),
            Arg("input_size", "int", "inferred"),
        ),
        1,
        "in -> out",
        recurrent_lines(gates, 0, 1),
        {"hidden_size": "h", "input_size": "in"},
        gates=gates,
    )


_NONLINEARITY = Arg("nonlinearity", "str", default="tanh", choices=("tanh", "relu"))

RECURRENT = (
    _recurrent("LSTM", 4, returns=("output", "hidden", "cell")),
    _recurrent("GRU", 3, returns=("output", "hidden")),
    _recurrent("RNN", 1, _NONLINEARITY, returns=("output", "hidden")),
)
