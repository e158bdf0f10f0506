"""Parameters shared by two layers: their axes are one, so that they grow as one."""

from __future__ import annotations

from net2net_cli.axes import Unifier, product
from net2net_cli.errors import SpecError
from net2net_cli.layout import Factor, LaidTensor
from net2net_cli.network import Layer


def unify_shared(
    unifier: Unifier, layer: Layer, tensor: LaidTensor, owner: str, shared: LaidTensor | None
) -> None:
    """Unify a layer's tensor with the one it shares; fixed where one writes what the other reads.

    Raises SpecError where the shared tensor does not exist or has another shape.
    """
    if shared is None:
        raise SpecError(
            f"`{layer.name}` shares `{owner}`, which no layer before it has", where=layer.place
        )
    if shared.shape != tensor.shape:
        raise SpecError(
            f"`{layer.name}` shares `{owner}`, but needs shape {list(tensor.shape)}"
            f" where that is {list(shared.shape)}",
            where=layer.place,
        )
    where = f"the parameter that {layer.name} and {shared.layer} share"
    for mine, theirs in zip(tensor.axes, shared.axes, strict=True):
        left, right = (product(*(f.axis for f in side)) for side in (mine, theirs))
        unifier.unify(left, right, where)
        if _roles(mine) != _roles(theirs):
            unifier.fix(left, right, reason=f"{where} both writes and reads it")


def _roles(factors: tuple[Factor, ...]) -> set[str]:
    return {f.role for f in factors}
