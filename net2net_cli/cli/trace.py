"""``net2net trace``: the spec of a torch module, from its Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from net2net_cli.cli.options import WHAT, Output, Overwrite
from net2net_cli.report import Outcome

if TYPE_CHECKING:
    from net2net_cli.tracing import Example


def trace(
    target: Annotated[
        str,
        Argument(
            metavar="MODULE:FACTORY",
            help="A network, its class, or a function that returns it.",
            show_default=False,
        ),
    ],
    *,
    inputs: Annotated[
        list[str] | None,
        Option(
            "--input",
            metavar="SHAPE",
            help="A batch, as 1,3,224,224 or ids=1,16:int64; one for each.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        Option(
            "--input-file",
            metavar="FILE",
            help="Or instead: a batch of each (.safetensors).",
            rich_help_panel=WHAT,
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        Option(
            "--arg",
            metavar="KEY=VALUE",
            help="The factory's arguments: width=32, config.depths=[1,2].",
            rich_help_panel=WHAT,
        ),
    ] = None,
    output: Output = None,
    overwrite: Overwrite = False,
) -> Outcome:
    """Write the spec of a torch module, found by tracing it.

    Imports MODULE (this folder is sought first), builds the network, and reads what its forward
    does. The spec's network is compared with the module at once.
    """
    import sys
    from contextlib import redirect_stdout

    from net2net_cli import tracing
    from net2net_cli.cli.files import write_text_file
    from net2net_cli.cli.parts import remarks, warnings
    from net2net_cli.cli.paths import STREAM
    from net2net_cli.spec import dump

    examples = _examples(inputs or (), input_file)
    given = tracing.parse_arguments(arguments or ())
    with redirect_stdout(sys.stderr), _not_ended(target):  # what it prints is no result
        found = tracing.trace(tracing.build_module(target, given), examples)
    text = dump(found.document)
    said = (f"the spec computes what the module does: {found.agreement}",)
    notes = (*warnings(found.warnings), *remarks(said))
    outcome = Outcome("trace", diagnostics=notes, spec=text)
    if output in (None, STREAM):
        return outcome
    return replace(outcome, written=write_text_file(output, text, overwrite=overwrite))


@contextmanager
def _not_ended(target: str) -> Iterator[None]:
    """A module that ends Python has not been traced, whatever code it ends it with; a signal's end
    stays one."""
    from net2net_cli.cli.signals import end_if_asked
    from net2net_cli.errors import UsageError

    try:
        yield
    except (SystemExit, KeyboardInterrupt) as end:
        end_if_asked()
        raise UsageError(
            f"`{target}` ends Python ({type(end).__name__}) and builds no network",
            hint="name a function that returns one",
        ) from end


def _examples(inputs: list[str] | tuple[()], file: Path | None) -> tuple[Example, ...]:
    from net2net_cli import tracing
    from net2net_cli.errors import UsageError

    if inputs and file:
        raise UsageError("--input and --input-file say the same", hint="leave one of them out")
    if file is not None:
        return tracing.load_examples(file)
    if not inputs:
        raise UsageError(
            "the shapes of the inputs are needed",
            hint="give one batch's, as --input 1,3,224,224, or --input-file FILE",
        )
    return tracing.parse_inputs(inputs)
