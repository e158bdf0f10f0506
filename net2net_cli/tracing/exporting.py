"""A module as a graph of torch's operations, by ``torch.export``; its failures, told.

``strict=False`` runs the module's own Python on tensors without values, so that any class that
runs can be traced. What it cannot do is choose its way by values: such a line is named.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from net2net_cli.errors import TraceError, UsageError
from net2net_cli.tracing.drafts import BATCH
from net2net_cli.tracing.factory import line_of, told
from net2net_cli.tracing.given import Example, batched

_BY_VALUES = (
    "data-dependent", "GuardOnDataDependent", "unbacked", "Eq(u", "item()", "_local_scalar_dense",
)  # fmt: skip


def export(module: nn.Module, examples: Sequence[Example], *, training: bool) -> ExportedProgram:
    """The module's graph for a batch of ``BATCH`` examples, in one of its two modes.

    Raises UsageError where the module cannot be called with such inputs, TraceError where its
    course depends on their values.
    """
    by_name, in_order = batched(examples, BATCH)
    was, fast = module.training, torch.backends.mha.get_fastpath_enabled()
    module.train(training)
    torch.backends.mha.set_fastpath_enabled(False)  # one fused call would stand for a whole block
    try:
        return _exported(module, in_order, by_name)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        module.train(was)


def _exported(
    module: nn.Module, in_order: Sequence[Tensor], by_name: Mapping[str, Tensor]
) -> ExportedProgram:
    try:
        with warnings.catch_warnings(action="ignore"), _silenced(), torch.no_grad():
            return torch.export.export(module, tuple(in_order), dict(by_name), strict=False)
    except Exception as error:  # noqa: BLE001 - the user's code runs in there
        _fail(error)


@contextmanager
def _silenced() -> Iterator[None]:
    """Torch logs and prints what it raises as well, with the graph so far: that is left out. What
    the user's code says on standard error comes where nothing is raised."""
    was, said = logging.root.manager.disable, StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stderr(said):
            yield
        sys.stderr.write(said.getvalue())
    finally:
        logging.disable(was)


def _fail(error: Exception) -> NoReturn:
    text = f"{type(error).__name__}: {error}"
    where = line_of(error)
    if any(sign in text for sign in _BY_VALUES):
        raise TraceError(
            "the module chooses its way by the values that it computes, which no graph holds",
            where=where,
            hint="replace `if tensor:` and `.item()` there by operations on tensors",
        ) from error
    raise UsageError(
        f"the module cannot be traced with these inputs: {told(error)}",
        where=where,
        hint="give the shapes that its forward takes, as --input 1,3,224,224 (the batch first)",
    ) from error
