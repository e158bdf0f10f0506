"""Parameters that several layers hold: one owns them, the others say ``share:``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from net2net_cli.spec.names import join
from net2net_cli.tracing.drafts import Draft


def shares_of(module: nn.Module, drafts: Sequence[Draft]) -> dict[Draft, Any]:
    """What stands under ``share:`` of each layer that does not own all of its tensors."""
    held = {name: id(tensor) for name, tensor in module.state_dict(keep_vars=True).items()}
    owners: dict[int, tuple[Draft, str]] = {}
    found: dict[Draft, Any] = {}
    for draft in drafts:
        said: dict[str, tuple[Draft, str]] = {}
        for own, key in draft.tensors.items():
            owner = owners.setdefault(held[key], (draft, own))
            if owner[0] is not draft:
                said[own] = owner
        if said:
            found[draft] = _said(draft, said)
    return found


def _said(draft: Draft, said: dict[str, tuple[Draft, str]]) -> Any:
    others = {other for other, _ in said.values()}
    alike = all(own == theirs for own, (_, theirs) in said.items())
    if len(others) == 1 and alike and len(said) == len(draft.tensors):
        return others.pop().name
    return {own: join(other.name, theirs) for own, (other, theirs) in said.items()}
