"""The layer types that ``torch.nn`` lacks, as Python: a line for each.

A function is an expression where it stands in a ``forward``; a helper is a small class in the file,
for what behaves otherwise in training, and for functions that stand in a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from net2net_cli.export.code import Expression, Text, call, listed, literal
from net2net_cli.network import Value

Args = Mapping[str, Value]
Function = Callable[[Sequence[str], Args], Expression]
"""The expression for what a layer computes, of the names of what it reads and its arguments."""


def _operator(sign: str) -> Function:
    return lambda read, _: Text(f" {sign} ".join(read))


def _method(name: str, *arguments: str, **keywords: Value) -> Function:
    """``x.name(...)`` with arguments of the layer; a keyword is left out where it has the value
    that is given here."""

    def said(read: Sequence[str], args: Args) -> Expression:
        given = [literal(_one(args[argument])) for argument in arguments]
        more = {key: literal(args[key]) for key, usual in keywords.items() if args[key] != usual}
        return call(f"{read[0]}.{name}", *given, **more)

    return said


def _function(name: str, *arguments: str, **keywords: Value) -> Function:
    """``name(x, ...)``, as ``_method``."""

    def said(read: Sequence[str], args: Args) -> Expression:
        given = [literal(args[argument]) for argument in arguments]
        more = {key: literal(args[key]) for key, usual in keywords.items() if args[key] != usual}
        return call(name, *read, *given, **more)

    return said


def _one(value: Value) -> Value:
    """A list of one axis as that axis."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _many(value: Value) -> list[str]:
    return [literal(item) for item in (value if isinstance(value, tuple) else (value,))]


def _flattened(read: Sequence[str], args: Args) -> Expression:
    ends = [args["start_dim"], *([args["end_dim"]] if args["end_dim"] != -1 else [])]
    return call("torch.flatten", read[0], *map(literal, ends))


def _largest(read: Sequence[str], args: Args) -> Expression:
    dim = int(str(args["dim"]))
    return Text(f"{read[0]}.unflatten({dim}, (-1, {args['pieces']})).amax({dim + 1})")


def _sliced(read: Sequence[str], args: Args) -> Expression:
    dim = int(str(args["dim"]))
    start, end, step = args["start"] or "", args["end"], args["step"]
    part = f"{start}:{'' if end is None else end}" + (f":{step}" if step != 1 else "")
    axes = [":"] * dim + [part] if dim > 0 else ["...", part, *[":"] * (-dim - 1)]
    return Text(f"{read[0]}[{', '.join(axes)}]")


def _indexed(read: Sequence[str], args: Args) -> Expression:
    dim = int(str(args["dim"]))
    index = read[1].removesuffix("[None]") if read[1].endswith("[None]") else f"{read[1]}[0]"
    axes = [":"] * dim + [index] if dim > 0 else ["...", index, *[":"] * (-dim - 1)]
    return Text(f"{read[0]}[{', '.join(axes)}]")


def _chunked(read: Sequence[str], args: Args) -> Expression:
    return Text(f"{read[0]}.chunk({args['chunks']}, {args['dim']})[{args['index']}]")


def _clamped(read: Sequence[str], args: Args) -> Expression:
    ends = {end: literal(args[end]) for end in ("min", "max") if args[end] is not None}
    return call(f"{read[0]}.clamp", **ends)


def _attention(read: Sequence[str], args: Args) -> Expression:
    usual: Args = {"is_causal": False, "scale": None, "enable_gqa": False}
    given = {key: literal(args[key]) for key, value in usual.items() if args[key] != value}
    if args["dropout_p"]:
        given["dropout_p"] = f"{literal(args['dropout_p'])} if self.training else 0.0"
    return call("nn.functional.scaled_dot_product_attention", *read, **given)


