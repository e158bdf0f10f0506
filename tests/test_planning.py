"""Plans are made of headers alone: none of the example specs needs torch for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SPECS = Path(__file__).parents[1] / "specs"

PLAN_ALL = """
import sys
from pathlib import Path
from net2net_cli.api import make_plan
from net2net_cli.opening import SpecModel
from net2net_cli.io import Source, TensorInfo
from net2net_cli.laying import layout_of
from net2net_cli.spec import read_document, resolve, to_spec

class Header(Source):
    def __init__(self, layout):
        self.label, self.path, self.files, self.metadata = "header", None, (), {}
        self.tensors = {
            name: TensorInfo(name, "int64" if t.line.fill == "count" else "float32", t.shape)
            for name, t in layout.tensors.items()
        }
    def raw(self, name):
        raise AssertionError("a plan reads no weights")
    def close(self):
        pass

for path in sorted(Path(sys.argv[1]).glob("*_*er.yaml")):
    base = read_document(path.with_name(path.name.rpartition("_")[0] + ".yaml"))
    document = resolve(base, None)
    layout = layout_of(to_spec(document))
    model = SpecModel(Header(layout), layout, "header", (), document, to_spec(document))
    plan = make_plan(model, path, calibrated=True)
    assert plan.changes
    print(path.name)
assert not {"torch", "numpy"} & set(sys.modules)
"""


def test_no_plan_for_the_example_specs_imports_torch() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PLAN_ALL, str(SPECS)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    pairs = sorted(p.name for p in SPECS.glob("*_*er.yaml"))
    assert ended.stdout.split() == pairs
    assert len(pairs) >= 20
