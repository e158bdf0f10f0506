"""Targets that say only what changes, worked out into whole networks by what layouts know.

``factors`` reads and rounds ``x1.5``; ``sizes`` makes what single layers say into sizes of widths,
``scaling`` grows all of a network's widths by one factor; ``target`` puts them together.
"""

from net2net_cli.targets.sizes import argument_changes
from net2net_cli.targets.target import Target, growing, whole, worked_out

__all__ = ["Target", "argument_changes", "growing", "whole", "worked_out"]
