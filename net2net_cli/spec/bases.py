"""The specs that a spec extends: the checkpoint's own, or files that may extend others in turn."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from net2net_cli.errors import SpecError
from net2net_cli.spec.document import Document, read_document
from net2net_cli.spec.extend import extend

SOURCE = "source"
"""What ``extends`` says for the checkpoint's own spec."""


Extending = Callable[[Document, Document], Document]
"""What makes a network of a target and its base."""


def resolve(
    doc: Document, source: Document | None = None, extending: Extending = extend
) -> Document:
    """The document with every ``extends`` carried out by ``extending``.

    ``source`` is the checkpoint's own spec, for ``extends: source``; files are found relative to
    the spec that names them. Raises SpecError for files that extend one another in a circle, and
    for one that lies neither in the folder of ``doc`` nor in the current one: a spec may come from
    anywhere, and is not to be sent for what it has no business with.
    """
    return _resolved(doc, source, extending, (Path(doc.file).absolute(),))


def _resolved(
    doc: Document, source: Document | None, extending: Extending, seen: tuple[Path, ...]
) -> Document:
    if doc.extends is None:
        return doc
    place = doc.root.at("extends")
    if doc.extends == SOURCE:
        if source is None:
            raise SpecError(
                "the spec extends the checkpoint's own, which is not known",
                where=place,
                hint="give it with `--source-spec FILE`",
            )
        return extending(doc, _resolved(source, None, extending, seen))
    path = Path(doc.file).parent / doc.extends
    homes = {seen[0].parent, Path.cwd()}
    if not any(Path(os.path.abspath(path)).is_relative_to(home) for home in homes):  # noqa: PTH100
        raise SpecError(
            f"the spec extends `{doc.extends}`, which is outside of its folder",
            where=place,
            hint="run net2net in a folder that holds both, or copy the file beside this one",
        )
    if path.absolute() in seen:
        raise SpecError(
            f"{doc.file} extends `{doc.extends}`, which extends it in turn",
            where=place,
            hint="let one of them describe a whole network",
        )
    if not path.is_file():
        raise SpecError(
            f"the spec extends `{doc.extends}`, and there is no such file",
            where=place,
            hint=f"write `extends: {SOURCE}` for the checkpoint's own spec, or a path relative to "
            "this file",
        )
    base = _resolved(read_document(path), source, extending, (*seen, path.absolute()))
    return extending(doc, base)
