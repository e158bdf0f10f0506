"""Grow a trained network wider and deeper without changing what it computes.

``net2net_cli.api`` is the file to read first; the command line is a thin skin on it.
"""

__version__ = "0.1.0"
