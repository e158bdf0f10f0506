"""Tensors that are read when they are used: alike to the bit, and one at a time."""

from __future__ import annotations

import json
import weakref
from types import SimpleNamespace

import pytest
import torch
import transformers

from net2net_cli.io import open_source
from net2net_cli.io.tensors import TensorInfo, raw_bytes
from net2net_cli.verify import deferred as module
from net2net_cli.verify.deferred import Deferred, deferred, ordinary
from net2net_cli.verify.network import as_mode, build
from net2net_cli.verify.pretrained_inputs import draw_inputs
from net2net_cli.verify.pretrained_library import load
from net2net_cli.verify.pretrained_outputs import Runner, pools_blindly
from tests.verify.hand_built import layer, network_spec, randomize, state_of
from tests.verify.test_layer_types import CASES
from tests.verify.tiny_pretrained import LLAMA, MODELS, compare, opened, save


def stored(**tensors):
    """The tensors as a checkpoint gives them."""
    infos = {
        name: TensorInfo(name, str(t.dtype).removeprefix("torch."), tuple(t.shape))
        for name, t in tensors.items()
    }
    return deferred(SimpleNamespace(tensors=infos, read=reader(tensors)))


def reader(tensors, read=None):
    """A function that reads their bytes, and notes in ``read`` whose, from where, how many."""

    def fill(name, at, into):
        into[:] = raw_bytes(tensors[name])[at : at + len(into)]
        if read is not None:
            read.append((name, at, len(into)))

    return fill


@pytest.fixture
def brought_in(monkeypatch):
    """The most bytes of weights that were there at once, and the largest of them."""
    bring_in, alive, found = module.bring_in, [], SimpleNamespace(most=0, largest=0)

    def watched(weight, values):
        made = bring_in(weight, values)
        alive.append(weakref.ref(made))
        there = [ref().untyped_storage().nbytes() for ref in alive if ref() is not None]
        found.most, found.largest = max(found.most, sum(there)), max(found.largest, *there)
        return made

    monkeypatch.setattr(module, "bring_in", watched)
    return found


def outputs_of(network, architecture):
    kind = getattr(transformers, architecture)
    inputs = draw_inputs(kind, network.config, 4, 0)
    runner, step = Runner(network, inputs, "cpu"), 1 if pools_blindly(network) else 4
    parts = [runner.run(start, torch.full((step, 1), 7)) for start in range(0, 4, step)]
    outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return SimpleNamespace(outputs=outputs, narrow=runner.narrow)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", MODELS)
def test_a_model_gives_what_it_gives_in_memory(architecture, dtype, tmp_path, monkeypatch):
    save(tmp_path, architecture).to(dtype).save_pretrained(tmp_path)
    lazy, misfit = load(opened(tmp_path), "cpu")
    assert not misfit
    assert all(isinstance(weight, Deferred) for weight in lazy.parameters())
    kind = getattr(transformers, architecture)
    options = {"dtype": torch.float64, "attn_implementation": "eager"}
    held = kind.from_pretrained(tmp_path, **options).eval()
    held.config.return_dict = True
    if hasattr(held, "set_experts_implementation"):
        held.set_experts_implementation("eager")
    expected, found = outputs_of(held, architecture), outputs_of(lazy, architecture)
    assert found.narrow == expected.narrow
    for name, value in expected.outputs.items():
        assert value.isfinite().all()
        assert torch.equal(found.outputs[name], value)
    monkeypatch.setattr(module, "PIECE", 100)
    found = outputs_of(lazy, architecture)
    bound = 1e-12 if MODELS[architecture][2] == "float64" else 2e-6
    for name, value in expected.outputs.items():
        assert (found.outputs[name] - value).abs().max() <= bound * value.abs().max()


def test_no_more_is_there_than_one_weight(tmp_path, brought_in):
    save(tmp_path, "LlamaForCausalLM", vocab_size=5003)
    assert compare(opened(tmp_path), opened(tmp_path)).comparison.within(0)
    assert brought_in.largest == 8 * 24 * 5003  # the head; of the table, rows that are looked up
    assert brought_in.most < brought_in.largest + 8 * 24 * 5003 / 10


