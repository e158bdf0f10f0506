"""A run as one JSON document, for scripts; ``document.schema.json`` beside it describes it.

Keys may be added within a format version; none changes its meaning. A figure that is not finite
(an infinite error) is null. Parts that a command does not have are null.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import TYPE_CHECKING, Any

from net2net_cli import __version__
from net2net_cli.report.outcome import Outcome

if TYPE_CHECKING:
    from net2net_cli.rebuilding import Shrunk

FORMAT_VERSION = 1


def document(outcome: Outcome) -> dict[str, Any]:
    """The run as JSON's own types."""
    return {
        "format_version": FORMAT_VERSION,
        "versions": _versions(),
        "command": outcome.command,
        "exit_code": outcome.exit_code,
        "teacher": asdict(outcome.teacher) if outcome.teacher else None,
        "student": asdict(outcome.student) if outcome.student else None,
        **_parts(outcome),
        "diagnostics": [asdict(item) for item in outcome.diagnostics],
    }


def to_text(data: Mapping[str, Any]) -> str:
    """The document as written: UTF-8 whatever the locale, no NaN."""
    return json.dumps(_finite(data), indent=2, allow_nan=False) + "\n"


def _parts(outcome: Outcome) -> dict[str, Any]:
    from net2net_cli.advice import advice
    from net2net_cli.layout import GraphLayout
    from net2net_cli.plan import to_data
    from net2net_cli.report.inspection import layer_rows, module_rows, width_rows
    from net2net_cli.verification import verification_data

    layout, found = outcome.inspected, outcome.differences
    advised = advice(outcome.plan) if outcome.plan else None
    graph = layout if isinstance(layout, GraphLayout) else None
    tensors = module_rows(layout) if layout and not graph else None
    return {
        "layers": [asdict(row) for row in layer_rows(graph)] if graph else None,
        "tensors": [asdict(row) for row in tensors] if tensors is not None else None,
        "widths": [asdict(row) for row in width_rows(layout)] if layout else None,
        "training": None if outcome.training is None else [asdict(f) for f in outcome.training],
        "spec": outcome.spec,
        "code": outcome.code,
        "differences": [asdict(item) for item in found] if found is not None else None,
        "plan": to_data(outcome.plan) if outcome.plan else None,
        "advice": asdict(advised) if advised else None,
        "verification": verification_data(outcome.verification) if outcome.verification else None,
        "optimizer": asdict(outcome.carried) if outcome.carried else None,
        "shrunk": _shrunk(outcome.shrunk) if outcome.shrunk else None,
        "seconds": outcome.seconds,
        "written": str(outcome.written) if outcome.written else None,
    }


def _shrunk(found: Shrunk) -> dict[str, Any]:
    return {
        "same": found.same,
        "tensors": found.tensors,
        "rounded": list(found.rounded),
        "dtypes_known": found.known,
    }


def _versions() -> dict[str, str | None]:
    return {
        "net2net": __version__,
        "python": platform.python_version(),
        "torch": _version_of("torch"),
    }


def _version_of(package: str) -> str | None:
    """Without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if isfinite(value) else None
        case Mapping():
            return {str(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
