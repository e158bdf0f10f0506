"""A probe's products made by several processes: here threads, which give each other their parts."""

from __future__ import annotations

from itertools import pairwise
from threading import Barrier, Thread

import pytest
import torch

from net2net_cli.verify import deferred as products
from net2net_cli.verify import memory
from net2net_cli.verify import network as networks
from net2net_cli.verify.division import Division, agreed, divided, fill
from net2net_cli.verify.network import build
from tests.verify.hand_built import layer, network_spec, randomize, state_of
from tests.verify.test_deferred import stored


def in_threads(size, work):
    """What ``work`` gives to each of ``size`` processes, and how much each gave to the others."""
    barrier, given = Barrier(size), [None] * size
    found, sent = [None] * size, [0] * size

    def exchange_of(rank):
        def exchange(own, sizes):
            assert len(own) == sizes[rank]
            sent[rank] += len(own)
            given[rank] = own
            barrier.wait(30)
            parts = list(given)
            barrier.wait(30)
            return parts

        return exchange

    def body(rank):
        with divided(Division(rank, size, exchange_of(rank))):
            found[rank] = work()

    threads = [Thread(target=body, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, sent


def test_processes_with_unlike_memory_cut_alike(monkeypatch):
    """Else they would give each other pieces of other sizes."""
    free = iter([2**31, 2**24, 2**27])
    monkeypatch.setattr(memory, "half_free", lambda _device: next(free))
    found, _ = in_threads(3, lambda: memory.batch_bytes(None))
    assert found == [2**24] * 3
    assert agreed(7) == 7
    assert memory.batch_bytes(2**40) == 2**40


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("dim", [0, 1])
def test_every_process_makes_its_own_pieces_and_gets_all(size, dim):
    values = torch.randn(5, 7, dtype=torch.float64)
    ends = [0, 2, 3, 5] if dim == 0 else [0, 2, 4, 6, 7]
    made = []

    def piece(start, stop):
        made.append((start, stop))
        return values.narrow(dim, start, stop - start)

    found, sent = in_threads(size, lambda: fill(torch.empty_like(values), dim, ends, piece))
    assert all(torch.equal(one, values) for one in found)
    assert sorted(made) == list(pairwise(ends))
    assert sum(sent) == values.numel()


@pytest.mark.parametrize("size", [2, 3])
def test_a_large_product_is_divided_bit_for_bit(size, monkeypatch):
    monkeypatch.setattr(products, "PIECE", 500)
    weights = stored(w=torch.randn(90, 40), b=torch.randn(90), small=torch.randn(3, 90))
    wide = {name: weight.to(torch.float64) for name, weight in weights.items()}
    values = torch.randn(6, 40, dtype=torch.float64)

    def work():
        hidden = torch.nn.functional.linear(values, wide["w"], wide["b"])
        return torch.nn.functional.linear(hidden, wide["small"])

    found, sent = in_threads(size, work)
    assert all(torch.equal(one, work()) for one in found)
    assert min(sent) > 0
    assert sum(sent) == 6 * 90


def test_a_convolution_of_many_examples_is_divided_bit_for_bit(monkeypatch):
    monkeypatch.setattr(networks, "CONV_BYTES", 40_000)
    conv = layer("conv", "Conv2d", out_channels=5, kernel_size=3)
    module = randomize(torch.nn.ModuleDict({"conv": torch.nn.Conv2d(4, 5, 3)}))
    network = build(network_spec(conv, shape=(4, 8, 8)), state_of(module))
    values = torch.randn(7, 4, 8, 8, dtype=torch.float64)
    found, sent = in_threads(2, lambda: network(values)[0])
    assert all(torch.equal(one, network(values)[0]) for one in found)
    assert min(sent) > 0
    assert sum(sent) == found[0].numel()