def test_of_a_large_matrix_no_more_is_there_than_a_piece(tmp_path, brought_in, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 1000)
    save(tmp_path, "LlamaForCausalLM", vocab_size=5003)
    assert compare(opened(tmp_path), opened(tmp_path)).comparison.within(0)
    assert brought_in.most <= 8 * (1000 + 4 * 17 * 24)  # and the rows that were looked up


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_head_is_read_from_the_table(tied, tmp_path):
    model = save(tmp_path, "LlamaForCausalLM", tie_word_embeddings=tied)
    network, misfit = load(opened(tmp_path), "cpu")
    assert not misfit
    assert torch.equal(ordinary(network.lm_head.weight).float(), model.lm_head.weight)
    assert (network.lm_head.weight is network.model.embed_tokens.weight) == tied


@pytest.mark.parametrize("kind", ["Mixtral", "Qwen3Moe"])
def test_of_experts_that_the_library_merges_one_is_there_at_a_time(kind, tmp_path, brought_in):
    config = LLAMA | {"num_local_experts": 8, "vocab_size": 31}
    if kind == "Qwen3Moe":
        config = LLAMA | {"num_experts": 8, "moe_intermediate_size": 40, "num_experts_per_tok": 2,
                          "vocab_size": 31, "head_dim": 6}  # fmt: skip
    save(tmp_path, f"{kind}ForCausalLM", config)
    names = open_source(tmp_path).tensors
    assert any(".experts.7." in name for name in names)  # as they are on disk: each by itself
    assert compare(opened(tmp_path), opened(tmp_path)).comparison.within(0)
    assert brought_in.largest <= 8 * 2 * 40 * 24  # one expert's gate and up
    assert brought_in.most <= 2 * brought_in.largest


MOVES = {
    "t": lambda a, b: a.t(),
    "transpose": lambda a, b: a.transpose(0, 1)[1:3],
    "view": lambda a, b: a.view(2, 2, 6).permute(2, 0, 1),
    "reshape": lambda a, b: a.t().reshape(3, 8),
    "cast": lambda a, b: a.to(torch.bfloat16).to(torch.float64),
    "select": lambda a, b: torch.stack([a, b])[1],
    "last": lambda a, b: torch.stack([a, b], -1)[..., -1],
    "within": lambda a, b: torch.stack([a, b], 1)[1:3, 0],
    "slice": lambda a, b: torch.cat([a, b])[3:6],
    "across": lambda a, b: torch.cat([a, b], dim=1)[-3:],
    "along": lambda a, b: torch.cat([a, b], dim=-1)[:, 4:8],
    "none": lambda a, b: torch.cat([a, b])[2:2],
    "chunk": lambda a, b: torch.cat([a, b]).chunk(3)[2].contiguous(),
    "split": lambda a, b: torch.cat([a, b], 1).split([1, 5, 6], dim=1)[1],
    "unbind": lambda a, b: torch.stack([a, b], 2).unbind(2)[0],
    "squeeze": lambda a, b: a.unsqueeze(1).squeeze(1).squeeze(),
    "clone": lambda a, b: a.clone().detach().data,
    "no padding": lambda a, b: torch.nn.functional.pad(a, (0, 0)),
}
COMPUTED = {
    "sum": lambda a, b: a.sum() + b,
    "negative": lambda a, b: -torch.exp(a.float()),
    "padding": lambda a, b: torch.nn.functional.pad(a, (0, 1), value=0.3),
    "every other": lambda a, b: a[::2],
    "mixed": lambda a, b: torch.cat([a.float(), b.double()]),
    "product": lambda a, b: a @ b.t(),
    "of values": lambda a, b: torch.ones(5, 6, dtype=a.dtype) @ a.t(),
    "with a bias": lambda a, b: torch.nn.functional.linear(b, a, a[:, 0]),
    "with one": lambda a, b: torch.addmm(b[:1, :1], a, b.t(), beta=2, alpha=3),
    "rows": lambda a, b: torch.nn.functional.embedding(torch.tensor([[1, 0], [3, 3]]), a),
    "ids": lambda a, b: torch.nn.functional.embedding(a[:, 0].abs().long(), torch.eye(9)),
    "number": lambda a, b: torch.tensor(a[0, 0].item()),
    "equal": lambda a, b: torch.tensor([a.equal(b), a.equal(a), a.float().equal(b.float())]),
    "written to": lambda a, b: torch.zeros(4, 6).copy_(a),
}


