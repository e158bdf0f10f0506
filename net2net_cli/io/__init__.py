"""Checkpoints on disk: reading them lazily (``source``), writing them atomically (``sink``)."""

from net2net_cli.io.sink import Written, write_checkpoint
from net2net_cli.io.source import Source, open_source
from net2net_cli.io.target import check_output
from net2net_cli.io.tensors import TensorInfo

__all__ = ["Source", "TensorInfo", "Written", "check_output", "open_source", "write_checkpoint"]
