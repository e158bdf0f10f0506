"""Grow a trained network wider and deeper without changing what it computes.

``net2net_cli.api`` is the file to read first; the command line is a thin skin on it. ``load``,
``grow``, ``widen`` and ``deepen`` are for notebooks; torch is imported when one is first used.
"""

__version__ = "0.1.0"

_NOTEBOOK = ("deepen", "grow", "load", "widen")


def __getattr__(name: str) -> object:
    if name in _NOTEBOOK:
        from importlib import import_module

        return getattr(import_module("net2net_cli.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NOTEBOOK])
