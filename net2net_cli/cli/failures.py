"""Whatever goes wrong, as a diagnostic and an exit code of the contract (DESIGN: section 5).

Three sources: errors of ours that a user can cause, Typer's own about how the command was typed
(told in the same style, with the nearest name that exists), and the operating system's. Anything
else is a defect: exit 1, the only place for a traceback.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer

from net2net_cli.errors import Net2NetError, UsageError, closest
from net2net_cli.report.outcome import Diagnostic, from_error

NO_MEMORY = "the memory is used up"
_TORCHS_WORDS = ("bad_alloc", "can't allocate memory", "not enough memory", "out of memory")
"""What torch's RuntimeError says of it, on the CPU and on CUDA."""

_GPU_FAILED = re.compile(r"CUDA (?:driver )?error: (.+)|(No CUDA GPUs are available.*)")
_OURS = ("illegal", "misaligned", "assert", "invalid")
"""What CUDA says where a program is at fault, and not the GPU, its driver or another program."""

DEFECT = "this is a defect of net2net; please report it with the lines above"


@dataclass(frozen=True)
class Failure:
    """How a run ended; ``defect`` asks for the traceback."""

    exit_code: int
    diagnostic: Diagnostic
    defect: bool = False


def explain(error: Exception) -> Failure:
    """What to say of an exception, and the exit code that it means."""
    match error:
        case Net2NetError():
            return Failure(error.exit_code, from_error(error))
        case typer.TyperException():
            return Failure(2, from_error(_usage(error)))
        case OSError():
            return Failure(2, _system(error))
        case MemoryError():
            return Failure(2, Diagnostic("error", NO_MEMORY))
        case RuntimeError() if (found := _of_gpu(str(error))) is not None:
            return Failure(2, found)
        case RuntimeError() if any(word in str(error) for word in _TORCHS_WORDS):
            return Failure(2, Diagnostic("error", NO_MEMORY))
        case _:
            name = type(error).__name__
            return Failure(1, Diagnostic("error", f"{name}: {error}", hint=DEFECT), defect=True)


def _of_gpu(said: str) -> Diagnostic | None:
    """What torch says where a GPU's memory is used up, or where it is gone."""
    if "CUDA" not in said:
        return None
    if any(word in said for word in _TORCHS_WORDS):
        hint = "--device cpu does without it; --probe-memory and --workers take less of it"
        return Diagnostic("error", "the memory of the GPU is used up", hint=hint)
    found = _GPU_FAILED.match(said)
    if found is None or any(word in said.lower() for word in _OURS):
        return None
    reason = (found[1] or found[2]).strip()
    return Diagnostic("error", f"the GPU failed: {reason}", hint="--device cpu does without it")


def _system(error: OSError) -> Diagnostic:
    said = (error.strerror or str(error) or type(error).__name__).lower()
    named = [
        os.fsdecode(f) for f in (error.filename, error.filename2) if isinstance(f, str | bytes)
    ]
    hint = "free some space, or write elsewhere with -o" if error.errno == errno.ENOSPC else None
    return Diagnostic("error", said, " and ".join(named) or None, hint)


def _usage(error: typer.TyperException) -> UsageError:
    """Typer's complaint in our style; what it knows differs by class, so that it is asked for."""
    context = getattr(error, "ctx", None)
    help_hint = f"see `{context.command_path if context else 'net2net'} --help`"
    option = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        return UsageError(
            f"no such option: {option}", hint=_option_hint(option, context) or help_hint
        )
    message = error.format_message()
    if message.startswith("No such command"):
        name = message.split("'")[1]
        return UsageError(
            f"no such command: {name}", hint=closest(name, _commands(context)) or help_hint
        )
    return UsageError(_tidy(message), hint=help_hint)


def _tidy(message: str) -> str:
    text = message.strip().rstrip(".").replace("'", "`")
    return text[:1].lower() + text[1:]


def _option_hint(option: str, context: Any) -> str:
    if context is None:
        return ""
    if context.parent is None:
        return "options come after the command, as in `net2net plan CKPT --spec FILE`"
    return closest(option, _options(context))


def _options(context: Any) -> list[str]:
    return [name for p in context.command.get_params(context) for name in p.opts if p.name]


def _commands(context: Any) -> list[str]:
    names: Sequence[str] = context.command.list_commands(context) if context else ()
    return list(names)
