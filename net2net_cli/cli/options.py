"""Every option of every command, once: bundles that the commands put together.

A bundle is a frozen dataclass whose fields are Typer options; ``cli.bundle`` lays them out as
parameters of a command and hands the command the filled bundle. The fields' defaults are the
options' defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from net2net_cli.cli.values import parse_bound, parse_count, parse_size
from net2net_cli.verify.comparison import PROBES, Mode

if TYPE_CHECKING:
    from net2net_cli.console import Screen

WHAT = "What to make"
HOW = "How to grow"
OUT = "Output"
CHECK = "Verification"
SHOW = "Messages"

Checkpoint = Annotated[
    str,
    Argument(
        metavar="CKPT",
        help="A checkpoint (file or folder), or -.",
        show_default=False,
    ),
]
OptionalCheckpoint = Annotated[
    str | None,
    Argument(
        metavar="[CKPT]",
        help="A checkpoint, or - [default: the spec's source:].",
        show_default=False,
    ),
]
SourceSpec = Annotated[
    str | None,
    Option(
        "--source-spec",
        metavar="FILE",
        help="The checkpoint's own spec, if it is not found.",
        rich_help_panel=WHAT,
    ),
]
FamilyFile = Annotated[
    Path | None,
    Option(
        "--family-file",
        metavar="FILE",
        help="A transformer family of your own.",
        rich_help_panel=WHAT,
    ),
]
ExitCode = Annotated[
    bool,
    Option("--exit-code", help="Exit with 5 if there are differences.", rich_help_panel=SHOW),
]
Output = Annotated[
    str | None,
    Option("--output", "-o", metavar="OUT", help="Where to write.", rich_help_panel=OUT),
]
Overwrite = Annotated[
    bool,
    Option("--overwrite", help="Replace an output that exists.", rich_help_panel=OUT),
]
ReportFile = Annotated[
    Path | None,
    Option(
        "--report",
        metavar="FILE",
        help="Write a report: .html, .svg, .md or .json.",
        rich_help_panel=OUT,
    ),
]
Calibrate = Annotated[
    Path | None,
    Option(
        "--calibrate",
        metavar="DATA",
        help="Inputs (.safetensors) for new statistics.",
        rich_help_panel=HOW,
    ),
]
ExpectTeacher = Annotated[
    str | None,
    Option(
        "--expect-teacher",
        metavar="DIGEST",
        help="Refuse any other checkpoint.",
        rich_help_panel=WHAT,
    ),
]
Dtype = Annotated[
    str | None,
    Option(
        "--dtype",
        metavar="DTYPE",
        help="The student's dtype [default: the teacher's].",
        rich_help_panel=OUT,
    ),
]
Device = Annotated[
    str,
    Option(
        "--device",
        metavar="DEV",
        help="cpu, cuda, cuda:N [default: auto, a GPU for probes].",
        rich_help_panel=OUT,
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    Option(
        "--workers",
        metavar="N",
        parser=parse_count,
        help="Threads [default: a core each, up to 4].",
        rich_help_panel=OUT,
    ),
]
MaxShardSize = Annotated[
    int | None,
    Option(
        "--max-shard-size",
        metavar="SIZE",
        parser=parse_size,
        help="As 5GB or 512MiB, for a folder.",
        rich_help_panel=OUT,
    ),
]

ProbeData = Annotated[
    Path | None,
    Option(
        "--probe-data",
        metavar="FILE",
        help="Inputs (.safetensors) in place of random ones.",
        rich_help_panel=CHECK,
    ),
]
Train = Annotated[
    bool,
    Option("--train", help="Look for what cannot learn.", rich_help_panel=CHECK),
]

Expansion = Literal["auto", "duplicate", "fresh", "zero", "mean"]
Split = Literal["even", "dyadic", "random", "signed", "whole"]
OptimizerMap = Literal["gradient", "step", "restart"]
Format = Literal["text", "json", "markdown", "mermaid"]


@dataclass(frozen=True)
class Target:
    """What to grow into."""

    spec: Annotated[
        Path | None,
        Option("--spec", metavar="FILE", help="The target's spec.", rich_help_panel=WHAT),
    ] = None
    settings: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="KEY=VALUE",
            help="Or instead: fc1.out_features=512, hidden_size=2560.",
            rich_help_panel=WHAT,
        ),
    ] = None
    width: Annotated[
        str | None,
        Option(
            "--width",
            metavar="xF",
            help="Every width that can grow, by a factor: x1.5.",
            rich_help_panel=WHAT,
        ),
    ] = None
    depth: Annotated[
        list[str] | None,
        Option(
            "--depth",
            metavar="STAGE=+N",
            help="So many more units of a stage: layer3=+2.",
            rich_help_panel=WHAT,
        ),
    ] = None


@dataclass(frozen=True)
class Growth:
    """How new units and layers are made."""

    expansion: Annotated[
        Expansion,
        Option(
            "--expansion",
            metavar="HOW",
            help="auto, duplicate, fresh, zero or mean.",
            show_default=True,
            rich_help_panel=HOW,
        ),
    ] = "auto"
    split: Annotated[
        Split,
        Option(
            "--split",
            metavar="HOW",
            help="even, dyadic, random, signed or whole.",
            show_default=True,
            rich_help_panel=HOW,
        ),
    ] = "signed"
    noise: Annotated[
        float,
        Option(
            "--noise",
            metavar="STD",
            parser=parse_bound,
            help="Noise on new copies, as in the paper.",
            rich_help_panel=HOW,
        ),
    ] = 0.0
    seed: Annotated[
        int,
        Option(
            "--seed",
            metavar="N",
            help="Seeds all that is random.",
            show_default=True,
            rich_help_panel=HOW,
        ),
    ] = 0
    calibrate: Calibrate = None
    mode: Annotated[
        Mode,
        Option(
            "--mode",
            metavar="MODE",
            help="Measured in training or evaluation.",
            show_default=True,
            rich_help_panel=HOW,
        ),
    ] = "training"


@dataclass(frozen=True)
class Placing(Growth):
    """As Growth, for commands that may bring in blocks of a transformer."""

    where: Annotated[
        str,
        Option(
            "--where",
            metavar="PLACE",
            help="New blocks: even, start, end, after=3,7.",
            show_default=True,
            rich_help_panel=HOW,
        ),
    ] = "even"


@dataclass(frozen=True)
class State:
    """The optimizer's state, which grows with the weights."""

    optimizer: Annotated[
        str | None,
        Option(
            "--optimizer",
            metavar="FILE",
            help="The optimizer's state, or none [default: found].",
            rich_help_panel=OUT,
        ),
    ] = None
    optimizer_out: Annotated[
        str | None,
        Option(
            "--optimizer-out",
            metavar="FILE",
            help="Where to write that [default: beside OUT].",
            rich_help_panel=OUT,
        ),
    ] = None
    optimizer_map: Annotated[
        OptimizerMap,
        Option(
            "--optimizer-map",
            metavar="HOW",
            help="Its growth: gradient, step, restart.",
            show_default=True,
            rich_help_panel=OUT,
        ),
    ] = "step"
    optimizer_reset: Annotated[
        bool,
        Option(
            "--optimizer-reset",
            help="Keep its groups, but start it afresh.",
            rich_help_panel=OUT,
        ),
    ] = False


