"""Layers by the names that a person gives."""

from __future__ import annotations

from net2net_cli.errors import UsageError, closest
from net2net_cli.spec import Layer, Spec


def find_layer(spec: Spec, name: str) -> Layer:
    """The layer of that name, or of that group (its last). Raises UsageError with near names."""
    known = [layer.name for layer in spec.layers]
    if name in known:
        return spec.layer(name)
    inside = [k for k in known if k.startswith(f"{name}.")]
    if inside:
        return spec.layer(inside[-1])
    more = ", ..." if len(known) > 6 else ""
    hint = closest(name, known) or f"there are {', '.join(known[:6])}{more}"
    raise UsageError(f"there is no layer `{name}`", hint=hint)
