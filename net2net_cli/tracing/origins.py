"""Where an operation of an exported graph comes from: the module that made it, and its line."""

from __future__ import annotations

import os
import re

import torch
from torch.fx import Node

from net2net_cli.tracing.drafts import Origin

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in [^\n]*\n\s*(?P<code>[^\n]*)')
_TORCH = os.path.dirname(torch.__file__)  # noqa: PTH120


def stack_of(node: Node) -> tuple[tuple[str, str, str], ...]:
    """The modules around an operation, outermost first: call, path, class.

    The second call of a module has another call (``layer1.0.relu@1``) under the same path.
    """
    stack = node.meta.get("nn_module_stack") or {}
    return tuple(
        (call, path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}")
        for call, (path, kind) in stack.items()
    )


def origin_of(node: Node) -> Origin:
    """The innermost module around an operation, and the innermost line outside of torch."""
    call, path, kind = (stack_of(node) or (("", "", ""),))[-1]
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    outer = [frame for frame in frames if not frame[0].startswith(_TORCH)] or frames
    if not outer:
        return Origin(path, call, kind)
    file, line, code = outer[-1]
    return Origin(path, call, kind, f"{file}:{line}", code.strip())
