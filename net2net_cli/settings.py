"""``--set key=value``: a layer's argument changed without a target spec."""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.errors import Place, UsageError, closest
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec import Change, Document, Spec, to_spec
from net2net_cli.spec.located import value_of
from net2net_cli.spec.patterns import fitting, is_pattern
from net2net_cli.spec.tree import Table, from_plain


def changes_of(settings: Mapping[str, str], document: Document) -> tuple[Change, ...]:
    """What each ``LAYER.ARGUMENT`` (or ``PATTERN.ARGUMENT``) and its value (read as YAML) change
    in a document that extends nothing.

    Raises UsageError for a layer or argument that does not exist, naming the nearest.
    """
    if not settings:
        return ()
    spec = to_spec(document)
    return tuple(change for key, text in settings.items() for change in _changes(spec, key, text))


def _changes(spec: Spec, key: str, text: str) -> list[Change]:
    layers = {layer.name: layer for layer in spec.layers}
    name, _, argument = key.rpartition(".")
    place = Place(f"--set {key}={text}")
    pattern = name if is_pattern(name) and name not in layers else None
    if pattern is None and name not in layers:
        raise UsageError(
            f"--set {key}: there is no layer `{name or key}`",
            hint=closest(name or key, list(layers)) or "say LAYER.ARGUMENT=VALUE",
        )
    names = fitting(pattern, list(layers), place) if pattern else [name]
    types = {n: LAYER_TYPES[layers[n].type] for n in names}
    having = [n for n in names if types[n].arg(argument)]
    if not having:
        known = list(dict.fromkeys(arg.name for n in names for arg in types[n].args))
        which = f"no layer that `{name}` fits" if pattern else layers[name].type
        raise UsageError(
            f"--set {key}: {which} has {'an' if pattern else 'no'} argument `{argument}`",
            hint=closest(argument, known) or f"it has {', '.join(known)}",
        )
    value = from_plain(value_of(key, text), place)
    node = Table({argument: value}, {argument: place}, place)
    return [Change(n, node, place, pattern) for n in having]
