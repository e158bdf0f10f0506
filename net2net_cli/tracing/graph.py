"""An exported graph read into drafts of layers.

Operations that a torch.nn module made become that module's layer, arguments and all (``modules``);
others become the layer type of their operation (``operations``).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from net2net_cli.tracing.drafts import Given, Known, Stored, flow_of
from net2net_cli.tracing.modules import calls_of
from net2net_cli.tracing.operations import operate
from net2net_cli.tracing.reader import Reader, Traced, resolved, written_over


def read_graph(
    module: nn.Module, program: ExportedProgram, inputs: Sequence[Given]
) -> tuple[Reader, list[Traced]]:
    """The drafts of a graph, in the order in which they run, and the values that it returns.

    Raises TraceError for an operation that specs have no layer type for, with its line.
    """
    reader = Reader(module)
    _place(reader, program, inputs)
    calls = calls_of(module, program.graph.nodes)
    for node in program.graph.nodes:
        if node.op == "call_function" and node not in reader.values:
            if not (node in calls and calls[node].collapse(reader)):
                reader.values[node] = operate(reader, node)
                written_over(reader, node)
        elif node.op == "output":
            return reader, [resolved(reader, value) for value in node.args[0]]
    raise AssertionError("a graph ends with its output")


def _place(reader: Reader, program: ExportedProgram, inputs: Sequence[Given]) -> None:
    """The values of the graph's placeholders: inputs, parameters, buffers, constants."""
    state = reader.module.state_dict(keep_vars=True)
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    waiting = iter(inputs)
    for said in program.graph_signature.input_specs:
        node = nodes[getattr(said.arg, "name", "")]
        match said.kind:
            case InputKind.USER_INPUT:
                reader.values[node] = flow_of(next(waiting))
            case InputKind.PARAMETER | InputKind.BUFFER if said.target in state:
                parameter = said.kind == InputKind.PARAMETER
                reader.values[node] = Stored(said.target, state[said.target], parameter)
            case _:
                reader.values[node] = Known(_held(program, said.target))


def _held(program: ExportedProgram, target: str | None) -> Tensor:
    assert target is not None
    held = program.constants[target]
    assert isinstance(held, Tensor)
    return held
