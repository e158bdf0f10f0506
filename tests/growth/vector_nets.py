"""Networks around the layers of vectors, ids and moved axes; see nets.py."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from tests.growth.nets import ALL, COPIES, EACH, ZERO, Net, chain

SIGNAL, IMAGE = (3, 9), (3, 7, 7)


def linears() -> Iterator[Net]:
    """Linear, Embedding, LayerNorm and what moves axes."""
    yield Net(
        "Linear",
        """fc1: {type: Linear, out_features: $n}
           fc2: {type: Linear, out_features: $n2, bias: false}
           tanh: {type: Tanh}
           last: {type: Linear, out_features: 3}""",
        lambda n: chain(fc1=nn.Linear(5, n), fc2=nn.Linear(n, 2 * n, bias=False), tanh=nn.Tanh(),
                        last=nn.Linear(2 * n, 3)),
        ((5,),), ZERO,
    )  # fmt: skip
    yield Net(
        "Linear:on positions",
        """fc1: {type: Linear, out_features: $n}
           relu: {type: ReLU}
           last: {type: Linear, out_features: 3}""",
        lambda n: chain(fc1=nn.Linear(5, n), relu=nn.ReLU(), last=nn.Linear(n, 3)),
        ((4, 2, 5),), ZERO,
    )  # fmt: skip
    yield Net(
        "Linear:beside the width",
        """first: {type: Conv1d, out_channels: $n, kernel_size: 3}
           mix: {type: Linear, out_features: 6}
           relu: {type: ReLU}
           last: {type: Conv1d, out_channels: 2, kernel_size: 2}""",
        lambda n: chain(first=nn.Conv1d(3, n, 3), mix=nn.Linear(7, 6), relu=nn.ReLU(),
                        last=nn.Conv1d(n, 2, 2)),
        (SIGNAL,), EACH,
    )  # fmt: skip
    for padding in ("", ", padding_idx: 2"):
        yield Net(
            f"Embedding{':padding' if padding else ''}",
            f"""embed: {{type: Embedding, num_embeddings: 11, embedding_dim: $n{padding}}}
               relu: {{type: ReLU}}
               flat: {{type: Flatten}}
               last: {{type: Linear, out_features: 3}}""",
            lambda n, padding=padding: chain(
                embed=nn.Embedding(11, n, 2 if padding else None), relu=nn.ReLU(),
                flat=nn.Flatten(), last=nn.Linear(5 * n, 3),
            ),
            ((5,),), ZERO, ids=11,
        )  # fmt: skip
    yield Net(
        "BatchNorm1d:vectors",
        """fc1: {type: Linear, out_features: $n}
           bn: {type: BatchNorm1d}
           elu: {type: ELU}
           last: {type: Linear, out_features: 3}""",
        lambda n: chain(fc1=nn.Linear(5, n), bn=nn.BatchNorm1d(n), elu=nn.ELU(),
                        last=nn.Linear(n, 3)),
        ((5,),), ZERO,
    )  # fmt: skip
    for what, shape in (("", (5,)), (":on positions", (2, 5))):
        dim = len(shape)
        yield Net(
            f"Maxout{what}",
            f"""fc1: {{type: Linear, out_features: $n3}}
               max: {{type: Maxout, pieces: 3, dim: {dim}}}
               last: {{type: Linear, out_features: 3}}""",
            lambda n, dim=dim: chain(
                fc1=nn.Linear(5, 3 * n), max=TorchMaxout(3, dim), last=nn.Linear(n, 3)
            ),
            (shape,), ZERO,
        )  # fmt: skip


class TorchMaxout(nn.Module):
    """The largest of adjacent features."""

    def __init__(self, pieces: int, dim: int) -> None:
        super().__init__()
        self.pieces, self.dim = pieces, dim

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(self.dim, (-1, self.pieces)).max(self.dim + 1)[0]


class TorchPermute(nn.Module):
    """torch.permute, the batch staying first."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, *self.dims)


