"""What differs between two networks, each given as a checkpoint or as a spec."""

from __future__ import annotations

import json
from pathlib import Path

from net2net_cli import diff, families
from net2net_cli.diff import Difference
from net2net_cli.errors import SpecError
from net2net_cli.families import Config, Family
from net2net_cli.laying import layout_of
from net2net_cli.opening import FamilyModel, SpecModel, open_model, read_said
from net2net_cli.spec import Document, read_document, to_spec
from net2net_cli.targets import whole

Said = Document | tuple[Family, Config]


def differences(before: str, after: str) -> tuple[Difference, ...]:
    """What differs between two networks, each a checkpoint or a spec (.yaml, or a config.json);
    the second spec may extend the first.

    Raises SpecError where one is a transformer and the other a network of layers.
    """
    old = _said(before, None)
    new = _said(after, old)
    if isinstance(old, Document) and isinstance(new, Document):
        return diff.differences(layout_of(to_spec(old)), layout_of(to_spec(new)))
    if isinstance(old, Document) or isinstance(new, Document):
        raise SpecError("one of the two is a transformer, the other a network of layers")
    return _of_configs(old, new)


def _said(name: str, base: Said | None) -> Said:
    path = Path(name)
    if path.suffix == ".json":
        return read_said(path, None)
    if path.suffix in (".yaml", ".yml"):
        document = read_document(path)
        if not document.of_family:
            return whole(document, base if isinstance(base, Document) else None)
        return _extended(document, base)
    model = open_model(name)
    if isinstance(model, FamilyModel):
        return model.laid.family, model.laid.config
    assert isinstance(model, SpecModel)
    return model.document


def _extended(document: Document, base: Said | None) -> tuple[Family, Config]:
    """A target names only the keys that change; the rest is the source's."""
    if base is None or isinstance(base, Document):
        return families.whole(document)
    said = families.described(document)
    return said.family or base[0], said.config if said.whole else {**base[1], **said.config}


def _of_configs(old: tuple[Family, Config], new: tuple[Family, Config]) -> tuple[Difference, ...]:
    found = []
    if old[0].name != new[0].name:
        found.append(Difference("changed", "family", "family", old[0].name, new[0].name))
    before, after = old[1], new[1]
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            kind = "added" if key not in before else "removed" if key not in after else "changed"
            found.append(Difference(kind, "config", key, _shown(before, key), _shown(after, key)))
    return tuple(found)


def _shown(config: Config, key: str) -> str:
    return json.dumps(config[key]) if key in config else ""
