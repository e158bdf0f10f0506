"""The command, in a folder of its own."""

from tests.cli.conftest import folder, net2net

__all__ = ["folder", "net2net"]
