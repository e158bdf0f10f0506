"""Torch modules as specs: traced by ``torch.export``, written as layers, checked at once."""

from net2net_cli.tracing.checking import random_state
from net2net_cli.tracing.factory import build_module, parse_arguments
from net2net_cli.tracing.given import Example, load_examples, parse_inputs
from net2net_cli.tracing.tracing import Traced, trace

__all__ = [
    "Example",
    "Traced",
    "build_module",
    "load_examples",
    "parse_arguments",
    "parse_inputs",
    "random_state",
    "trace",
]
