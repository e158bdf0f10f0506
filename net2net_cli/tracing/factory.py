"""``MODULE:FACTORY``: the user's module imported, and the network built.

Only what was named is run. What the user's code raises is told in its own words, shortened, with
the line of the user's file that raised it.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from torch import nn

from net2net_cli.errors import SpecError, UsageError, closest
from net2net_cli.spec.located import parse_value

_EXAMPLE = "write MODULE:FACTORY, as torchvision.models:resnet18 or mypkg.nets:build"
_LONGEST = 200


def build_module(target: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network that ``target`` names: a module object, a class, or a function returning one.

    ``arguments`` are the factory's keywords. UsageError where there is no such thing, or where it
    raises.
    """
    name, colon, attribute = target.partition(":")
    if not colon or not name or not attribute:
        raise UsageError(f"`{target}` names no factory", hint=_EXAMPLE)
    found = _attribute(_imported(name), target, attribute)
    if isinstance(found, nn.Module):
        if arguments:
            raise UsageError(
                f"`{target}` is a module already and takes no --arg",
                hint="name its class, or a function that returns it",
            )
        return found
    if not callable(found):
        raise UsageError(
            f"`{target}` is {type(found).__name__}, not a network",
            hint="name a torch.nn.Module, its class, or a function that returns one",
        )
    made = _called(target, found, arguments)
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"`{target}` returned {type(made).__name__}, not a torch.nn.Module",
            hint="return the network itself",
        )
    return made


def parse_arguments(pairs: Sequence[str]) -> dict[str, Any]:
    """The pairs of ``--arg key=value``, values in YAML; a dotted key goes into a mapping.

    UsageError for what is no pair, or given twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = (part.strip() for part in pair.partition("="))
        *outer, last = key.split(".")
        if not equals or not all((*outer, last)):
            raise UsageError(f"--arg {pair} is no key=value", hint="write it as --arg width=32")
        into = found
        for part in outer:
            into = into.setdefault(part, {})
            if not isinstance(into, dict):
                raise UsageError(f"--arg gives both {part} and a part of it", hint="keep one")
        if last in into:
            raise UsageError(f"--arg gives {key} twice", hint="keep one of the two")
        into[last] = _value(key, text)
    return found


def _value(key: str, text: str) -> Any:
    try:
        return parse_value(text, f"--arg {key}")
    except SpecError as error:
        raise UsageError(
            f"--arg {key}: {error.message}", hint='quote text that is no number: key="a: b"'
        ) from None


def _imported(name: str) -> ModuleType:
    here = os.getcwd()  # noqa: PTH109 - as Python itself would put it there
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"there is no module `{error.name}` to import",
                hint="it is sought in this folder and where Python is installed; "
                "its name has dots, no slashes and no `.py`",
            ) from None
        _raised(f"importing `{name}`", error)
    except Exception as error:  # noqa: BLE001 - whatever the user's file does
        _raised(f"importing `{name}`", error)


def _attribute(module: ModuleType, target: str, attribute: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = closest(part, [known for known in dir(found) if not known.startswith("_")])
            raise UsageError(
                f"`{target}`: `{getattr(found, '__name__', module.__name__)}` has no `{part}`",
                hint=near or "name a class, a function or an object of that module",
            ) from None
        except Exception as error:  # noqa: BLE001 - whatever the user's module does
            _raised(f"looking up `{target}`", error)
    return found


def _called(target: str, factory: Any, arguments: Mapping[str, Any]) -> Any:
    given = dict(arguments)
    config = getattr(factory, "config_class", None)
    if inspect.isclass(factory) and config is not None:  # transformers' models: one argument
        given["config"] = _run(f"the config of `{target}`", config, given.get("config") or {})
    return _run(f"`{target}`", factory, given)


def _run(label: str, function: Any, arguments: Mapping[str, Any]) -> Any:
    try:
        return function(**arguments)
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises
        called = error.__traceback__
        if isinstance(error, TypeError) and called is not None and called.tb_next is None:
            raise UsageError(f"{label}: {error}", hint=_wanted(function)) from None
        _raised(label, error)


def _wanted(function: Any) -> str:
    try:
        names = [name for name in inspect.signature(function).parameters if name != "self"]
    except ValueError:  # a builtin without a signature
        return "--arg names none of its arguments"
    return f"its arguments are {', '.join(names)}" if names else "it takes none"


def _raised(label: str, error: Exception) -> NoReturn:
    raise UsageError(
        f"{label} raised {told(error)}", where=line_of(error), hint="--debug shows all of it"
    ) from error


def told(error: BaseException) -> str:
    """An error of others in a line: its type and the first line of what it says."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def line_of(error: BaseException) -> str | None:
    """``file:line`` of the innermost frame in a file of the user's own (no library's)."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_users(f.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def is_users(file: str) -> bool:
    """Whether a file is the user's: not Python's, not torch's, not this package's."""
    ours = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    return not (file.startswith(("<", ours)) or f"lib{os.sep}python" in file)
