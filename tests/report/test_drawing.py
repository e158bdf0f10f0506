"""Where a picture puts its boxes."""

from __future__ import annotations

import re

from net2net_cli.report.drawing import svg
from net2net_cli.report.graph import graph_of
from net2net_cli.spec import parse_document, to_spec

SPEC = """
net2net: 1
input: [4, 6]
layers:
  project: {type: Linear, out_features: 6}
  token: {type: Parameter, shape: [1, 6]}
  joined: {type: Concat, dim: 1, inputs: [token, project]}
  norm: {type: LayerNorm}
"""


def test_the_stream_runs_straight_past_the_parameters_that_join_it() -> None:
    picture = svg([("student", graph_of(to_spec(parse_document(SPEC, "net.yaml"))))])
    found = re.findall(r'<text x="(\d+)" y="\d+" class="name">(\w+)<', picture)
    place = {name: int(x) for x, name in found}
    assert len({place[name] for name in ("input", "project", "joined", "norm")}) == 1
    assert place["token"] > place["joined"]
