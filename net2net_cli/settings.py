"""``--set key=value``: a layer's argument changed without a target spec."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from net2net_cli.errors import UsageError, closest
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec import Document, Value, to_spec, with_args


def with_settings(document: Document, settings: Mapping[str, str]) -> Document:
    """The document with each ``LAYER.ARGUMENT`` at its value (read as YAML).

    Raises UsageError for a layer or argument that does not exist, naming the nearest.
    """
    spec = to_spec(document)
    layers = {layer.name: layer for layer in spec.layers}
    changes: dict[str, dict[str, Value]] = {}
    for key, text in settings.items():
        name, _, argument = key.rpartition(".")
        if name not in layers:
            raise UsageError(
                f"--set {key}: there is no layer `{name or key}`",
                hint=closest(name or key, list(layers)) or "say LAYER.ARGUMENT=VALUE",
            )
        known = [arg.name for arg in LAYER_TYPES[layers[name].type].args]
        if argument not in known:
            raise UsageError(
                f"--set {key}: {layers[name].type} has no argument `{argument}`",
                hint=closest(argument, known) or f"it has {', '.join(known)}",
            )
        changes.setdefault(name, {})[argument] = _value(key, text)
    return with_args(document, changes)


def _value(key: str, text: str) -> Value:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {key}: `{text}` is no value") from None
    return tuple(found) if isinstance(found, list) else found
