"""What a target asks for: the source's config with other sizes, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping

from net2net_cli.errors import SpecError, UnreachableError, UsageError, closest
from net2net_cli.families.family import Config, Family
from net2net_cli.families.lay import (
    LaidFamily,
    check_divides,
    check_needs,
    lay_out,
    stream_reason,
)
from net2net_cli.families.sizes import alternatives, evaluate, size_keys, size_of
from net2net_cli.layout import tensor_widths

FREE = (
    "transformers_version", "torch_dtype", "dtype", "_name_or_path", "use_cache", "architectures",
    "model_type",
)  # fmt: skip
"""What another config.json, named as the target, may say differently: it changes no function."""


def target_of(
    source: LaidFamily, family: Family, changes: Config, where: str, *, whole: bool = False
) -> LaidFamily:
    """The target's family at its sizes, without tensors: ``growth.compare`` says their names.

    ``changes`` are keys of config.json, ``whole`` says that they are another's whole config.json.
    Raises UnreachableError (exit 3) for a key that is no size, since it would change the function,
    UsageError for one that does not exist.
    """
    base = source.config
    if family != source.family:
        base = upcycled(source, family, where)
    config = _changed(source, family, base, changes, where, whole=whole)
    config = _followed(source, family, config, changes, source.stored(), where)
    return outline(source, family, config, where)


def outline(source: LaidFamily, family: Family, config: Config, where: str) -> LaidFamily:
    """A target's family at its sizes, without tensors."""
    prefix = source.prefix if source.prefix in family.prefixes else ""
    return lay_out(family, config, (), where, stored=source.stored(), prefix=prefix)


def _changed(
    source: LaidFamily, family: Family, base: Config, changes: Config, where: str, *, whole: bool
) -> dict[str, object]:
    allowed = set(size_keys(family)) | set(family.follows)
    derived = {family.stream.eps, *family.times}
    derived |= {key for row in family.blocks for key in (*row.lists, *row.indices)}
    config = dict(base)
    for said, value in changes.items():
        key = _present(family, base, said)
        if value == family.value(config, key) or (whole and key in (*FREE, *derived)):
            continue
        ways = family.upcycling if family != source.family else None
        free = ways is not None and key in ways.config
        if key not in allowed and not free and key not in family.times:
            raise _refused(source, family, key, sorted(allowed), where)
        if key in allowed and (not isinstance(value, int) or isinstance(value, bool)):
            raise SpecError(f"`{key}` is a whole number, not {_said(value)}", where=where)
        before = source.family.value(source.config, key)
        if key in allowed and isinstance(before, int) and isinstance(value, int) and value < before:
            raise shrinking(key, before, value, where)
        config[key] = value
    return config


def shrinking(name: str, before: int, after: int, where: str) -> UnreachableError:
    """The error that a smaller size is."""
    return UnreachableError(
        f"`{name}` shrinks from {before} to {after}",
        where=where,
        hint="a student is never smaller than its teacher",
    )


def _said(value: object) -> str:
    """A value as a user would write it."""
    return "nothing" if value is None else f"`{json.dumps(value, default=str)}`".replace('"', "")


def _present(family: Family, config: Config, key: str) -> str:
    """The key that the config has for the same width, where it goes by two names."""
    for text in family.widths.values():
        names = [parts[0] for parts in alternatives(text) if len(parts) == 1]
        if key in names and config.get(key) is None:
            return next(
                (n for n in names if config.get(n) is not None and n not in family.widths), key
            )
    return key


def _refused(
    source: LaidFamily, family: Family, key: str, allowed: list[str], where: str
) -> UsageError | UnreachableError:
    if key not in source.config and key not in family.defaults:
        return UsageError(
            f"the config has no key `{key}`",
            where=where,
            hint=closest(key, allowed) or f"sizes are {', '.join(allowed)}",
        )
    return UnreachableError(
        f"`{key}` is no size of the family {family.name}: changing it changes the function",
        where=where,
        hint=f"sizes are {', '.join(allowed)}",
    )


