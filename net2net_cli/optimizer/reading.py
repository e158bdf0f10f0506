"""What a training run saved beside its weights: optimizers, averages of the weights, and the rest.

A file is an optimizer's state dict itself, or a dictionary that holds one or several (Lightning's
``optimizer_states`` too), as a rule with the weights, an epoch, a scheduler. Each entry is told by
what it holds, not by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from net2net_cli.errors import CheckpointError
from net2net_cli.fits import FLOATS
from net2net_cli.io.plain import trouble
from net2net_cli.io.torch_file import WRAPPERS
from net2net_cli.optimizer.kinds import NOTHING, Form, Kept, Kind, kind_of
from net2net_cli.optimizer.order import Groups, Saved, Shape

Key = str | int
Path = tuple[Key, ...]

RESET = "`--optimizer-reset` starts the optimizer afresh"

OWN = "net2net"
"""Where a state dict that we wrote says more: the names of its parameters, by group."""


@dataclass(frozen=True)
class Optimizer:
    """One optimizer's state dict: ``path`` leads to it, ``kind`` is None where it is unknown (and
    to be started afresh)."""

    path: Path
    state: Mapping[Key, Mapping[str, Any]]
    groups: Sequence[Mapping[str, Any]]
    kind: Kind | None

    @property
    def numbers(self) -> tuple[Key, ...]:
        """The parameters as it numbers (or names) them, group after group."""
        return tuple(number for group in self.groups for number in group["params"])


def optimizers(content: Any, where: str, *, reset: bool) -> tuple[Optimizer, ...]:
    """Every optimizer in a file's content.

    CheckpointError where there is none, where one is unknown (unless ``reset``), or damaged.
    """
    _refuse_sharded(content, where)
    found = tuple(
        _optimizer(path, data, where, reset=reset) for path, data in _state_dicts(content)
    )
    if not found:
        raise CheckpointError(
            "it holds no optimizer's state",
            where=where,
            hint="save `optimizer.state_dict()`, alone or in a dictionary under `optimizer`",
        )
    return found


def is_optimizer(data: Any) -> bool:
    """Whether it looks like the state dict of an optimizer."""
    return (
        isinstance(data, Mapping)
        and isinstance(data.get("state"), Mapping)
        and isinstance(data.get("param_groups"), list | tuple)
    )


def holds_optimizer(content: Any) -> bool:
    """Whether there is an optimizer's state dict in a file's content."""
    return any(True for _ in _state_dicts(content))


def _state_dicts(content: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The state dicts of optimizers, at most two levels down."""
    if is_optimizer(content):
        yield path, content
        return
    if len(path) == 2:
        return
    if isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(key, str | int) and key not in WRAPPERS:
                yield from _state_dicts(value, (*path, key))
    elif isinstance(content, list | tuple):
        for at, value in enumerate(content):
            yield from _state_dicts(value, (*path, at))


def _optimizer(path: Path, data: Mapping[str, Any], where: str, *, reset: bool) -> Optimizer:
    groups, state = data["param_groups"], data["state"]
    if not all(isinstance(g, Mapping) and isinstance(g.get("params"), list) for g in groups):
        raise CheckpointError("the optimizer's `param_groups` list no `params`", where=where)
    found = Optimizer(path, state, groups, NOTHING)
    numbers = found.numbers
    if not all(isinstance(number, str) for number in numbers) and (
        not all(isinstance(number, int) for number in numbers)
    ):
        raise CheckpointError(
            "the optimizer's parameters are neither numbers nor names", where=where
        )
    if len(set(numbers)) != len(numbers):
        raise CheckpointError("the optimizer has one parameter twice", where=where)
    strangers = [key for key in state if key not in set(numbers)]
    if strangers:
        raise CheckpointError(
            f"the optimizer has a state of `{strangers[0]}`, which no group of it has", where=where
        )
    if not all(isinstance(value, Mapping) for value in state.values()):
        raise CheckpointError("the optimizer's state of a parameter is no dictionary", where=where)
    if not all(_is_number(group.get("initial_accumulator_value", 0.0)) for group in groups):
        raise CheckpointError(
            "the optimizer's `initial_accumulator_value` is no number", where=where
        )
    kind = kind_of(list(state.values()), groups)
    if kind is None and not reset:
        raise _unknown(state, where)
    if kind is not None and not reset:
        _check_states(state, kind, where)
    return Optimizer(path, state, groups, kind)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53)


def _check_states(state: Mapping[Key, Mapping[str, Any]], kind: Kind, where: str) -> None:
    """Every parameter that has a state has all of it, and in tensors that fit each other."""
    for number, values in state.items():
        missing = [name for name in _needed(values, kind) if values and values.get(name) is None]
        if missing:
            raise CheckpointError(
                f"the {kind.name} state of parameter {number} misses `{missing[0]}`",
                where=where,
                hint=RESET,
            )
        shape = _shape(values, kind)
        for kept in kind.keeps:
            problem = _misfit(kept, values.get(kept.name), shape)
            if problem:
                raise CheckpointError(
                    f"`{kept.name}` in the {kind.name} state of parameter {number} {problem}",
                    where=where,
                    hint=RESET,
                )


