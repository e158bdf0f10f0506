"""The arguments of one layer, checked against its type and normalised.

What fits together in shape is the layout's subject; here each value is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isnan
from typing import NoReturn

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.layers.table import Arg, LayerType
from net2net_cli.network import Value
from net2net_cli.spec.combinations import check_together
from net2net_cli.spec.tree import Items, Node, Scalar, Table, describe

COMMON_KEYS = ("type", "inputs", "share")
PADDING_WORDS = ("same", "valid")


def read_arguments(
    name: str, kind: LayerType, node: Table
) -> tuple[dict[str, Value], dict[str, Place]]:
    """All arguments of a layer, defaults filled in, and where those given stand.

    Raises SpecError for unknown, missing and wrong ones.
    """
    check_keys(name, kind, node)
    args: dict[str, Value] = {}
    places: dict[str, Place] = {}
    for arg in kind.args:
        given = node.entries.get(arg.name)
        if given is not None:
            places[arg.name] = node.at(arg.name)
            args[arg.name] = _value(name, kind, arg, given, places[arg.name])
        elif arg.need == "required":
            raise SpecError(
                f"{name} ({kind.name}) needs `{arg.name}`",
                where=node.at("type"),
                hint=f"add `{arg.name}:`, which is {_wanted(kind, arg)}",
            )
        elif arg.need == "optional":
            args[arg.name] = normalise_default(kind, arg)
    check_together(name, kind.name, args, places, node.at("type"))
    return args, places


def check_keys(name: str, kind: LayerType, node: Table) -> None:
    """Refuse keys that the layer type does not have."""
    known = [*COMMON_KEYS, *(arg.name for arg in kind.args)]
    if kind.most is None:
        known.append("branches")
    for key in node.entries:
        if key not in known:
            own = [arg.name for arg in kind.args]
            raise SpecError(
                f"{name} ({kind.name}) has no argument `{key}`",
                where=node.at(key),
                hint=closest(key, known)
                or (f"its arguments are {', '.join(own)}" if own else "it has no arguments"),
            )


def normalise_default(kind: LayerType, arg: Arg) -> Value:
    """The default in the form that a given value has: sizes one per axis."""
    match arg.default:
        case bool() | None:
            return arg.default
        case int() if arg.kind in ("size", "padding") and kind.rank > 0:
            return (arg.default,) * kind.rank
        case int() if arg.kind == "float":
            return float(arg.default)
        case _:
            return arg.default


def _value(name: str, kind: LayerType, arg: Arg, node: Node, place: Place) -> Value:
    if isinstance(node, Scalar) and node.value is None and arg.none:
        return None
    try:
        return _normalised(kind, arg, node)
    except _WrongError:
        raise SpecError(
            f"`{arg.name}` of {name} ({kind.name}) must be {_wanted(kind, arg)}, "
            f"not {_shown(node)}",
            where=place,
            hint=_remedy(arg, node),
        ) from None


class _WrongError(ValueError):
    """The value is not of the argument's kind."""


def _normalised(kind: LayerType, arg: Arg, node: Node) -> Value:
    match arg.kind:
        case "int":
            return _whole(node, arg.low)
        case "float":
            return _number(node)
        case "bool":
            return _flag(node)
        case "str":
            return _choice(node, arg.choices)
        case "padding" if isinstance(node, Scalar) and node.value in PADDING_WORDS:
            return node.value
        case "size" | "padding":
            one = _size_or_null if kind.spatial == "adaptive" else _whole
            return _per_axis(kind.rank, node, lambda item: one(item, arg.low))
        case "pads":
            return _per_axis(2 * kind.rank, node, lambda item: _whole(item, arg.low))
        case "scale":
            return _per_axis(kind.rank, node, _positive)
        case "ints" | "shape":
            items = node.items if isinstance(node, Items) else (node,)
            found = tuple(_whole(item, arg.low) for item in items)
            return found if found or arg.kind == "shape" else _wrong()
        case "text":
            return _text(node)
        case "numbers":
            return _numbers(node)


