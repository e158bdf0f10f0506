"""``python -m net2net_cli``: the same as ``net2net``."""

import sys

from net2net_cli.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
