"""Names for drafts: the prefixes of their tensors, else what the module that made them is called.

A layer with weights is called as its tensors in the state dict, so that a checkpoint loads as it
is. One without is called by its module's path; where a module's own code made it
(``out += identity``), by its operation below that path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from net2net_cli.errors import TraceError
from net2net_cli.spec.names import join
from net2net_cli.tracing.drafts import Draft


def name_drafts(drafts: Sequence[Draft], inputs: Iterable[str]) -> None:
    """Gives every draft a name of its own; those of layers with tensors are prefixes of these.

    Raises TraceError where the tensors of a layer have no common prefix.
    """
    taken = set(inputs) | {"input"}
    _name_owners(drafts, taken)
    groups = _groups(drafts)
    made = Counter(draft.origin.call for draft in drafts)
    for draft in drafts:
        if not draft.name:
            _name_other(draft, made, groups, taken)


def _name_owners(drafts: Sequence[Draft], taken: set[str]) -> None:
    for draft in drafts:
        if not draft.tensors:
            continue
        prefixes = {
            key.removesuffix(f".{own}") if own else key for own, key in draft.tensors.items()
        }
        name = _owner(draft, prefixes)
        draft.name = free_name(name, taken)
        taken.add(draft.name)


def _owner(draft: Draft, prefixes: set[str]) -> str:
    if len(prefixes) == 1 and (found := prefixes.pop()):
        return found
    if draft.origin.path:
        return draft.origin.path
    raise TraceError(
        f"{draft.origin} has weights without a name before them"
        f" ({', '.join(draft.tensors.values())})",
        where=draft.origin.line or None,
        hint="put the layer into a module, as in torch.nn.Sequential(layer)",
    )


def _groups(drafts: Sequence[Draft]) -> set[str]:
    """The prefixes of names: what a parent is called no layer can be."""
    paths = {draft.name or draft.origin.path for draft in drafts}
    return {name[:i] for name in paths for i, sign in enumerate(name) if sign == "."}


def _name_other(draft: Draft, made: Counter[str], groups: set[str], taken: set[str]) -> None:
    """A module that made nothing but this layer lends it its path."""
    path = draft.origin.path
    if path and path not in groups and made[draft.origin.call] == 1:
        wanted = path
    elif path in taken and path:  # a layer with weights cannot hold another
        wanted = f"{path}_{draft.word}"
    else:
        wanted = join(path, draft.word)
    if wanted in groups:
        wanted = f"{wanted}_{draft.word}"
    draft.name = free_name(wanted, taken)
    taken.add(draft.name)


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken: ``relu``, ``relu_2``, ``relu_3``."""
    base, _, number = name.rpartition("_")
    base, count = (base, int(number)) if base and number.isdecimal() else (name, 1)
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name
