"""What BLIP-2 and InstructBLIP share: EVA's tower, a Q-Former, and an LLM that reads its queries before all text."""

from typing import Any

from modalink.interop.family import Source
from modalink.interop.names import NameMap

_INSIDE = {
    "vision_model.": "model.encoders.image.tower.",
    "query_tokens": "model.input_projectors.image.queries",
    "qformer.encoder.": "model.input_projectors.image.q_former.blocks.encoder.",
    "language_projection.": "model.input_projectors.image.exit.",
    "language_model.": "model.language_model.",
}
_QUERIES_ALONE = {"qformer.layernorm.": "model.input_projectors.image.q_former.blocks.layernorm."}
_WITH_WORDS = {
    "qformer.embeddings.layernorm.": "model.input_projectors.image.q_former.blocks.layernorm.",
    "qformer.embeddings.word_embeddings.": "model.input_projectors.image.q_former.words.word_embeddings.",
    "qformer.embeddings.position_embeddings.": "model.input_projectors.image.q_former.words.position_embeddings.",
}


def blip_parts(source: Source, *, instruction: bool) -> dict[str, Any]:
    """The parts, each in the checkpoint.

    Args:
        source: The checkpoint.
        instruction: Whether the Q-Former reads the words of the turn.
    """
    inner = source.config.qformer_config
    projector = {
        "kind": "q_former",
        **source.checkpoint,
        "exit": "checkpoint",
        "queries": source.config.num_query_tokens,
        "width": inner.hidden_size,
        "layers": inner.num_hidden_layers,
        "heads": inner.num_attention_heads,
        "feed_forward": inner.intermediate_size,
        "cross_every": inner.cross_attention_frequency,
        "vocabulary": inner.vocab_size,
        "dropout": inner.hidden_dropout_prob,
        "instruction": instruction,
    }
    encoder = {"kind": "vision", **source.checkpoint, "layer": "output", "keep_cls": True}
    return {
        "inputs": {"image": {"encoder": encoder, "projector": projector}},
        "llm": source.checkpoint | {"join": {"kind": "splice", "where": "prefix"}},
    }


def blip_names(*, instruction: bool) -> NameMap:
    """The weights of the tower, the queries, the blocks, the map behind them and the LLM."""
    return NameMap(_INSIDE | (_WITH_WORDS if instruction else _QUERIES_ALONE))
