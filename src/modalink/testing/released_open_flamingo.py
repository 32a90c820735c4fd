"""Tiny OpenFlamingos in the format of their authors: a file of trained tensors, beside the LLM and tower it is for.

Each tensor is drawn for its name alone, so that the authors' code and modalink can be given the same weights.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    GPTNeoXConfig,
    LlamaConfig,
    MptConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from modalink.testing._wholes import PATCH, SIDE, SMALL
from modalink.testing.tokenizers import tiny_tokenizer

ADDED = ("<|endofchunk|>", "<image>")
"""Tokens that open_flamingo adds to an LLM's."""
TEXTS = {
    "one image": ("<image>Question:What is it? Short answer:", (1,)),
    "text before three images": (
        "No picture yet.<image>One.<|endofchunk|><image>Two.<|endofchunk|><image>Question:Which? Short answer:",
        (0, 1, 2),
    ),
}
"""What they are asked, and which of the pictures stand in it."""
_LAYERS, _EVERY, _TOWER = 4, 2, 24
_INNER, _DEPTH, _LATENTS = 512, 6, 64
"""Sizes that open_flamingo gives every system: 8 heads of 64, six layers of the resampler, 64 prompt tokens."""
_SHARED: dict[str, Any] = SMALL | {"num_hidden_layers": _LAYERS, "max_position_embeddings": 256}
_LLMS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "gpt_neox": (GPTNeoXConfig, _SHARED),
    "mpt": (MptConfig, {"d_model": 32, "n_heads": 4, "n_layers": _LAYERS, "expansion_ratio": 2, "max_seq_len": 256}),
    "opt": (OPTConfig, {"hidden_size": 32, "ffn_dim": 64, "word_embed_proj_dim": 32, "num_attention_heads": 4,
                        "num_hidden_layers": _LAYERS, "max_position_embeddings": 256}),
    "llama": (LlamaConfig, _SHARED),
}  # fmt: skip
_PLACES = {
    "gpt_neox": ("gpt_neox.layers", {"gpt_neox.embed_in.weight": "table", "embed_out.weight": "head"}),
    "mpt": ("transformer.blocks", {"transformer.wte.weight": "table", "lm_head.weight": "table"}),
    "opt": ("model.decoder.layers", {
        "model.decoder.embed_tokens.weight": "table", "lm_head.weight": "table",
        "model.decoder.embed_positions.weight": "positions",
    }),
    "llama": ("model.layers", {"model.embed_tokens.weight": "table"}),
}  # fmt: skip
"""Of each LLM, where its layers are, and which tables the authors save beside what was trained."""


@dataclass(frozen=True)
class TinyOpenFlamingo:
    """Three folders: the trained tensors, and what they were trained in.

    Args:
        checkpoint: Holds `checkpoint.pt`.
        llm: The LLM before it was given new tokens.
        encoder: The vision tower.
    """

    checkpoint: Path
    llm: Path
    encoder: Path


def drawn(name: str, shape: Sequence[int]) -> Tensor:
    """Normal numbers, drawn for a name alone: a matrix keeps the size of what it maps, gains and gates are open."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    numbers = torch.randn(*shape, generator=generator)
    if len(shape) > 1:
        return numbers * shape[-1] ** -0.5
    return 0.1 * numbers + (1.0 if name.endswith(("weight", "gate")) else 0.0)


def pictures() -> list[Any]:
    """Three pictures of different shapes, `[h w c]`, 8 bits; torchvision and transformers cut out the same of each."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((28, 28), (40, 60), (70, 35))
    return [torch.randint(0, 256, (h, w, 3), dtype=torch.uint8, generator=generator).numpy() for h, w in shapes]


