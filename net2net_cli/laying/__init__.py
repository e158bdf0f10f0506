"""Laying a network out: from the layers of a spec to a layout.

``rules`` says what each kind of layer does to its input's axes, ``lines`` how its tensors' lines of
notation become axes, ``sharing`` how parameters shared by two layers become one.
"""

from __future__ import annotations

from net2net_cli.axes import Axis, Number
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.rules import apply_layer
from net2net_cli.layout import NOTHING, Data, Layout
from net2net_cli.network import Spec

__all__ = ["layout_of"]


def layout_of(spec: Spec) -> Layout:
    """Lay a network out. Raises SpecError, with file and line, where shapes do not fit."""
    builder = Builder(spec)
    for given in spec.inputs:
        axes: list[Axis] = [Number(size) for size in given.shape]
        if axes and given.high is None and given.dtype.startswith(("float", "bfloat")):
            axes[0] = builder.unifier.width(given.name, given.shape[0])
            builder.demand(axes[0], NOTHING, given.name, "is the network's input")
        builder.values[given.name] = Data(tuple(axes))
    for layer in spec.layers:
        builder.values[layer.name] = apply_layer(builder, layer)
    for name in spec.outputs:
        for axis in builder.values[name].axes:
            builder.demand(axis, NOTHING, name, "is the network's output")
    return builder.finish()
