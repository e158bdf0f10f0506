"""New layers in a chain of numbers: they take the next ones, and later members move up.

That is how the members of torch.nn.Sequential are named (``features.0``, ``features.1``), so that
what is inserted into one leaves one behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from net2net_cli.spec.document import Document, network_only, with_rename
from net2net_cli.spec.insertion import insert_after
from net2net_cli.spec.names import is_number, join
from net2net_cli.spec.renaming import Renames, renamed
from net2net_cli.spec.wiring import wire


def insert_numbered(
    doc: Document, after: str, entries: Sequence[Mapping[str, object]]
) -> tuple[Document, tuple[str, ...]] | None:
    """``insert_after`` for a layer (or group) in a chain of numbers, and the new layers' names.

    The document's ``rename`` says which members have moved. None where the layer stands in no such
    chain. Raises SpecError as ``insert_after`` does.
    """
    group, _, key = after.rpartition(".")
    members = _chain_of_numbers(doc, group)
    if key not in members:
        return None
    first, count = int(key) + 1, len(entries)
    moved = {member: str(int(member) + count) for member in members if int(member) >= first}
    opened = renamed(network_only(doc), Renames(group, moved))
    names = tuple(join(group, str(number)) for number in range(first, first + count))
    found = insert_after(opened, after, dict(zip(names, entries, strict=True)))
    renames = {join(group, old): join(group, new) for old, new in moved.items()}
    return with_rename(found, renames), names


def _chain_of_numbers(doc: Document, group: str) -> tuple[str, ...]:
    """The members of a group, if all are numbers, ascending, and nothing stands in between."""
    prefix = f"{group}." if group else ""
    names = list(wire(doc).entries)
    inside = [at for at, name in enumerate(names) if name.startswith(prefix)]
    keys = (names[at][len(prefix) :].partition(".")[0] for at in inside)
    members = tuple(dict.fromkeys(keys))
    numbers = all(map(is_number, members))
    ascending = numbers and all(int(a) < int(b) for a, b in pairwise(members))
    together = all(b == a + 1 for a, b in pairwise(inside))
    return members if ascending and together else ()