@pytest.mark.parametrize("piece", [1, 2**20])
@pytest.mark.parametrize("name", [*MOVES, *COMPUTED])
def test_every_function_gives_what_it_gives_of_tensors(name, piece, monkeypatch):
    monkeypatch.setattr(module, "PIECE", piece)
    tensors = {n: torch.randn(4, 6).to(torch.bfloat16) for n in "ab"}
    function = MOVES.get(name) or COMPUTED[name]
    weights = [weight.to(torch.float64) for weight in stored(**tensors).values()]
    found = function(*weights)
    expected = function(*(tensor.to(torch.float64) for tensor in tensors.values()))
    assert isinstance(found, Deferred) == (name in MOVES)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    torch.testing.assert_close(ordinary(found), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "float16", "int8", "float64"])
def test_every_dtype_is_looked_up_moved_and_compared(dtype):
    table = torch.arange(12).reshape(4, 3).to(getattr(torch, dtype))
    (weight,) = stored(table=table).values()
    wide, expected = weight.to(torch.float64), table.to(torch.float64)
    ids = torch.tensor([3, 1])
    assert torch.equal(torch.nn.functional.embedding(ids, wide), expected[ids])
    assert torch.equal(ordinary(torch.stack([wide, wide])[1]), expected)
    assert wide.equal(wide)


def test_a_tensor_is_read_each_time_and_never_written_to():
    read = []
    source = SimpleNamespace(
        tensors={"w": TensorInfo("w", "float32", (3,))},
        read=reader({"w": torch.ones(3)}, read),
    )
    (weight,) = deferred(source).values()
    assert repr(weight) == "Deferred([3], torch.float32)"
    assert not read
    assert (weight + 1).tolist() == (weight + 1).tolist() == [2, 2, 2]
    assert read == [("w", 0, 12)] * 2
    with pytest.raises(TypeError, match="would write to a weight"):
        weight.zero_()
    with pytest.raises(TypeError, match="would write to a weight"):
        torch.nn.Parameter(weight).data.add_(1)


@pytest.mark.parametrize(
    ("kind", "args", "shape", "expected"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_a_layer_gives_what_it_gives_in_memory(kind, args, shape, expected, mode):
    state = {f"one.{name}": value for name, value in state_of(randomize(expected)).items()}
    spec = network_spec(layer("one", kind, **args), shape=shape)
    batch = torch.randn(2, *shape, dtype=torch.float64)
    found = []
    for given in (state, stored(**state)):
        network = build(spec, given)
        with torch.no_grad(), as_mode(network, mode):
            found.append(network(batch)[0])
    assert torch.equal(*found)


def test_a_network_of_layers_holds_one_weight_at_a_time(brought_in):
    spec = network_spec(
        *(layer(f"fc{n}", "Linear", out_features=64) for n in range(20)), shape=(64,)
    )
    weights = {f"fc{n}.weight": torch.randn(64, 64) for n in range(20)}
    biases = {f"fc{n}.bias": torch.randn(64) for n in range(20)}
    network = build(spec, stored(**weights, **biases))
    assert brought_in.most == 0
    with torch.no_grad():
        network(torch.randn(2, 64, dtype=torch.float64))
    assert brought_in.most == 8 * (64 + 1) * 64


def test_what_the_config_says_of_other_files_is_not_read(tmp_path):
    """All tensors come from the source that was opened, whatever else lies in its folder."""
    save(tmp_path, "GPT2LMHeadModel")
    model = opened(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    assert compare(model, model).comparison.within(0)


def test_a_network_on_another_device_reads_its_weights_there():
    """On torch's meta device, which every machine has."""
    spec = network_spec(
        layer("conv", "Conv2d", out_channels=4, kernel_size=(3, 3)),
        layer("norm", "BatchNorm2d"),
        layer("flat", "Flatten"),
        layer("fc", "Linear", out_features=5),
    )
    shapes = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "norm.weight": (4,),
              "norm.bias": (4,), "norm.running_mean": (4,), "norm.running_var": (4,),
              "fc.weight": (5, 144), "fc.bias": (5,)}  # fmt: skip
    network = build(spec, stored(**{n: torch.rand(s) for n, s in shapes.items()})).to("meta")
    assert all(isinstance(weight, Deferred) for weight in network.parameters())
    (found,) = network(torch.ones(2, 3, 8, 8, dtype=torch.float64, device="meta"))
    assert (found.device.type, found.shape) == ("meta", (2, 5))
