"""What the arguments of one layer must be together, as torch.nn itself demands it.

Each rule looks at one layer's arguments and says which one is wrong, and why. Whether layers fit
each other is the layout's subject.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from net2net_cli.errors import Place, SpecError
from net2net_cli.network import Value

Args = Mapping[str, Value]
Wrong = tuple[str, str, str]
"""An argument, what it must be, and a remedy."""
LINEAR_MODES = ("linear", "bilinear", "bicubic", "trilinear")


def check_together(
    name: str, kind: str, args: Args, places: Mapping[str, Place], place: Place
) -> None:
    """Refuse arguments that torch would refuse. Raises SpecError at the argument or the layer."""
    for rule in _RULES:
        for arg, must, remedy in rule(kind, args):
            raise SpecError(
                f"`{arg}` of {name} ({kind}) must be {must}",
                where=places.get(arg, place),
                hint=remedy,
            )


def _sizes(args: Args, name: str) -> tuple[int, ...]:
    value = args.get(name)
    return tuple(n for n in value if isinstance(n, int)) if isinstance(value, tuple) else ()


def _dropout(kind: str, args: Args) -> Iterator[Wrong]:
    p = args.get("p")
    drops = "Dropout" in kind or kind == "StochasticDepth"
    if drops and isinstance(p, float) and not 0 <= p <= 1:
        yield "p", "from 0 to 1", "it is the probability that a value is dropped"


def _eps(_kind: str, args: Args) -> Iterator[Wrong]:
    eps = args.get("eps")
    if isinstance(eps, float) and not 0 <= eps < float("inf"):
        yield "eps", "0 or above", "write a small number, as in `eps: 1e-5`"


def _bounds(_kind: str, args: Args) -> Iterator[Wrong]:
    for low, high in (("min_val", "max_val"), ("lower", "upper"), ("min", "max")):
        least, most = args.get(low), args.get(high)
        if isinstance(least, float) and isinstance(most, float) and least > most:
            yield high, f"above `{low}`", f"write the smaller of the two as `{low}`"


def _upsample(kind: str, args: Args) -> Iterator[Wrong]:
    if kind != "Upsample":
        return
    if (args["size"] is None) == (args["scale_factor"] is None):
        yield "scale_factor", "given, or `size`, but not both", "write `scale_factor: 2`"
    if args["align_corners"] is not None and args["mode"] not in LINEAR_MODES:
        yield "align_corners", f"left out with mode {args['mode']}", "remove it"


def _same(_kind: str, args: Args) -> Iterator[Wrong]:
    if args.get("padding") == "same" and set(_sizes(args, "stride")) != {1}:
        yield "padding", "a number where the stride is not 1", "write for example `padding: 1`"


def _pool(kind: str, args: Args) -> Iterator[Wrong]:
    if not kind.startswith(("MaxPool", "AvgPool")):
        return
    kernel, padding = _sizes(args, "kernel_size"), _sizes(args, "padding")
    dilation = _sizes(args, "dilation") or (1,) * len(kernel)
    for pad, taps, step in zip(padding, kernel, dilation, strict=True):
        if 2 * pad > (taps - 1) * step + 1:
            yield "padding", "at most half of the kernel", "make it smaller, or pad in a ZeroPad"


def _transposed(_kind: str, args: Args) -> Iterator[Wrong]:
    names = ("output_padding", "stride", "dilation")
    if "output_padding" in args:
        for more, step, spread in zip(*(_sizes(args, name) for name in names), strict=True):
            if more >= max(step, spread):
                yield "output_padding", "smaller than stride or dilation", "make it smaller"


def _permutation(kind: str, args: Args) -> Iterator[Wrong]:
    dims = _sizes(args, "dims")
    if kind == "Permute" and sorted(dims) != list(range(1, len(dims) + 1)):
        yield "dims", f"each of 1 to {len(dims)} once", "the batch axis stays and is not named"


def _padding_idx(_kind: str, args: Args) -> Iterator[Wrong]:
    idx, count = args.get("padding_idx"), args.get("num_embeddings")
    if isinstance(idx, int) and isinstance(count, int) and not -count <= idx < count:
        yield "padding_idx", f"from {-count} to {count - 1}", "it names one of the embeddings"


def _clamp(kind: str, args: Args) -> Iterator[Wrong]:
    if kind == "Clamp" and args["min"] is None and args["max"] is None:
        yield "max", "given, or `min`", "write `min: 0.0`"


def _shape(kind: str, args: Args) -> Iterator[Wrong]:
    for name in ("unflattened_size", "shape"):
        sizes = _sizes(args, name)
        if 0 in sizes or sizes.count(-1) > 1:
            yield name, "sizes, one of which may be -1", "-1 is what the others leave"
    if kind == "Expand" and 0 in _sizes(args, "sizes"):
        yield "sizes", "sizes, or -1 for an axis that stays", "write -1 for those that stay"


def _chunk(kind: str, args: Args) -> Iterator[Wrong]:
    chunks, index = args.get("chunks"), args.get("index")
    if kind == "Chunk" and isinstance(chunks, int) and isinstance(index, int) and index >= chunks:
        yield "index", f"from 0 to {chunks - 1}", "the first chunk is 0"


def _moved(kind: str, args: Args) -> Iterator[Wrong]:
    dims = _sizes(args, "dims")
    if kind == "Roll" and len(_sizes(args, "shifts")) != len(dims):
        yield "shifts", "as many as `dims`", "name each axis and how far it is rolled"
    reduced = kind in ("Flip", "Roll", "Mean", "Sum", "Amax", "Amin", "Var", "Std")
    for name in ("dims", "dim"):
        if reduced and len(set(found := _sizes(args, name))) < len(found):
            yield name, "axes that differ", "name each axis once"
    if kind == "Pad" and len(_sizes(args, "pad")) % 2:
        yield "pad", "two numbers for each axis", "before and after, the last axis first"


def _constant(kind: str, args: Args) -> Iterator[Wrong]:
    if kind != "Constant":
        return
    if args["value"] is None and (args["shape"] is None or args["data"] is None):
        yield "value", "given, or `shape` and `data`", "write `value: [0.5, 1.0]`"
    if args["value"] is not None and (args["shape"] or args["data"]):
        yield "data", "left out where `value` is given", "remove it, and `shape`"


def _attention(kind: str, args: Args) -> Iterator[Wrong]:
    if kind == "MultiheadAttention" and (args["kdim"] is None) != (args["vdim"] is None):
        given, other = ("kdim", "vdim") if args["vdim"] is None else ("vdim", "kdim")
        yield other, f"given where `{given}` is", "say both, or neither"
    for name in ("window_size", "shift_size"):
        sizes = _sizes(args, name)
        if kind == "WindowAttention" and len(sizes) != 2:
            yield name, "two whole numbers", "height and width, as in `[7, 7]`"
    for p in ("dropout", "dropout_p", "attention_dropout"):
        value = args.get(p)
        if isinstance(value, float) and not 0 <= value <= 1:
            yield p, "from 0 to 1", "it is the probability that a value is dropped"


_PLAIN = re.compile(r"[A-Za-z]+(,[A-Za-z]+)*->[A-Za-z]+")


def _equation(kind: str, args: Args) -> Iterator[Wrong]:
    equation = args.get("equation")
    if kind != "Einsum" or not isinstance(equation, str):
        return
    remedy = "for example `nij,njk->nik`: letters, each axis once, and what comes out"
    terms = re.split(r",|->", equation)
    if not _PLAIN.fullmatch(equation) or any(len(set(t)) < len(t) for t in terms):
        yield "equation", "a plain pattern", remedy
    elif len({term[0] for term in terms}) > 1:
        yield "equation", "a pattern whose every term begins with the batch", remedy
    elif not set(terms[-1]) <= set("".join(terms[:-1])):
        yield "equation", "a pattern whose result has axes of its inputs", remedy


_RULES: tuple[Callable[[str, Args], Iterator[Wrong]], ...] = (
    _dropout, _eps, _bounds, _upsample, _same, _pool, _transposed, _permutation, _padding_idx,
    _clamp, _constant, _attention, _shape, _chunk, _moved, _equation,
)  # fmt: skip
