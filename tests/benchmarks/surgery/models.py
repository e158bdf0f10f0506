"""Random Llamas in bf16, as large as asked for, in Hugging Face's layout."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from multiprocessing import get_context
from pathlib import Path


@dataclass(frozen=True)
class Size:
    """A Llama's sizes; its heads have 64 features, four of them share a key."""

    hidden: int
    blocks: int
    vocabulary: int = 32_000

    @property
    def inner(self) -> int:
        return self.hidden * 11 // 4

    @property
    def nbytes(self) -> int:
        return 2 * sum(prod(shape) for shape in self.shapes().values())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        h, m, kv = self.hidden, self.inner, self.hidden // 4
        found: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocabulary, h),
            "lm_head.weight": (self.vocabulary, h),
            "model.norm.weight": (h,),
        }
        block = {
            "input_layernorm": (h,), "post_attention_layernorm": (h,),
            "self_attn.q_proj": (h, h), "self_attn.k_proj": (kv, h), "self_attn.v_proj": (kv, h),
            "self_attn.o_proj": (h, h), "mlp.gate_proj": (m, h), "mlp.up_proj": (m, h),
            "mlp.down_proj": (h, m),
        }  # fmt: skip
        for n in range(self.blocks):
            found |= {f"model.layers.{n}.{name}.weight": s for name, s in block.items()}
        return found

    def config(self) -> dict[str, object]:
        heads = self.hidden // 64
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
            "hidden_size": self.hidden, "intermediate_size": self.inner,
            "num_hidden_layers": self.blocks, "num_attention_heads": heads,
            "num_key_value_heads": heads // 4, "head_dim": 64, "vocab_size": self.vocabulary,
            "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "hidden_act": "silu",
            "rope_theta": 10000.0, "max_position_embeddings": 2048, "initializer_range": 0.02,
            "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        }  # fmt: skip


TINY = Size(256, 4, 256)
"""What starting costs is measured on this one."""


def sized(gb: float) -> Size:
    """About so many GB; blocks are a multiple of four, as 5/4 of them are asked for."""
    hidden = 1024 if gb < 1 else 2048 if gb < 4 else 4096
    empty, four = Size(hidden, 0).nbytes, Size(hidden, 4).nbytes
    return Size(hidden, 4 * max(1, round((gb * 1e9 - empty) / (four - empty))))


def write_model(folder: Path, size: Size) -> None:
    """A folder with one file of weights, drawn from N(0, 0.02) in a process of its own."""
    writer = get_context("spawn").Process(target=_write, args=(folder, size))
    writer.start()
    writer.join()
    assert writer.exitcode == 0


def _write(folder: Path, size: Size) -> None:
    import numpy as np

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(size.config()))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in size.shapes().items():
        end = at + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for shape in size.shapes().values():
            drawn = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
            stream.write((drawn.view(np.uint32) >> 16).astype(np.uint16).tobytes())
