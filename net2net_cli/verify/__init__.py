"""The probe: builds teacher and student from their written files and compares what they compute.

``build`` (network), ``draw_inputs`` and ``load_inputs`` (inputs), ``probe`` and ``compare``
(probe), ``value_statistics`` (statistics) need torch and are imported from their own files; what
a report needs is here, and needs none.
"""

from net2net_cli.verify.comparison import Comparison, Mode, OutputDifference
from net2net_cli.verify.tolerance import tolerance

__all__ = ["Comparison", "Mode", "OutputDifference", "tolerance"]
