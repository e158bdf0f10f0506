"""Targets that say only what changes, worked out into whole networks by what layouts know.

``factors`` reads and rounds ``x1.5``; ``sizes`` makes what single layers say into sizes of widths,
``scaling`` grows all of a network's widths by one factor; ``stages`` and ``depth`` repeat units;
``target`` puts them together. ``widening`` and ``deepening`` are targets of a few words.
"""

from net2net_cli.targets.asked import MOST, Asked, as_target
from net2net_cli.targets.deepening import deepenings, told
from net2net_cli.targets.sizes import argument_changes
from net2net_cli.targets.target import Target, whole, worked_out
from net2net_cli.targets.widening import regrouped, widened

__all__ = [
    "MOST",
    "Asked",
    "Target",
    "argument_changes",
    "as_target",
    "deepenings",
    "regrouped",
    "told",
    "whole",
    "widened",
    "worked_out",
]
