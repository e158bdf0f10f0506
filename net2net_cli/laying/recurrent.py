"""Recurrent layers: the hidden state is one width, which every gate writes and reads.

Whatever a unit's gates do, they do to it alone; what they read of other units is a matrix' columns.
A unit whose rows are zero stays at zero.
"""

from __future__ import annotations

from net2net_cli.axes import Axis, Number, product
from net2net_cli.errors import SpecError
from net2net_cli.layers.kinds import LayerType
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.lines import add_lines, check_given, note_arguments
from net2net_cli.laying.viewing import grows
from net2net_cli.layout import EACH, NOTHING, ZERO, Data, integer
from net2net_cli.network import Layer


def recurrent(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """``[T, in]`` gives ``[T, (directions h)]``, or last states ``[(layers directions), h]``."""
    if len(data.axes) != 2:
        raise SpecError(
            f"`{layer.name}` ({layer.type}) needs 2 axes beside the batch, but"
            f" `{layer.inputs[0]}` gives {len(data.axes)}",
            where=layer.place,
        )
    steps, given = data.axes
    check_given(layer, "input_size", builder.unifier.size(given))
    hidden = builder.unifier.width(layer.name, integer(layer.args["hidden_size"]))
    scope: dict[str, Axis] = {"in": given, "h": hidden}
    reason = f"{layer.type} acts on each hidden unit alone"
    builder.demand(hidden, EACH | ZERO, layer.name, reason)
    if grows(builder, steps):
        builder.demand(steps, NOTHING, layer.name, f"{layer.type} runs along it")
    add_lines(builder, layer, kind, scope, settled=data.settled)
    note_arguments(builder, layer, kind, scope)
    directions = 2 if layer.args["bidirectional"] else 1
    if layer.args["returns"] == "output":
        return Data((steps, product(Number(directions), hidden)))
    return Data((Number(directions * integer(layer.args["num_layers"])), hidden))
