"""Networks around recurrent layers, whose hidden width grows; see nets.py."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from tests.growth.nets import ZERO, Net

STEPS = ((6, 3),)


class Tagger(nn.Module):
    """Every step's output and the last states, of a module that reads what grows as well."""

    def __init__(self, kind: str, n: int, **args: object) -> None:
        super().__init__()
        self.stem = nn.Linear(3, n)
        self.rnn = getattr(nn, kind)(n, n, batch_first=True, **args)
        directions = 2 if args.get("bidirectional") else 1
        self.head, self.last = nn.Linear(directions * n, 2), nn.Linear(n, 2)

    def forward(self, x: Tensor) -> Tensor:
        output, state = self.rnn(self.stem(x).tanh())
        hidden = state[-1] if isinstance(state, tuple) else state
        return self.head(output).mean(1, keepdim=True) + self.last(hidden.transpose(0, 1))


def _tagger(name: str, kind: str, text: str, **args: object) -> Net:
    state = "cell" if kind == "LSTM" else "hidden"
    layer = f"type: {kind}, hidden_size: $n{text}"
    return Net(
        name,
        f"""stem: {{type: Linear, out_features: $n}}
           tanh: {{type: Tanh}}
           rnn: {{{layer}}}
           head: {{type: Linear, out_features: 2}}
           mean: {{type: Mean, dim: 1, keepdim: true}}
           again: {{{layer}, returns: {state}, inputs: tanh, share: rnn}}
           last: {{type: Linear, out_features: 2}}
           sum: {{type: Add, inputs: [mean, last]}}""",
        lambda n: Tagger(kind, n, **args),
        STEPS, ZERO,
    )  # fmt: skip


def _nets() -> Iterator[Net]:
    for kind in ("LSTM", "GRU", "RNN"):
        yield _tagger(kind, kind, "")
    both = {"num_layers": 2, "bidirectional": True}
    yield _tagger("LSTM:both ways", "LSTM", ", num_layers: 2, bidirectional: true", **both)
    yield _tagger("GRU:deep, no bias", "GRU", ", num_layers: 3, bias: false",
                  num_layers=3, bias=False)  # fmt: skip
    yield _tagger("RNN:relu", "RNN", ", nonlinearity: relu", nonlinearity="relu")


RECURRENT_NETS = tuple(_nets())
