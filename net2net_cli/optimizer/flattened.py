"""State dicts of optimizers as torchtitan saves them: flat, with dots in their keys.

    state.layers.0.weight.exp_avg              param_groups.layers.0.weight.lr

They become the nested ones that torch.distributed's ``set_optimizer_state_dict`` takes as well:
parameters by name, those with the same settings in one group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STATE, _GROUPS = "state.", "param_groups."


def nested(data: Any) -> Any:
    """The content with every flat state dict in it nested."""
    if not isinstance(data, Mapping):
        return [nested(item) for item in data] if isinstance(data, list) else data
    if data and all(isinstance(k, str) and k.startswith((_STATE, _GROUPS)) for k in data):
        return _state_dict(data)
    return {key: nested(value) for key, value in data.items()}


def _state_dict(data: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[str, dict[str, Any]] = {}
    settings: dict[str, dict[str, Any]] = {}
    for key, value in data.items():
        head = _STATE if key.startswith(_STATE) else _GROUPS
        name, _, own = key.removeprefix(head).rpartition(".")
        (state if head == _STATE else settings).setdefault(name, {})[own] = value
    groups: list[dict[str, Any]] = []
    for name, found in settings.items():
        like = next((g for g in groups if {**g, "params": None} == {**found, "params": None}), None)
        if like is None:
            groups.append({**found, "params": [name]})
        else:
            like["params"].append(name)
    return {"state": state, "param_groups": groups}


def flattened(data: Any) -> Any:
    """The content with every state dict in it flat again."""
    if not isinstance(data, Mapping):
        return [flattened(item) for item in data] if isinstance(data, list) else data
    if set(data) == {"state", "param_groups"}:
        found = {
            f"{_STATE}{name}.{key}": value
            for name, values in data["state"].items()
            for key, value in values.items()
        }
        for group in data["param_groups"]:
            for name in group["params"]:
                found |= {f"{_GROUPS}{name}.{k}": v for k, v in group.items() if k != "params"}
        return found
    return {key: flattened(value) for key, value in data.items()}
