"""Whether a checkpoint is one of the network that its spec describes: names, shapes, dtypes."""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.errors import CheckpointError, closest
from net2net_cli.io import Source, TensorInfo
from net2net_cli.io.digest import leaves_of
from net2net_cli.layout import LaidTensor, Layout

FLOATS = ("float64", "float32", "float16", "bfloat16")


def check_fit(layout: Layout, tensors: Mapping[str, TensorInfo], label: str) -> None:
    """Compare a checkpoint's header with the layout of its spec.

    Raises CheckpointError for a tensor that is missing, is in excess, or has another shape or a
    dtype that cannot be grown. ``num_batches_tracked`` may be missing (files older than torch 0.4).
    """
    for name, laid in layout.tensors.items():
        if name in tensors:
            _check_one(laid, tensors[name], label)
        elif laid.line.fill != "count":
            raise _missing(name, laid.layer, tensors, label)
    for alias, owner in layout.aliases.items():
        if alias in tensors and owner in tensors and tensors[alias].shape != tensors[owner].shape:
            raise CheckpointError(
                f"`{alias}` and `{owner}` are shared in the spec, but differ in shape", where=label
            )
    known = {*layout.tensors, *layout.aliases}
    extra = sorted(name for name in tensors if name not in known)
    if extra:
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise CheckpointError(
            f"the checkpoint holds `{extra[0]}`{more}, which the spec has no layer for",
            where=label,
            hint=closest(extra[0], sorted(known)) or "is it the spec of another network?",
        )


_QUANTISED = (
    ".qweight", ".qzeros", ".scales", ".g_idx", ".SCB", ".absmax", ".quant_map", ".weight_scale",
    ".weight_scale_inv", ".input_scale", ".weight_packed",
)  # fmt: skip
"""Endings of the tensors that GPTQ, AWQ, bitsandbytes, fp8 and compressed-tensors write."""


def refuse_quantised(config: Mapping[str, object], source: Source) -> None:
    """Raise CheckpointError, naming the method, where a transformer's weights are quantised."""
    said = config.get("quantization_config")
    method = said.get("quant_method") if isinstance(said, Mapping) else None
    names = [
        name
        for name, info in source.tensors.items()
        if name.endswith(_QUANTISED) or info.dtype.startswith("float8")
    ]
    if said or names:
        shown = f" ({method})" if method else ""
        seen = f": it holds `{names[0]}`" if names else ", as its config says"
        raise CheckpointError(
            f"the checkpoint is quantised{shown}{seen}",
            where=source.label,
            hint="growth needs floating weights; dequantise it, or start from the original",
        )


def check_aliases(layout: Layout, source: Source) -> None:
    """Raise CheckpointError where a tensor that the spec shares is held twice, and differs."""
    for alias, owner in layout.aliases.items():
        held = alias in source.tensors and owner in source.tensors
        if held and not _alike(alias, owner, source):
            raise CheckpointError(
                f"`{alias}` and `{owner}` are one tensor in the spec, but differ in the checkpoint",
                where=source.label,
                hint="remove `share` from the spec, or mend the checkpoint",
            )


def _alike(one: str, other: str, source: Source) -> bool:
    """Whether two tensors hold the same, by digests that are wanted in any case."""
    ours, theirs = source.tensors[one], source.tensors[other]
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return False
    numbers = [number for _, number in leaves_of(ours)]
    return all(source.leaf_digest(one, n) == source.leaf_digest(other, n) for n in numbers)


def _missing(
    name: str, layer: str, tensors: Mapping[str, TensorInfo], label: str
) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint lacks `{name}`, which layer `{layer}` of the spec needs",
        where=label,
        hint=closest(name, sorted(tensors)) or "is it the spec of another network?",
    )


def _check_one(laid: LaidTensor, found: TensorInfo, label: str) -> None:
    if found.shape != laid.shape:
        raise CheckpointError(
            f"`{laid.name}` has shape {list(found.shape)},"
            f" but layer `{laid.layer}` of the spec needs {list(laid.shape)}",
            where=label,
            hint="correct the spec, or give the checkpoint that it describes",
        )
    if laid.line.fill not in ("count", "kept") and found.dtype not in FLOATS:
        raise CheckpointError(
            f"`{laid.name}` holds {found.dtype}, but growth needs floating weights",
            where=label,
            hint="convert (dequantise) the checkpoint to float32, bfloat16 or float16 first",
        )
