"""Checkpoints on disk: reading them lazily (``source``), writing them atomically (``sink``)."""

from net2net_cli.io.carried import belongs, small_files, strays
from net2net_cli.io.checkpoint import Readable
from net2net_cli.io.config import read_json
from net2net_cli.io.joint import ALONE, Joint
from net2net_cli.io.memory import MemorySource
from net2net_cli.io.sink import Written, write_checkpoint
from net2net_cli.io.source import Source, open_source
from net2net_cli.io.target import Target, check_output
from net2net_cli.io.team import Team
from net2net_cli.io.tensor_file import WORKERS, Copied, Rows
from net2net_cli.io.tensors import TensorInfo

__all__ = [
    "ALONE",
    "WORKERS",
    "Copied",
    "Joint",
    "MemorySource",
    "Readable",
    "Rows",
    "Source",
    "Target",
    "Team",
    "TensorInfo",
    "Written",
    "belongs",
    "check_output",
    "open_source",
    "read_json",
    "small_files",
    "strays",
    "write_checkpoint",
]
