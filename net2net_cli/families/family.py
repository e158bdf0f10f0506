"""What a family is: for each tensor its axes, for each width its config key, and its own rules.

``reading`` says how a family's file is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from net2net_cli.notation import Line

FLAGS = ("gain", "shift", "final", "embedding", "normed", "ones", "zeros", "optional")
"""What may stand behind a tensor's axes:

gain       the weight of a norm over the stream; shift: its bias
final      of the norm in front of the head; of a head: it reads that norm, beside a tied one
embedding  the modelling code multiplies it by the square root of the hidden size
normed     its rows are normalised again, with the stream's eps
ones       any other gain: new entries are 1; zeros: new entries are 0
optional   a checkpoint may do without it
"""

NormKind = Literal["rms", "layer", "post", "even"]
Value = None | bool | int | float | str
Config = Mapping[str, object]


@dataclass(frozen=True)
class TensorRule:
    """One line: a pattern of names, its axes and flags. In a pattern, ``*`` is a block's number
    and ``{width}`` the number in a list of modules that is itself a width."""

    pattern: str
    line: Line
    flags: frozenset[str]
    head: bool = False

    @property
    def optional(self) -> bool:
        """Whether a checkpoint may do without it."""
        return self.head or "optional" in self.flags

    @property
    def module(self) -> str:
        """The pattern of the module that holds the tensor."""
        return self.pattern.rpartition(".")[0] or self.pattern

    def match(self, name: str, prefix: str) -> Mapping[str, int] | None:
        """The numbers in a name of this pattern, by ``*`` or width; None for another name."""
        found = self._compiled.fullmatch(name if self.head else name.removeprefix(prefix))
        if found is None or not (self.head or name.startswith(prefix)):
            return None
        return {key.replace("block", "*", 1): int(n) for key, n in found.groupdict().items()}

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return pattern_of(self.pattern)


def pattern_of(text: str) -> re.Pattern[str]:
    """A pattern of names as a regular expression."""
    escaped = re.escape(text).replace(r"\*", r"(?P<block>0|[1-9]\d*)", 1)
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>0|[1-9]\\d*)", escaped))


@dataclass(frozen=True)
class Stream:
    """The residual stream: its width, and the norms over it.

    ``eps`` is the config key, None where modelling code bakes it in (``baked`` is its value then);
    ``one_plus``: gains are stored as w of 1 + w. ``logits_over_sqrt`` is the config key (or
    ``a or b``: the first that is there) under which logits are divided by the square root of the
    hidden size.
    """

    width: str
    norm: NormKind
    eps: str | None
    baked: float
    one_plus: bool = False
    because: str = ""
    logits_over_sqrt: str | None = None


@dataclass(frozen=True)
class Need:
    """A config key that must have one of some values; otherwise nothing is known of the model."""

    key: str
    values: tuple[object, ...]
    because: str


@dataclass(frozen=True)
class Grows:
    """How a width may grow (``by`` is None: as others do); ``scaled``: what writes it is multiplied
    by sqrt(after / before), because attention divides scores by the square root of its size;
    ``needs``: what the config must say for it to grow at all."""

    by: frozenset[str] | None
    scaled: bool
    because: str
    needs: tuple[Need, ...]


@dataclass(frozen=True)
class Blocks:
    """A row of equal blocks.

    ``name`` is the list of modules; ``count`` the expression of their number; ``zero`` the modules
    (or tensors) that are zero in an inserted block; ``lists`` the config lists with an entry for
    each block (and the cycle that they are made of where the key is absent); ``indices`` config
    lists of blocks' numbers; ``bounds`` keys that say where the first so many end. For post-norm
    blocks ``last`` is the last norm, ``first`` are those before it.
    """

    name: str
    count: str
    zero: tuple[str, ...]
    lists: Mapping[str, tuple[object, ...] | None]
    indices: tuple[str, ...]
    bounds: tuple[str, ...]
    last: str | None
    first: tuple[str, ...]
    needs: tuple[Need, ...]


@dataclass(frozen=True)
class Upcycling:
    """How a dense checkpoint of one of the families ``sources`` becomes one of this family.

    ``rename``: modules of a block by those that they become (in every expert); ``new``: patterns of
    the tensors that only this family has; ``classes``: how names of classes begin; ``config``: keys
    written where neither source nor target says them; ``sizes``: keys written as expressions of the
    source's; ``drop``: keys left out; ``needs``: what the source must say.
    """

    sources: tuple[str, ...]
    rename: Mapping[str, str]
    new: tuple[str, ...]
    classes: Mapping[str, str]
    config: Mapping[str, object]
    sizes: Mapping[str, str]
    drop: tuple[str, ...]
    needs: tuple[Need, ...]


@dataclass(frozen=True)
class Family:
    """One family of transformers.

    ``prefixes``: what the base model's tensors may lie under; ``divides``: config keys that the
    library wants to be multiples of others; ``text``: its file, where it is not the package's own.
    """

    name: str
    model_types: tuple[str, ...]
    prefixes: tuple[str, ...]
    defaults: Mapping[str, object]
    widths: Mapping[str, str]
    grows: Mapping[str, Grows]
    stream: Stream
    blocks: tuple[Blocks, ...]
    tensors: tuple[TensorRule, ...]
    tied: Mapping[str, str]
    follows: Mapping[str, str]
    times: Mapping[str, str]
    needs: tuple[Need, ...]
    divides: Mapping[str, str]
    upcycling: Upcycling | None = None
    text: str | None = None

    def value(self, config: Config, key: str) -> object:
        """A config's value, or what transformers takes where it has none."""
        found: object = config
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return self.defaults.get(key) if found is None else found

    def says(self, config: Config, keys: str | None) -> bool:
        """Whether the first of some keys (``a or b``) that a config has is true."""
        values = (self.value(config, key) for key in (keys or "").split(" or "))
        return bool(next((value for value in values if value is not None), False))

    def row(self, name: str) -> Blocks:
        """The row of blocks of that name."""
        return next(row for row in self.blocks if row.name == name)