def moved_axes() -> Iterator[Net]:
    """Flatten, Permute and their kin."""
    yield Net(
        "Flatten",
        """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
           pool: {type: MaxPool2d, kernel_size: 2}
           flat: {type: Flatten}
           last: {type: Linear, out_features: 3}""",
        lambda n: chain(first=nn.Conv2d(3, n, 3), pool=nn.MaxPool2d(2), flat=nn.Flatten(),
                        last=nn.Linear(4 * n, 3)),
        (IMAGE,), ZERO,
    )  # fmt: skip
    yield Net(
        "Flatten:positions",
        """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
           flat: {type: Flatten, start_dim: 2, end_dim: 3}
           last: {type: Conv1d, out_channels: 3, kernel_size: 25}""",
        lambda n: chain(first=nn.Conv2d(3, n, 3), flat=nn.Flatten(2), last=nn.Conv1d(n, 3, 25)),
        (IMAGE,), ALL,
    )  # fmt: skip
    yield Net(
        "Permute:channels last",
        """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
           nhwc: {type: Permute, dims: [2, 3, 1]}
           inner: {type: Linear, out_features: $n2}
           flat: {type: Flatten}
           last: {type: Linear, out_features: 3}""",
        lambda n: chain(first=nn.Conv2d(3, n, 3), nhwc=TorchPermute(2, 3, 1),
                        inner=nn.Linear(n, 2 * n), flat=nn.Flatten(), last=nn.Linear(50 * n, 3)),
        (IMAGE,), ALL,
    )  # fmt: skip
    yield Net(
        "ChannelShuffle",
        """first: {type: Conv2d, out_channels: $n4, kernel_size: 1}
           group: {type: Conv2d, out_channels: $n4, kernel_size: 1, groups: 2}
           shuffle: {type: ChannelShuffle, groups: 2}
           depth: {type: Conv2d, out_channels: $n4, kernel_size: 3, groups: $n4}
           last: {type: Conv2d, out_channels: 2, kernel_size: 1, groups: 2}""",
        lambda n: chain(first=nn.Conv2d(3, 4 * n, 1), group=nn.Conv2d(4 * n, 4 * n, 1, groups=2),
                        shuffle=nn.ChannelShuffle(2),
                        depth=nn.Conv2d(4 * n, 4 * n, 3, groups=4 * n),
                        last=nn.Conv2d(4 * n, 2, 1, groups=2)),
        (IMAGE,), ZERO,
    )  # fmt: skip


def layer_norms() -> Iterator[Net]:
    """LayerNorm over the width, and beside it."""
    for what, text, make in (
        ("", "", nn.LayerNorm),
        (":no bias", ", bias: false, eps: 0.01", lambda n: nn.LayerNorm(n, 0.01, bias=False)),
    ):
        yield Net(
            f"LayerNorm{what}",
            f"""fc1: {{type: Linear, out_features: $n}}
               ln: {{type: LayerNorm{text}}}
               silu: {{type: SiLU}}
               last: {{type: Linear, out_features: 3}}""",
            lambda n, make=make: chain(
                fc1=nn.Linear(5, n), ln=make(n), silu=nn.SiLU(), last=nn.Linear(n, 3)
            ),
            ((4, 5),), COPIES | {"mean"},
        )  # fmt: skip
    yield Net(
        "LayerNorm:no affine",
        """fc1: {type: Linear, out_features: $n}
           ln: {type: LayerNorm, elementwise_affine: false}
           last: {type: Linear, out_features: 3}""",
        lambda n: chain(fc1=nn.Linear(5, n), ln=nn.LayerNorm(n, elementwise_affine=False),
                        last=nn.Linear(n, 3)),
        ((5,),), COPIES,
    )  # fmt: skip
    yield Net(
        "LayerNorm:whole image",
        """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
           ln: {type: LayerNorm, normalized_shape: [$n, 5, 5]}
           last: {type: Conv2d, out_channels: 2, kernel_size: 1}""",
        lambda n: chain(first=nn.Conv2d(3, n, 3), ln=nn.LayerNorm((n, 5, 5)),
                        last=nn.Conv2d(n, 2, 1)),
        (IMAGE,), COPIES,
    )  # fmt: skip
    yield Net(
        "LayerNorm:beside the width",
        """first: {type: Conv1d, out_channels: $n, kernel_size: 3}
           ln: {type: LayerNorm}
           last: {type: Conv1d, out_channels: 2, kernel_size: 2}""",
        lambda n: chain(first=nn.Conv1d(3, n, 3), ln=nn.LayerNorm(7), last=nn.Conv1d(n, 2, 2)),
        (SIGNAL,), EACH,
    )  # fmt: skip
    yield Net(
        "LayerNorm:flattened",
        """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
           nhwc: {type: Permute, dims: [2, 3, 1]}
           ln: {type: LayerNorm}
           flat: {type: Flatten}
           last: {type: Linear, out_features: 3}""",
        lambda n: chain(first=nn.Conv2d(3, n, 3), nhwc=TorchPermute(2, 3, 1), ln=nn.LayerNorm(n),
                        flat=nn.Flatten(), last=nn.Linear(25 * n, 3)),
        (IMAGE,), COPIES | {"mean"},
    )  # fmt: skip
    yield Net(
        "LayerNorm:channels last",
        """first: {type: Conv2d, out_channels: $n, kernel_size: 3}
           nhwc: {type: Permute, dims: [2, 3, 1]}
           ln: {type: LayerNorm}
           nchw: {type: Permute, dims: [3, 1, 2]}
           relu: {type: ReLU}
           last: {type: Conv2d, out_channels: 2, kernel_size: 3, padding: 1}""",
        lambda n: chain(first=nn.Conv2d(3, n, 3), nhwc=TorchPermute(2, 3, 1), ln=nn.LayerNorm(n),
                        nchw=TorchPermute(3, 1, 2), relu=nn.ReLU(),
                        last=nn.Conv2d(n, 2, 3, padding=1)),
        (IMAGE,), COPIES | {"mean"},
    )  # fmt: skip


VECTOR_NETS = (*linears(), *moved_axes(), *layer_norms())
