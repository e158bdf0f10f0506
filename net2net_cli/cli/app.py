"""The Typer application: its commands, in the order in which help shows them."""

from __future__ import annotations

from typing import Annotated

import typer

from net2net_cli.cli.apply import apply
from net2net_cli.cli.bundle import Command, lay_out
from net2net_cli.cli.deepen import deepen
from net2net_cli.cli.diff import diff
from net2net_cli.cli.export import export
from net2net_cli.cli.grow import grow
from net2net_cli.cli.inspect import inspect
from net2net_cli.cli.plan import plan
from net2net_cli.cli.shrink import shrink
from net2net_cli.cli.spec import spec
from net2net_cli.cli.trace import trace
from net2net_cli.cli.verify import verify
from net2net_cli.cli.widen import widen

SUMMARY = "Grow a trained network wider and deeper without changing what it computes."
START = """\b
Start with one of:
  net2net widen ckpt --layer fc1 --to 512
  net2net grow --spec bigger.yaml
"""

app = typer.Typer(
    name="net2net",
    help=SUMMARY,
    epilog=START,
    rich_markup_mode=None,  # plain help, made in half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """``--version`` alone is answered in cli.main; here it is for the help."""


for _command in (
    inspect, spec, trace, diff, plan, apply, grow, widen, deepen, shrink, export, verify,
):  # fmt: skip
    app.command(_command.__name__, cls=Command)(lay_out(_command))