def _needed(values: Mapping[str, Any], kind: Kind) -> list[str]:
    """What cannot be missing: rows need their columns, and columns their rows."""
    halves = [kept for kept in kind.keeps if kept.form in ("row", "column")]
    factored = any(values.get(kept.name) is not None for kept in halves)
    return [k.name for k in kind.keeps if not k.optional or (factored and k in halves)]


def _misfit(kept: Kept, value: Any, shape: Shape | None) -> str | None:
    """What is wrong with a thing that is kept for a parameter of that shape (None: unknown)."""
    import torch

    if value is None:
        return None
    if kept.form == "number":
        known = isinstance(value, int | float) or (
            isinstance(value, torch.Tensor) and value.numel() == 1 and not trouble(value)
        )
        return None if known else "is no number"
    if not isinstance(value, torch.Tensor):
        return "is no tensor"
    if problem := trouble(value):
        return problem
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in FLOATS:
        return f"holds {dtype}, and no {', '.join(FLOATS[:-1])} or {FLOATS[-1]}"
    if shape is None or tuple(value.shape) not in _shapes(kept.form, shape):
        return f"has the shape {list(value.shape)}, which does not fit the others"
    return None


def _shapes(form: Form, shape: Shape) -> tuple[Shape, ...]:
    """The shapes that a thing of that form may have for a parameter."""
    match form:
        case "row":
            return shape[:-1], (*shape[:-1], 1)
        case "column":
            return (*shape[:-2], *shape[-1:]), (*shape[:-2], 1, *shape[-1:])
        case _:
            return (shape,)


def _unknown(state: Mapping[Key, Mapping[str, Any]], where: str) -> CheckpointError:
    from net2net_cli.optimizer.kinds import KINDS

    keys = sorted({str(key) for values in state.values() for key in values})
    kept = ", ".join(f"`{key}`" for key in keys[:4]) + (", ..." if len(keys) > 4 else "")
    if {"state1", "qmap1", "absmax1"} & set(keys):
        said = f"the optimizer keeps its state in 8 bits (bitsandbytes: {kept})"
    else:
        said = f"an unknown optimizer, which keeps {kept}"
    known = ", ".join(dict.fromkeys(kind.name.partition(" ")[0] for kind in KINDS))
    return CheckpointError(said, where=where, hint=f"{RESET}; known are {known}")


def _refuse_sharded(content: Any, where: str) -> None:
    """DeepSpeed's files hold a rank's part of flattened parameters."""
    inner = content.get("optimizer_state_dict") if isinstance(content, Mapping) else None
    names = set(inner) if isinstance(inner, Mapping) else set()
    if names & {"base_optimizer_state", "zero_stage", "partition_count"}:
        raise CheckpointError(
            "one rank's part of a state that DeepSpeed's ZeRO divided",
            where=where,
            hint="convert it with DeepSpeed's `ds_to_universal.py`, or save with FSDP as DCP;"
            f" {RESET}",
        )


def saved(found: Sequence[Optimizer], content: Any, where: str) -> Saved:
    """What the optimizers tell of their parameters, taken as one."""
    shapes: dict[int, Shape] = {}
    at = 0
    for optimizer in found:
        for number in optimizer.numbers:
            shape = _shape(optimizer.state.get(number, {}), optimizer.kind)
            if shape is not None:
                shapes[at] = shape
            at += 1
    groups = [group for optimizer in found for group in optimizer.groups]
    names = _names(found, content, where)
    return Saved(tuple(len(group["params"]) for group in groups), names, shapes, where)


def _shape(values: Mapping[str, Any], kind: Kind | None) -> Shape | None:
    """The shape of a parameter, from what is kept for it in full, or in rows and columns."""
    if kind is None:
        return None
    there = {form: _kept(values, kind, form) for form in ("full", "row", "column")}
    if there["full"] is not None:
        return there["full"]
    row, column = there["row"], there["column"]
    if not row or not column:
        return None
    if len(row) == len(column) and row[-1:] == (1,):  # torch's, which keeps the axis
        return (*row[:-1], column[-1])
    return (*row, column[-1])


def _kept(values: Mapping[str, Any], kind: Kind, form: str) -> Shape | None:
    """The shape of the first thing of that form."""
    names = [kept.name for kept in kind.keeps if kept.form == form]
    shapes = (getattr(values.get(name), "shape", None) for name in names)
    return next((tuple(shape) for shape in shapes if shape is not None), None)


def _names(found: Sequence[Optimizer], content: Any, where: str) -> Groups | None:
    names: list[tuple[str, ...]] = []
    for optimizer in found:
        own = at(content, optimizer.path).get(OWN)
        noted = own.get("param_names") if isinstance(own, Mapping) else None
        for place, group in enumerate(optimizer.groups):
            params = group["params"]
            said = params if all(isinstance(p, str) for p in params) else group.get("param_names")
            if said is None and isinstance(noted, list) and place < len(noted):
                said = noted[place]
            if said is None and params:
                return None
            said = said or []
            if (
                not isinstance(said, list | tuple)
                or len(said) != len(params)
                or not all(isinstance(name, str) for name in said)
            ):
                raise CheckpointError(
                    "a group's `param_names` do not fit its `params`", where=where
                )
            names.append(tuple(said))
    return tuple(names)


def at(content: Any, path: Path) -> Any:
    """What a path leads to."""
    for key in path:
        content = content[key]
    return content
