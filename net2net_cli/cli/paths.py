"""Which checkpoint a command reads and which it writes, where the command line leaves it out."""

from __future__ import annotations

from pathlib import Path

from net2net_cli.errors import UsageError

STREAM = "-"


def checkpoint_of(given: str | None, spec: Path | None) -> str:
    """The checkpoint: as given, or the spec's ``source:``, which is relative to the spec."""
    if given is not None:
        return given
    if spec is None:
        raise UsageError("no checkpoint is named", hint="give one, or --spec FILE with `source:`")
    from net2net_cli.spec import read_document

    source = read_document(spec).source
    if source is None:
        raise UsageError(
            "no checkpoint is named, and the spec has no `source:`",
            where=str(spec),
            hint="name a checkpoint, or write `source: FILE` into the spec",
        )
    return str(spec.parent / source)


def output_of(given: str | None, spec: Path | None, checkpoint: Path | None, ending: str) -> str:
    """The output: as given, or the spec's ``output:``, or the checkpoint's name with an ending.

    ``checkpoint`` is None where it comes from a stream, which has no name.
    """
    if given is not None:
        return given
    if spec is not None:
        from net2net_cli.spec import read_document

        output = read_document(spec).output
        if output is not None:
            return str(spec.parent / output)
    if checkpoint is None:
        raise UsageError(
            "standard input has no name to derive the output's from", hint="say -o OUT, or -o -"
        )
    suffix = "" if checkpoint.is_dir() else checkpoint.suffix
    stem = checkpoint.name[: len(checkpoint.name) - len(suffix)]
    return str(checkpoint.with_name(f"{stem}-{ending}{suffix}"))


def check_streams(output: str, form: str) -> None:
    """Standard output holds the checkpoint or a document, not both."""
    if output == STREAM and form != "text":
        raise UsageError(
            f"-o - and --format {form} both take standard output",
            hint="write the report to a file: --report report.json",
        )
