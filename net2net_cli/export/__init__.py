"""Networks as plain Python: classes of ``torch.nn`` that need nothing but torch.

``grouping`` finds which layers make up a module, ``members`` what it is built of, ``body`` writes
what it computes, ``alike`` makes one class of modules that are alike, ``source`` sets it all in
``code``, as ruff's formatter would leave it.
"""

from net2net_cli.export.names import is_harmless
from net2net_cli.export.source import source_of

__all__ = ["is_harmless", "source_of"]