def _wrong() -> NoReturn:
    raise _WrongError


def _whole(node: Node, low: int) -> int:
    if isinstance(node, Scalar) and type(node.value) is int and node.value >= low:
        return node.value
    _wrong()


def _size_or_null(node: Node, low: int) -> int | None:
    """A size, or null for an axis that stays as it is (torch's adaptive poolings)."""
    return None if isinstance(node, Scalar) and node.value is None else _whole(node, low)


def _number(node: Node) -> float:
    if isinstance(node, Scalar) and isinstance(node.value, (int, float)):
        value = float(node.value)
        if not isinstance(node.value, bool) and not isnan(value):
            return value
    _wrong()


def _positive(node: Node) -> float:
    value = _number(node)
    return value if 0 < value < inf else _wrong()


def _flag(node: Node) -> bool:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, bool) else _wrong()


def _choice(node: Node, choices: tuple[str, ...]) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value in choices:
        return node.value
    _wrong()


def _text(node: Node) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else _wrong()


def _numbers(node: Node) -> Value:
    """A number, true or false, or a list of such, which may hold lists."""
    if isinstance(node, Items):
        return tuple(_numbers(item) for item in node.items) or _wrong()
    if isinstance(node, Scalar) and isinstance(node.value, (bool, int, float)):
        return node.value
    _wrong()


def _per_axis(count: int, node: Node, one: Callable[[Node], Value]) -> Value:
    """One value for each of ``count`` axes; as it was given where their number is not known."""
    if isinstance(node, Items):
        if not node.items or (count > 0 and len(node.items) != count):
            _wrong()
        return tuple(one(item) for item in node.items)
    return (one(node),) * count if count > 0 else one(node)


def _wanted(kind: LayerType, arg: Arg) -> str:
    """What an argument may be, in words."""
    above = {0: "0 or above", 1: "above 0"}.get(arg.low, "" if arg.low < 0 else f"from {arg.low}")
    whole = f"a whole number {above}".rstrip()
    match arg.kind:
        case "int":
            words = whole
        case "float":
            words = "a number"
        case "bool":
            words = "true or false"
        case "str":
            words = " or ".join((", ".join(arg.choices[:-1]), arg.choices[-1])).removeprefix(" or ")
        case "size" | "padding" | "pads":
            count = kind.rank * (2 if arg.kind == "pads" else 1)
            words = f"{whole}, or a list of {count if count > 0 else 'several'}"
            words += ", or same or valid" if arg.kind == "padding" else ""
        case "scale":
            words = "a number above 0, or a list with one for each axis"
        case "text":
            words = "text"
        case "numbers":
            words = "a number, or a list of numbers or of lists"
        case _:
            words = f"{whole}, or a list of such"
    return f"{words}, or null" if arg.none else words


def _shown(node: Node) -> str:
    if isinstance(node, Items) and all(isinstance(item, Scalar) for item in node.items):
        texts = [item.text for item in node.items if isinstance(item, Scalar)]
        return f"`[{', '.join(texts[:8])}{', ...' if len(texts) > 8 else ''}]`"
    return describe(node)


_EXAMPLES: Mapping[str, str] = {
    "int": "2", "float": "0.1", "bool": "true", "size": "3", "padding": "1", "pads": "1",
    "ints": "[2, 3]", "shape": "[2, 3]", "scale": "2.0",
    "text": "bij,bjk->bik", "numbers": "[0.5, 1.0]",
}  # fmt: skip


def _remedy(arg: Arg, node: Node) -> str:
    text = node.text if isinstance(node, Scalar) else ""
    if arg.kind == "bool" and text.lower() in ("yes", "on", "1", "no", "off", "0"):
        return f"write `{arg.name}: {'true' if text.lower() in ('yes', 'on', '1') else 'false'}`"
    if text == "None" and arg.none:
        return f"write `{arg.name}: null`"
    if arg.kind == "str":
        return closest(text, list(arg.choices)) or f"write `{arg.name}: {arg.choices[0]}`"
    return f"for example `{arg.name}: {_EXAMPLES[arg.kind]}`"
