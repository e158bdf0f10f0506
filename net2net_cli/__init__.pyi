from net2net_cli.library import deepen as deepen
from net2net_cli.library import grow as grow
from net2net_cli.library import load as load
from net2net_cli.library import widen as widen

__version__: str