def _followed(
    source: LaidFamily,
    family: Family,
    config: dict[str, object],
    changes: Config,
    stored: Mapping[str, int],
    where: str,
) -> dict[str, object]:
    """With what is kept written out, and keys that repeat a size written along."""
    before = source_sizes(source, family, where)
    _check_even(source, family, config, where)
    check_divides(family, config, where)
    used = {w.name for t in source.layout.tensors.values() for w in tensor_widths(t)}
    for name, grows in family.grows.items():
        first = alternatives(family.widths[name])[0]
        kept = len(first) == 1 and grows.by == frozenset() and name in used
        unsaid = kept and family.value(config, first[0]) is None
        if unsaid and _moves(name, before[name], family, config, stored, where):
            config[first[0]] = before[name]
    after = evaluate(family, config, stored, where)
    for key, width in family.times.items():
        old = family.value(source.config, key)
        if key in changes and family == source.family and isinstance(old, int):
            wanted = old * after[width] // before[width]
            if config[key] != wanted:
                raise UnreachableError(
                    f"`{key}` follows from the number of `{width}`: {wanted}, not {config[key]}",
                    where=where,
                    hint="leave it out: it is written along",
                )
    for key, width in family.follows.items():
        if key not in config or width not in before:
            continue
        if key in changes and config[key] != after[width]:
            raise UnreachableError(
                f"`{key}` repeats the size of `{width}`, which is {after[width]}", where=where
            )
        if config[key] == before[width]:
            config[key] = after[width]
    return config


def _check_even(source: LaidFamily, family: Family, config: Config, where: str) -> None:
    """Raise UnreachableError for a hidden size that copies in equal number cannot have, before
    other rules tell of sizes that it cannot have either."""
    stream = family.stream
    key = alternatives(family.widths[stream.width])[0][0]
    before, after = source.sizes()[stream.width], family.value(config, key)
    if stream.norm in ("post", "even") and isinstance(after, int) and after % before:
        raise UnreachableError(
            f"`{key}` cannot grow from {before} to {after}: {stream_reason(stream)}",
            where=where,
            hint=f"use a whole multiple of {before}, such as {2 * before}",
        )


def _moves(
    name: str, before: int, family: Family, config: Config, stored: Mapping[str, int], where: str
) -> bool:
    """Whether a width that shall stay would follow others."""
    try:
        return evaluate(family, config, stored, where)[name] != before
    except SpecError:  # it would not even be a whole number
        return True


def source_sizes(source: LaidFamily, family: Family, where: str) -> dict[str, int]:
    """The sizes of a target family's widths in the source."""
    if family == source.family:
        return source.sizes()
    return evaluate(family, upcycled(source, family, where), {}, where)


def upcycled(source: LaidFamily, family: Family, where: str) -> dict[str, object]:
    """The config of a dense model as that of one with experts, before anything grows."""
    ways = family.upcycling
    if ways is None or source.family.name not in ways.sources:
        raise UnreachableError(
            f"a checkpoint of the family {source.family.name} cannot become one of {family.name}",
            where=where,
            hint=f"{family.name} grows out of {' or '.join(ways.sources)}"
            if ways
            else "leave `family` as it is",
        )
    check_needs(ways.needs, source.family, source.config, source.where)
    config = {key: value for key, value in source.config.items() if key not in ways.drop}
    for key in (*source.family.defaults, *family.defaults, *ways.config):
        own = source.family.value(source.config, key)
        if config.get(key) is None and (own is not None or key in ways.config):
            config[key] = ways.config[key] if own is None else own
    for key, text in ways.sizes.items():
        config[key] = size_of(key, text, source.sizes(), source.family, source.config, source.where)
    config["model_type"] = family.model_types[0]
    named = config.get("architectures")
    if isinstance(named, list):
        config["architectures"] = [_class(str(name), ways.classes) for name in named]
    return config


def _class(name: str, classes: Mapping[str, str]) -> str:
    for old, new in classes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
