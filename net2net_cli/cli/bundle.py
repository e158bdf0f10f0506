"""Commands as Typer reads them: bundles of options laid out, help in groups.

Typer wants one parameter for each option; twelve of them, again in every command, would drown what
a command does. So a command's parameters may be dataclasses of options (``cli.options``), and
``lay_out`` makes the flat function that Typer needs.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from net2net_cli.cli.options import Common

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

    from net2net_cli.report import Outcome

Result = tuple["Outcome", "Common"]


def lay_out(function: Callable[..., Outcome]) -> Callable[..., Result]:
    """The command with every option as a parameter; returns what it did and how to show it.

    The options of ``Common`` are added to all; a command that needs them itself has a parameter
    ``common``.
    """
    hints = _hints(function)
    bundles: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    wanted = "common" in bundles
    bundles["common"] = Common

    def call(**values: Any) -> Result:
        filled: dict[str, Any] = {
            name: bundle(**{field.name: values.pop(field.name) for field in fields(bundle)})
            for name, bundle in bundles.items()
        }
        common = filled["common"] if wanted else filled.pop("common")
        try:
            return function(**values, **filled), common
        except BrokenPipeError as error:  # Typer would make exit 1 of it
            raise SystemExit(141) from error

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__annotations__ = {}
    parameters = _parameters(function, hints | {"common": Common})
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(function, include_extras=True)
    del hints["return"]
    return hints


def _parameters(function: Callable[..., Any], hints: dict[str, Any]) -> list[inspect.Parameter]:
    given = inspect.signature(function).parameters
    found = []
    for name, hint in hints.items():
        if is_dataclass(hint):
            found += _fields(hint)
        else:
            found.append(_parameter(name, hint, given[name].default))
    return found


def _fields(bundle: Any) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(bundle, include_extras=True)
    return [
        _parameter(
            field.name,
            hints[field.name],
            inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(bundle)
    ]


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=hint)


class Command(TyperCommand):
    """A command whose help lists its options by subject, one line each."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the arguments, then each group of options under its title."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                fallback = "Arguments" if parameter.param_type_name == "argument" else "Messages"
                title = getattr(parameter, "rich_help_panel", None) or fallback
                groups.setdefault(title, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=26)