def tiny_open_flamingo(folder: Path, family: str = "gpt_neox", **changes: Tensor | None) -> TinyOpenFlamingo:
    """An OpenFlamingo of four layers, with blocks before the second and the fourth.

    Args:
        folder: Where to write its folders.
        family: Which LLM it is in.
        changes: Tensors to put into the checkpoint, by name; None leaves one out.
    """
    found = TinyOpenFlamingo(folder / "checkpoint", folder / family, folder / "tower")
    tokenizer = tiny_tokenizer(bos=family != "gpt_neox")
    kind, sizes = _LLMS[family]
    tokens = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    # Released ones have more rows than tokens, most of which the authors cut off.
    config = kind(**sizes, vocab_size=len(tokenizer) + 5, **tokens)
    llm = AutoModelForCausalLM.from_config(config)
    _save(llm, found.llm)
    tokenizer.save_pretrained(found.llm)
    tower = CLIPVisionConfig(
        hidden_size=_TOWER, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=SIDE,
        patch_size=PATCH, hidden_act="quick_gelu",
    )  # fmt: skip
    _save(CLIPVisionModel(tower), found.encoder)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(found.encoder)
    held = {name: drawn(name, shape) for name, shape in shapes(family, len(tokenizer)).items()}
    held |= {f"lang_encoder.{name}": _table(llm, what, len(tokenizer)) for name, what in _PLACES[family][1].items()}
    held = {name: tensor for name, tensor in (held | changes).items() if tensor is not None}
    found.checkpoint.mkdir(parents=True)
    torch.save(held, found.checkpoint / "checkpoint.pt")
    return found


def shapes(family: str, tokens: int) -> Mapping[str, Sequence[int]]:
    """Names and shapes of what is trained, besides tables."""
    width, path = SMALL["hidden_size"], _PLACES[family][0]
    found: dict[str, tuple[int, ...]] = {"perceiver.latents": (_LATENTS, _TOWER)}
    for layer in range(_DEPTH):
        attention = {"norm_media": _TOWER, "norm_latents": _TOWER}
        attends = {f"{layer}.0.{name}": size for name, size in attention.items()} | {f"{layer}.1.0": _TOWER}
        found |= {f"perceiver.layers.{name}.{kind}": (n,) for name, n in attends.items() for kind in ("weight", "bias")}
        maps = {"0.to_q": (_INNER, _TOWER), "0.to_kv": (2 * _INNER, _TOWER), "0.to_out": (_TOWER, _INNER)}
        maps |= {"1.1": (4 * _TOWER, _TOWER), "1.3": (_TOWER, 4 * _TOWER)}
        found |= {f"perceiver.layers.{layer}.{name}.weight": shape for name, shape in maps.items()}
    found |= {f"perceiver.norm.{kind}": (_TOWER,) for kind in ("weight", "bias")}
    for layer in range(_EVERY - 1, _LAYERS, _EVERY):
        block = f"lang_encoder.{path}.{layer}.gated_cross_attn_layer."
        found |= {f"{block}{name}": (1,) for name in ("attn_gate", "ff_gate")}
        found |= {f"{block}{name}.{kind}": (width,) for name in ("attn.norm", "ff.0") for kind in ("weight", "bias")}
        maps = {"attn.to_q": (_INNER, width), "attn.to_kv": (2 * _INNER, _TOWER), "attn.to_out": (width, _INNER)}
        maps |= {"ff.1": (4 * width, width), "ff.3": (width, 4 * width)}
        found |= {f"{block}{name}.weight": shape for name, shape in maps.items()}
    return found


@torch.no_grad()
def _save(model: PreTrainedModel, folder: Path) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(drawn(name, parameter.shape))
    model.save_pretrained(folder)


def _table(llm: PreTrainedModel, what: str, tokens: int) -> Tensor:
    """A table of the LLM, cut to its tokens and those that are new, whose rows are drawn."""
    if what == "positions":
        return llm.get_decoder().embed_positions.weight.detach().clone()
    own = llm.get_input_embeddings() if what == "table" else llm.get_output_embeddings()
    return torch.cat(
        [own.weight.detach()[:tokens], drawn(f"new rows of the {what}", (len(ADDED), own.weight.shape[1]))]
    )
