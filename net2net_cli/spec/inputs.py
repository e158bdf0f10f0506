"""The network's inputs, as ``input:`` describes them."""

from __future__ import annotations

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.network import Input
from net2net_cli.spec.names import check_name
from net2net_cli.spec.tree import Items, Node, Scalar, Table, describe

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32")
_KEYS = ("shape", "dtype", "high")
_SHAPE = "write one example's shape without the batch, as in `[3, 32, 32]`"


def input_names(root: Table) -> tuple[str, ...]:
    """The names of the network's inputs, in the order of its arguments."""
    node = root.entries.get("input")
    return tuple(node.entries) if isinstance(node, Table) and not _single(node) else ("input",)


def read_inputs(root: Table) -> tuple[Input, ...]:
    """The network's inputs. Raises SpecError."""
    node = root.entries.get("input")
    if node is None:
        raise SpecError("the spec has no `input`", where=root.place, hint=_SHAPE)
    if not isinstance(node, Table) or _single(node):
        return (_input("input", node, root.at("input")),)
    if not node.entries:
        raise SpecError("`input` names no input", where=root.at("input"), hint=_SHAPE)
    for name in node.entries:
        check_name(name, node.at(name))
    return tuple(_input(name, entry, node.at(name)) for name, entry in node.entries.items())


def _single(node: Table) -> bool:
    """Whether a mapping describes one nameless input, and does not name several."""
    return isinstance(node.entries.get("shape"), (Items, Scalar)) and not any(
        isinstance(value, Table) for value in node.entries.values()
    )


def _input(name: str, node: Node, place: Place) -> Input:
    if not isinstance(node, Table):
        return Input(name, _shape(name, node), place=place)
    for key in node.entries:
        if key not in _KEYS:
            raise SpecError(
                f"the input `{name}` has no `{key}`",
                where=node.at(key),
                hint=closest(key, list(_KEYS)) or "an input has shape, dtype and high",
            )
    if "shape" not in node.entries:
        raise SpecError(f"the input `{name}` has no shape", where=place, hint=_SHAPE)
    dtype = _dtype(name, node)
    high = _high(name, node, dtype)
    return Input(name, _shape(name, node.entries["shape"]), dtype, high, place)


def _shape(name: str, node: Node) -> tuple[int, ...]:
    items = node.items if isinstance(node, Items) else (node,)
    sizes = [i.value for i in items if isinstance(i, Scalar) and type(i.value) is int]
    if len(sizes) != len(items) or any(size < 1 for size in sizes):
        bad = next(
            i for i in items if not (isinstance(i, Scalar) and type(i.value) is int and i.value > 0)
        )
        raise SpecError(
            f"the shape of `{name}` is made of whole numbers above 0, not {describe(bad)}",
            where=bad.place,
            hint=_SHAPE,
        )
    return tuple(sizes)


def _dtype(name: str, node: Table) -> str:
    said = node.entries.get("dtype")
    if said is None:
        return FLOATS[0]
    known = [*FLOATS, *INTEGERS]
    if isinstance(said, Scalar) and said.value in known:
        return str(said.value)
    raise SpecError(
        f"the input `{name}` has an unknown dtype {describe(said)}",
        where=node.at("dtype"),
        hint=(closest(said.text, known) if isinstance(said, Scalar) else "")
        or f"one of {', '.join(known)}",
    )


def _high(name: str, node: Table, dtype: str) -> int | None:
    said = node.entries.get("high")
    if said is None:
        return None
    if not isinstance(said, Scalar) or type(said.value) is not int or said.value < 1:
        raise SpecError(
            f"`high` of the input `{name}` must be a whole number above 0, not {describe(said)}",
            where=node.at("high"),
            hint="its values run from 0 to high - 1",
        )
    if dtype not in INTEGERS:
        raise SpecError(
            f"the input `{name}` is {dtype}, which `high` does not bound",
            where=node.at("high"),
            hint="add `dtype: int64`, or remove `high`",
        )
    return said.value
