from net2net_cli.notebook import deepen as deepen
from net2net_cli.notebook import grow as grow
from net2net_cli.notebook import load as load
from net2net_cli.notebook import widen as widen

__version__: str
