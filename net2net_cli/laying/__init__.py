"""Laying a network out: from the layers of a spec to a layout.

``rules`` says what each kind of layer does to its input's axes, ``lines`` how its tensors' lines of
notation become axes, ``sharing`` how parameters shared by two layers become one.
"""

from __future__ import annotations

from net2net_cli.axes import Axis, Number
from net2net_cli.errors import SpecError
from net2net_cli.layers.kinds import MOVES
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.rules import apply_layer
from net2net_cli.layout import NOTHING, Data, GraphLayout
from net2net_cli.network import Spec

__all__ = ["layout_of"]


def layout_of(spec: Spec) -> GraphLayout:
    """Lay a network out. Raises SpecError, with file and line, where shapes do not fit."""
    builder = Builder(spec)
    for given in spec.inputs:
        axes: list[Axis] = [Number(size) for size in given.shape]
        if axes and given.high is None and given.dtype.startswith(("float", "bfloat")):
            axes[0] = builder.unifier.width(given.name, given.shape[0])
            builder.demand(axes[0], NOTHING, given.name, "is the network's input")
        builder.values[given.name] = Data(tuple(axes))
    _check_ids(spec)
    for layer in spec.layers:
        builder.values[layer.name] = apply_layer(builder, layer)
    for name in spec.outputs:
        for axis in builder.values[name].axes:
            builder.demand(axis, NOTHING, name, "is the network's output")
    return builder.finish()


_KEEP_IDS = MOVES | {"add", "multiply", "concat"}
"""What may be done to whole numbers before an Embedding looks them up, or with a mask of them."""


def _check_ids(spec: Spec) -> None:
    """Embeddings read whole numbers, and nothing else does."""
    whole = {i.name for i in spec.inputs if not i.dtype.startswith(("float", "bfloat"))}
    whole |= {layer.name for layer in spec.layers if "int" in str(layer.args.get("dtype"))}
    for layer in spec.layers:
        place = LAYER_TYPES[layer.type].ids
        keeps = layer.type == "Identity" or LAYER_TYPES[layer.type].rule in _KEEP_IDS
        ids = [name for name in layer.inputs if name in whole]
        wrong = [name for name in ids if place is None or layer.inputs[place] != name]
        if wrong and not keeps:
            raise SpecError(
                f"`{layer.name}` ({layer.type}) reads `{wrong[0]}`, which holds whole numbers",
                where=layer.place,
                hint="put an Embedding between them",
            )
        if place is not None and layer.inputs[place] not in ids:
            raise SpecError(
                f"`{layer.name}` looks up whole numbers, but `{layer.inputs[place]}` holds none",
                where=layer.place,
                hint="give the input `dtype: int64` and `high:`",
            )
        if keeps and ids and len(ids) == len(layer.inputs):
            whole.add(layer.name)
