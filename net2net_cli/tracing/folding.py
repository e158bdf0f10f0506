"""Runs of plumbing that are one layer by another name: a channel shuffle, a norm of images.

A rule looks at the last layer of such a run, and takes the place of the whole of it; nothing else
may read the layers in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from net2net_cli.tracing.drafts import Draft, Source


def folded(drafts: Sequence[Draft], outputs: Iterable[Source]) -> list[Draft]:
    """The layers without those that a rule has taken into another, which is changed in place."""
    readers = Counter(read for draft in drafts for read in draft.reads)
    readers.update(outputs)
    gone: set[Draft] = set()
    for draft in drafts:
        run = _run(draft, readers)
        for rule in (_channel_shuffle, _image_norm):
            gone.update(rule(run))
    return [draft for draft in drafts if draft not in gone]


def _run(draft: Draft, readers: Counter[Source]) -> list[Draft]:
    """Up to three layers that end in ``draft``, each read by the next alone; last one first."""
    found = [draft]
    while len(found) < 3 and len(found[-1].reads) == 1:
        before = found[-1].reads[0]
        if not isinstance(before, Draft) or readers[before] != 1:
            break
        found.append(before)
    return found


def _types(run: Sequence[Draft]) -> tuple[str, ...]:
    return tuple(draft.type for draft in run)


def _channel_shuffle(run: Sequence[Draft]) -> Sequence[Draft]:
    """``view(n, g, c, h, w).transpose(1, 2).view(n, g * c, h, w)`` (ShuffleNet)."""
    if _types(run) != ("Flatten", "Permute", "Unflatten"):
        return ()
    last, swap, split = run
    rank = len(swap.shape)
    swaps = swap.args["dims"] == (2, 1, *range(3, rank))
    merges = last.args == ({"end_dim": 2} if rank > 3 else {})
    if not swaps or not merges or split.args["dim"] != 1 or len(split.shape) != rank:
        return ()
    last.type, last.word = "ChannelShuffle", "shuffle"
    last.args, last.reads = {"groups": split.shape[1]}, split.reads
    return (swap, split)


def _image_norm(run: Sequence[Draft]) -> Sequence[Draft]:
    """A LayerNorm over the channels of images, between two permutations (ConvNeXt)."""
    if _types(run) != ("Permute", "LayerNorm", "Permute"):
        return ()
    last, norm, first = run
    to_last, back = first.args["dims"] == (2, 3, 1), last.args["dims"] == (3, 1, 2)
    if not (to_last and back) or "normalized_shape" in norm.args:
        return ()
    last.type, last.word, last.origin = "LayerNorm2d", norm.word, norm.origin
    last.args, last.tensors, last.reads = norm.args, norm.tensors, first.reads
    return (norm, first)
