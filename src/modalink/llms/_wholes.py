"""The language model inside a whole model that transformers keeps in one checkpoint, as LLaVA's and BLIP-2's."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, PreTrainedConfig, PreTrainedModel, Qwen2Config, Qwen3Config
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from modalink.errors import PartError

NAMES = {r"^model\.language_model\.": "", r"^language_model\.": ""}
"""Names in the files of whole models -> the language model's own."""
REST = (
    r"^(model\.)?(vision_|visual|image_|video_|audio_|multi_modal_|mm_|connector|qformer|query_tokens|language_projection)",
    r"^model\.(perceiver_resampler|gated_cross_attn_layers)\.",
    r"\.additional_(embedding|fc)\.",
)
"""What else these files hold."""
ADDED_ROWS = {
    r"(?:model\.)?embed_tokens\.additional_embedding\.weight$": "table",
    r"lm_head\.additional_fc\.weight$": "head",
}
"""Names in the files of IDEFICS -> which rows of the language model they are."""

_SPOKEN_BY: dict[str, type[PreTrainedConfig]] = {
    "qwen2_vl_text": Qwen2Config, "qwen2_5_vl_text": Qwen2Config, "qwen3_vl_text": Qwen3Config,
}  # fmt: skip
"""Decoders that transformers does not give alone -> the LLM that they are where positions are counted along one axis.

Source: the rotary embeddings in transformers' models/qwen2_vl, qwen2_5_vl and qwen3_vl: positions along three axes, the
same in each of them where no picture stands.
"""


def language_config(whole: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the language model in a model's; the model's own where it is one."""
    if whole.model_type == "idefics":
        return _llama_of(whole)
    text = whole.get_text_config(decoder=True)
    if (spoken := _SPOKEN_BY.get(text.model_type)) is not None:
        return _along_one_axis(spoken, whole, text)
    if text is whole or _speaks(whole) or not _speaks(text):
        return whole
    text = copy.deepcopy(text)
    # Where the head stands beside the language model, the whole says whether it is the table of embeddings.
    text.tie_word_embeddings = getattr(whole, "tie_word_embeddings", text.tie_word_embeddings)
    return text


def _along_one_axis(spoken: type[PreTrainedConfig], whole: Any, text: Any) -> PreTrainedConfig:
    """The configuration of the LLM by its name, without the sections of its positions."""
    axes = ("mrope_section", "mrope_interleaved")
    rope = {name: value for name, value in text.rope_parameters.items() if name not in axes}
    rope["rope_type"] = "default" if rope.get("rope_type") == "mrope" else rope.get("rope_type", "default")
    own = {name: value for name, value in text.to_dict().items() if name not in ("model_type", "architectures")}
    own |= {"rope_parameters": rope, "dtype": whole.dtype}
    return spoken(**own | {"tie_word_embeddings": bool(getattr(whole, "tie_word_embeddings", False))})


def _llama_of(idefics: Any) -> LlamaConfig:
    """IDEFICS keeps LLaMA's own layers between its blocks, and rows for its own tokens beside LLaMA's table."""
    shared = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "rms_norm_eps",
        "max_position_embeddings", "rope_parameters", "pad_token_id", "bos_token_id", "eos_token_id",
        "tie_word_embeddings", "initializer_range", "dtype",
    )  # fmt: skip
    settings = {name: getattr(idefics, name) for name in shared}
    return LlamaConfig(**settings, vocab_size=idefics.vocab_size + idefics.additional_vocab_size)


def added_rows(whole: PreTrainedConfig) -> int:
    """How many tokens of a model have their rows beside the table of its language model."""
    return int(getattr(whole, "additional_vocab_size", 0)) if whole.model_type == "idefics" else 0


@torch.no_grad()
def add_rows(llm: PreTrainedModel, held: Mapping[str, Tensor], added: int, where: str) -> None:
    """Put rows below a language model's table and head, in place.

    Args:
        llm: The model.
        held: Its rows, `table` and, where it is no table itself, `head`.
        added: How many there are.
        where: What errors call the checkpoint.

    Raises:
        PartError: There are none, or others.
    """
    table, head = llm.get_input_embeddings(), llm.get_output_embeddings()
    tied = head.weight is table.weight
    for name in ("table",) if tied else ("table", "head"):
        needed, found = (added, table.embedding_dim), held[name].shape if name in held else None
        if found != needed:
            what = "no rows" if found is None else f"rows of the shape {tuple(found)}"
            raise PartError(f"{where}: found {what} for the tokens that it adds to its {name}, needed {needed}")
    table.weight = _longer(table.weight, held["table"])
    head.weight = table.weight if tied else _longer(head.weight, held["head"])
    table.num_embeddings = head.out_features = llm.config.vocab_size = len(table.weight)


def _longer(weight: Tensor, rows: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.cat([weight, rows.to(weight)]), requires_grad=weight.requires_grad)


def _speaks(config: PreTrainedConfig) -> bool:
    known = {**MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, **MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES}
    return config.model_type in known