@dataclass(frozen=True)
class Writing:
    """What is written, and where."""

    output: Output = None
    overwrite: Overwrite = False
    dry_run: Annotated[
        bool,
        Option("--dry-run", help="Show the plan; write no checkpoint.", rich_help_panel=OUT),
    ] = False
    report: ReportFile = None
    device: Device = "auto"
    dtype: Dtype = None
    max_shard_size: MaxShardSize = None
    workers: Workers = None


@dataclass(frozen=True)
class Probing:
    """How teacher and student are compared."""

    probes: Annotated[
        int,
        Option(
            "--probes",
            metavar="N",
            parser=parse_count,
            help="Random inputs to compare.",
            show_default=True,
            rich_help_panel=CHECK,
        ),
    ] = PROBES
    probe_data: Annotated[
        Path | None,
        Option(
            "--probe-data",
            metavar="FILE",
            help="Inputs (.safetensors) in their place.",
            rich_help_panel=CHECK,
        ),
    ] = None
    probe_memory: Annotated[
        int | None,
        Option(
            "--probe-memory",
            metavar="SIZE",
            parser=parse_size,
            help="Memory of a batch, as 4GB [default: 1GiB].",
            rich_help_panel=CHECK,
        ),
    ] = None
    tolerance: Annotated[
        float | None,
        Option(
            "--tolerance",
            metavar="X",
            parser=parse_bound,
            help="Largest relative error [default: by dtype].",
            rich_help_panel=CHECK,
        ),
    ] = None


@dataclass(frozen=True)
class Checking(Probing):
    """As Probing, for commands that can do without."""

    no_verify: Annotated[
        bool,
        Option("--no-verify", help="Leave the comparison out.", rich_help_panel=CHECK),
    ] = False


@dataclass(frozen=True)
class Common:
    """What every command takes."""

    format: Annotated[
        Format,
        Option(
            "--format",
            metavar="FORM",
            help="text, json, markdown or mermaid.",
            show_default=True,
            rich_help_panel=SHOW,
        ),
    ] = "text"
    json: Annotated[
        bool, Option("--json", help="Short for --format json.", rich_help_panel=SHOW)
    ] = False
    quiet: Annotated[
        bool,
        Option("--quiet", "-q", help="Results and errors only.", rich_help_panel=SHOW),
    ] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Say more.", rich_help_panel=SHOW)] = (
        False
    )
    no_color: Annotated[
        bool,
        Option("--no-color", help="No colours, no moving bars.", rich_help_panel=SHOW),
    ] = False
    debug: Annotated[
        bool,
        Option("--debug", help="Show tracebacks of errors, too.", rich_help_panel=SHOW),
    ] = False

    @property
    def form(self) -> Format:
        """The form of the result: ``--json`` is short for one of them."""
        return "json" if self.json else self.format

    def screen(self) -> Screen:
        """The consoles to print on."""
        from net2net_cli.console import open_screen

        return open_screen(no_color=self.no_color, quiet=self.quiet, verbose=self.verbose)


def glance(arguments: Sequence[str]) -> Common:
    """What a command line asks for in its messages, where it could not be parsed to the end."""
    words = list(arguments)
    forms = [after for word, after in pairwise(words) if word == "--format"]
    as_json = "--json" in words or "--format=json" in words or "json" in forms
    return Common(
        json=as_json,
        quiet="-q" in words or "--quiet" in words,
        no_color="--no-color" in words,
        debug="--debug" in words,
    )
