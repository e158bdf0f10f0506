"""Means and variances of a network's values, channel by channel: what an inserted BatchNorm needs.

A BatchNorm that holds a value's own mean and variance, with gamma = sqrt(variance + eps) and
beta = mean, undoes itself; in training mode too, when they are those of the batch at hand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from net2net_cli.errors import UsageError
from net2net_cli.verify.comparison import Mode
from net2net_cli.verify.network import Network, as_mode


@dataclass(frozen=True)
class Statistics:
    """One value's moments: float64 tensors ``[channels]``; the variance is the biased one."""

    mean: Tensor
    variance: Tensor


def value_statistics(
    network: Network,
    inputs: Mapping[str, Tensor],
    names: Collection[str],
    mode: Mode = "training",
) -> dict[str, Statistics]:
    """Moments of the named values (of layers or inputs) over batch and all axes but axis 1.

    In training mode the norms before a value work on the batch's statistics, as they will when
    the student trains: there an inserted BatchNorm must undo itself. The batch runs as a whole;
    each value is reduced as it arises and freed. UsageError where a name is no value, or a value
    has no channels.
    """
    known = {layer.name for layer in network.spec.layers} | {i.name for i in network.spec.inputs}
    if unknown := sorted(set(names) - known):
        raise UsageError(f"the network has no layer {unknown[0]}")
    found: dict[str, Statistics] = {}

    def watch(name: str, value: Tensor) -> None:
        if name in names:
            found[name] = _moments(name, value)

    with torch.no_grad(), as_mode(network, mode):
        network.watched(tuple(inputs.values()), watch)
    return found


def settled_statistics(
    network: Network,
    inputs: Mapping[str, Tensor],
    norms: Mapping[str, Tensor],
    mode: Mode = "training",
) -> dict[str, Statistics]:
    """Moments of what reaches each of the named BatchNorms, in one pass.

    In the channels that ``norms`` marks (name -> bool ``[channels]``), a norm has these as its
    running statistics before it runs, so that what comes after it counts on them; so they stay in
    ``network`` in evaluation mode.
    """
    readers: dict[str, list[tuple[str, nn.Module]]] = {}
    for step in network.steps:
        if step.layer.name in norms:
            reader = (step.layer.name, step.module)
            readers.setdefault(step.layer.inputs[0], []).append(reader)
    found: dict[str, Statistics] = {}

    def watch(value_name: str, value: Tensor) -> None:
        for name, module in readers.get(value_name, ()):
            found[name] = made = _moments(value_name, value)
            for held, new in (("running_mean", made.mean), ("running_var", made.variance)):
                buffer = module.get_buffer(held)
                buffer.copy_(new.to(buffer.dtype).where(norms[name], buffer))

    with torch.no_grad(), as_mode(network, mode):
        network.watched(tuple(inputs.values()), watch)
    return found


def _moments(name: str, value: Tensor) -> Statistics:
    if value.ndim < 2:
        raise UsageError(f"{name} gives one number an example: it has no channels")
    over = [axis for axis in range(value.ndim) if axis != 1]
    variance, mean = torch.var_mean(value.to(torch.float64), over, correction=0)
    return Statistics(mean, variance)