FUNCTIONS: Mapping[str, Function] = {
    "Add": _operator("+"),
    "Subtract": _operator("-"),
    "Multiply": _operator("*"),
    "Divide": _operator("/"),
    "MatMul": _operator("@"),
    "Maximum": _function("torch.maximum"),
    "Minimum": _function("torch.minimum"),
    "Concat": lambda read, args: call("torch.cat", listed(*read), literal(args["dim"])),
    "ScaledDotProductAttention": _attention,
    "Einsum": lambda read, args: call("torch.einsum", literal(args["equation"]), *read),
    "Flatten": _flattened,
    "Permute": lambda read, args: call(f"{read[0]}.permute", "0", *_many(args["dims"])),
    "Transpose": _method("transpose", "dim0", "dim1"),
    "Reshape": lambda read, args: call(
        f"{read[0]}.reshape", f"{read[0]}.shape[0]", *_many(args["shape"])
    ),
    "Squeeze": _method("squeeze", "dim"),
    "Unsqueeze": _method("unsqueeze", "dim"),
    "Expand": lambda read, args: call(f"{read[0]}.expand", "-1", *_many(args["sizes"])),
    "Flip": _method("flip", "dims"),
    "Roll": _method("roll", "shifts", "dims"),
    "Pad": _function("nn.functional.pad", "pad", mode="constant", value=0.0),
    "Chunk": _chunked,
    "Slice": _sliced,
    "Select": _method("select", "dim", "index"),
    "IndexSelect": _indexed,
    "Mean": _method("mean", "dim", keepdim=False),
    "Sum": _method("sum", "dim", keepdim=False),
    "Amax": _method("amax", "dim", keepdim=False),
    "Amin": _method("amin", "dim", keepdim=False),
    "Var": _method("var", "dim", correction=1, keepdim=False),
    "Std": _method("std", "dim", correction=1, keepdim=False),
    "Normalize": _function("nn.functional.normalize", p=2.0, dim=1, eps=1e-12),
    "Maxout": _largest,
    "Scale": lambda read, args: Text(f"{read[0]} * {literal(args['value'])}"),
    "Shift": lambda read, args: Text(f"{read[0]} + {literal(args['value'])}"),
    "Power": _method("pow", "exponent"),
    "Clamp": _clamped,
    "Negative": lambda read, _: Text(f"-{read[0]}"),
    **{
        name: _method(name.lower())
        for name in (
            "Abs", "Exp", "Expm1", "Log", "Log1p", "Sqrt", "Rsqrt", "Square", "Reciprocal", "Sin",
            "Cos", "Atan", "Erf", "Sign",
        )
    },
}  # fmt: skip

_RECURRENT = '''class LSTM(nn.LSTM):
    """One of the values that it gives: the output of every step, or a last state."""

    def __init__(
        self, input_size: int, hidden_size: int, *, returns: str = "output", **more
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, **more)
        self.returns = returns

    def forward(self, x: Tensor) -> Tensor:
        # Whichever they are now: they may be lent by another module.
        self._flat_weights = [getattr(self, name) for name in self._flat_weights_names]
        output, state = super().forward(x)
        if self.returns == "output":
            return output
        states = state if isinstance(state, tuple) else (state,)
        return states[-1 if self.returns == "cell" else 0].transpose(0, 1)
'''

