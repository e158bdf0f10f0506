"""An optimizer's state, grown with the weights that it belongs to.

Data flow one way: what a file holds (``reading``) and the order of its parameters (``order``), the
growth of each parameter's entries (``entries``, from the plan's recipes), what an optimizer keeps
and how that grows (``kinds``), the tensors (``growing``), and the file for the student (``carry``,
``files``). Rules: MATH, optimizer state.
"""

from net2net_cli.optimizer.carry import Carried
from net2net_cli.optimizer.files import StateOptions, find_state
from net2net_cli.optimizer.kinds import Map
from net2net_cli.optimizer.orders import module_order
from net2net_cli.optimizer.run import StateRun, state_run

__all__ = ["Carried", "Map", "StateOptions", "StateRun", "find_state", "module_order", "state_run"]
