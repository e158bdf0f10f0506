"""A checkpoint's network as a Python file that needs nothing but torch."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from net2net_cli import __version__
from net2net_cli.errors import UsageError
from net2net_cli.export import is_harmless, source_of
from net2net_cli.opening import FamilyModel, Model, SpecModel

CLASS = "Network"
"""What the class is called where nothing else is asked for."""


def exported(model: Model, name: str = CLASS) -> str:
    """The file: a class ``name`` of ``torch.nn`` whose state dict has the names, shapes and dtypes
    of the checkpoint's tensors. Reads headers only, and imports no torch.

    Raises UsageError (exit 2) for a transformer, whose class is in the transformers library, and
    for a name that no class can have.
    """
    if isinstance(model, FamilyModel):
        raise _is_transformer(model)
    assert isinstance(model, SpecModel)
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        raise UsageError(
            f"a class cannot be called `{name}`", hint="letters, digits and _, as in MyNetwork"
        )
    if name in _TAKEN:
        raise UsageError(f"`{name}` is a name that the file itself needs", hint="take another one")
    file = Path(model.source.label).name if model.source.path else "student.safetensors"
    header = _header(file, name, model.guesses, folder=_is_folder(model))
    return source_of(model.layout, model.dtypes, name, header)


_TAKEN = frozenset({"OrderedDict", "Tensor", "nn", "torch", "super", "range", "float", "getattr"})


def _is_folder(model: Model) -> bool:
    return model.source.path is not None and model.source.path.is_dir()


def _is_transformer(model: FamilyModel) -> UsageError:
    folder = model.folder or "FOLDER"
    return UsageError(
        f"the transformers library has the class of a {model.laid.family.name} already",
        where=model.source.label,
        hint=f"transformers' AutoModel.from_pretrained({str(folder)!r}) opens it",
    )


def _header(file: str, name: str, guesses: Sequence[str], *, folder: bool) -> str:
    """The docstring of the file: what it is, and how the weights are loaded."""
    shown = file if is_harmless(file) else "student.safetensors"
    load = [
        "    from safetensors.torch import load_file",
        "",
        f"    network = {name}()",
        f'    network.load_state_dict(load_file("{shown}"))',
    ]
    if shown.endswith((".pt", ".pth", ".bin")):
        load = [
            "    import torch",
            "",
            f"    network = {name}()",
            f'    network.load_state_dict(torch.load("{shown}", weights_only=True))',
        ]
    if folder:
        load = [
            "    from pathlib import Path",
            "",
            "    from safetensors.torch import load_file",
            "",
            f"    network, state = {name}(), {{}}",
            f'    for shard in Path("{shown}").glob("*.safetensors"):',
            "        state |= load_file(shard)",
            "    network.load_state_dict(state)",
        ]
    return "\n".join(
        [
            f"The network of `{shown}`, written by net2net {__version__}.",
            "",
            "It needs nothing but torch, and begins with random weights. The checkpoint's own:",
            "",
            *load,
            "",
            *_assumed(guesses),
        ]
    )


def _assumed(guesses: Sequence[str]) -> list[str]:
    """What the tensors do not show, where the spec was recognised from them."""
    if not guesses or not all(map(is_harmless, guesses)):
        return []
    said = "Assumed, since no tensor shows them: " + ", ".join(guesses) + "."
    return [*wrap(said, 80), ""]