HELPERS: Mapping[str, str] = {
    "Permute": '''class Permute(nn.Module):
    """Its axes in another order; the first, which counts examples, stays."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, *self.dims)
''',
    "Maxout": '''class Maxout(nn.Module):
    """The largest of each few adjacent entries along an axis."""

    def __init__(self, pieces: int, dim: int = 1) -> None:
        super().__init__()
        self.pieces = pieces
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(self.dim, (-1, self.pieces)).amax(self.dim + 1)
''',
    "LayerNorm2d": '''class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
''',
    "MultiheadAttention": '''class MultiheadAttention(nn.MultiheadAttention):
    """Attention of values to themselves, or of queries to keys and values: what it gives alone."""

    def __init__(
        self, embed_dim: int, *, num_heads: int, is_causal: bool = False, **more
    ) -> None:
        super().__init__(embed_dim, num_heads, batch_first=True, **more)
        self.is_causal = is_causal

    def forward(self, *values: Tensor) -> Tensor:
        count = max(len(value) for value in values)
        values = tuple(value.expand(count, *value.shape[1:]) for value in values)
        q, k, v = values * 3 if len(values) == 1 else values
        mask = None
        if self.is_causal:
            mask = torch.ones(
                q.shape[1], k.shape[1], dtype=torch.bool, device=q.device
            ).triu(1)
        return super().forward(q, k, v, attn_mask=mask, need_weights=False)[0]
''',
    "WindowAttention": '''class WindowAttention(nn.Module):
    """Swin's attention within windows of an image, whose channels are its last axis."""

    def __init__(
        self,
        embed_dim: int,
        *,
        num_heads: int,
        window_size: tuple[int, int],
        shift_size: tuple[int, int] = (0, 0),
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.window, self.shift = num_heads, window_size, shift_size
        self.attention_dropout = attention_dropout
        self.dropout = nn.Dropout(dropout)
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias)
        self.proj = nn.Linear(embed_dim, embed_dim, bias=proj_bias)
        a, b = window_size
        table = torch.empty((2 * a - 1) * (2 * b - 1), num_heads)
        self.relative_position_bias_table = nn.Parameter(
            nn.init.trunc_normal_(table, std=0.02)
        )
        at = torch.cartesian_prod(torch.arange(a), torch.arange(b))
        apart = at[:, None] - at + torch.tensor([a - 1, b - 1])
        index = (apart[..., 0] * (2 * b - 1) + apart[..., 1]).flatten()
        self.register_buffer("relative_position_index", index)

    def forward(self, x: Tensor) -> Tensor:
        n, high, wide, c = x.shape
        a, b = self.window
        x = nn.functional.pad(x, (0, 0, 0, -wide % b, 0, -high % a))
        rows, columns = x.shape[1] // a, x.shape[2] // b
        shift = tuple(s if k > 1 else 0 for s, k in zip(self.shift, (rows, columns)))
        windows = x.roll((-shift[0], -shift[1]), (1, 2)).reshape(
            n, rows, a, columns, b, c
        )
        tokens = windows.transpose(2, 3).reshape(-1, a * b, c)
        q, k, v = (
            self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.reshape(a * b, a * b, -1).permute(2, 0, 1)
        mask = self.mask(rows, columns, shift).to(bias).repeat(n, 1, 1)[:, None] + bias
        p = self.attention_dropout if self.training else 0.0
        x = (
            nn.functional.scaled_dot_product_attention(q, k, v, mask, p)
            .transpose(1, 2)
            .flatten(2)
        )
        x = (
            self.dropout(self.proj(x))
            .reshape(n, rows, columns, a, b, c)
            .transpose(2, 3)
        )
        return x.reshape(n, rows * a, columns * b, c).roll(shift, (1, 2))[
            :, :high, :wide
        ]

    def mask(self, rows: int, columns: int, shift: tuple[int, int]) -> Tensor:
        """-100 between tokens that the shift has brought together from opposite sides."""
        a, b = self.window
        regions = torch.zeros(rows * a, columns * b)
        for axis, (side, by) in enumerate(zip(self.window, shift)):
            place = torch.arange(regions.shape[axis])
            size = len(place)
            part = (
                (place >= size - side).long() + (place >= size - by).long()
                if by
                else place * 0
            )
            regions += part[:, None] * 3 if axis == 0 else part
        ids = (
            regions.reshape(rows, a, columns, b)
            .transpose(1, 2)
            .reshape(rows * columns, -1)
        )
        return (ids[:, None] != ids[:, :, None]) * -100.0
''',
    **{name: _RECURRENT.replace("LSTM", name) for name in ("LSTM", "GRU", "RNN")},
    "StochasticDepth": '''class StochasticDepth(nn.Module):
    """In training, zeros for some examples (or for all at once), the rest scaled up."""

    def __init__(self, p: float = 0.0, mode: str = "row") -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        rows = x.shape[0] if self.mode == "row" else 1
        kept = torch.empty((rows, *[1] * (x.ndim - 1)), dtype=x.dtype, device=x.device)
        kept.bernoulli_(1 - self.p)
        return x * (kept.div_(1 - self.p) if self.p < 1 else kept)
''',
}
"""Classes by the layer type that they are."""

HELD: Mapping[str, Literal["parameter", "buffer"]] = {
    "LayerScale": "parameter",
    "Parameter": "parameter",
    "Buffer": "buffer",
    "Constant": "buffer",
}
"""Types that are a tensor under their own name, and no module."""


def held_value(kind: str, tensor: str, read: Sequence[str], args: Args) -> Expression:
    """What such a layer gives: its tensor, under an axis for the examples, or times what it
    reads."""
    if kind == "LayerScale":
        return Text(f"{read[0]} * {tensor}")
    return Text(tensor if args.get("batched") else f"{tensor}[None]")


def constant(args: Args) -> Expression:
    """The tensor that a spec writes out, or that it holds packed (see layers.constants)."""
    dtype = f"torch.{args['dtype']}"
    if args["value"] is not None:
        return call("torch.tensor", _nested(args["value"]), dtype=dtype)
    text = call("base64.b64decode", literal(args["data"]))
    raw = call("bytearray", call("zlib.decompress", text))
    flat = call("torch.frombuffer", raw, dtype=dtype)
    return call("torch.reshape", flat, literal(args["shape"]))


def _nested(value: Value) -> Expression:
    return listed(*map(_nested, value)) if isinstance(value, tuple) else Text(literal(value))
