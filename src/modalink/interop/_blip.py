"""What BLIP-2 and the InstructBLIPs share: EVA's tower, a Q-Former, and an LLM that reads queries before text."""

from typing import Any

from modalink.interop.family import Family, Source
from modalink.interop.names import NameMap
from modalink.recipe import Paper

INSTRUCT_BLIP = Paper(
    title="InstructBLIP: Towards General-purpose Vision-Language Models with Instruction Tuning",
    year=2023,
    arxiv="2305.06500",
)
_QUERIES_ALONE = {"qformer.layernorm.": "q_former.blocks.layernorm."}
_WITH_WORDS = {
    "qformer.embeddings.layernorm.": "q_former.blocks.layernorm.",
    "qformer.embeddings.word_embeddings.": "q_former.words.word_embeddings.",
    "qformer.embeddings.position_embeddings.": "q_former.words.position_embeddings.",
}


def blip_family(architecture: str, paper: Paper, *, instruction: bool, frames: int | None = None) -> Family:
    """One of the family.

    Args:
        architecture: Name of its class.
        paper: Where it was published.
        instruction: Whether the Q-Former reads the words of the turn.
        frames: How many frames of a video it reads, each through tower and Q-Former by itself; None if it reads images.
    """
    return Family(
        architecture=architecture,
        paper=paper,
        parts=lambda source: _parts(source, instruction, frames),
        names=lambda source: _names(instruction, frames),
        template="question-answer",
    )


def _parts(source: Source, instruction: bool, frames: int | None) -> dict[str, Any]:
    """The parts, each in the checkpoint."""
    encoder = {"kind": "vision", **source.checkpoint, "layer": "output", "keep_cls": True}
    chosen = {"encoder": encoder, "projector": _q_former(source, instruction)}
    if frames is not None:
        chosen["encoder"] = {"kind": "frames", "encoder": encoder, "frames": {"count": frames}}
        chosen["projector"] = {"kind": "blockwise", "each": chosen["projector"]}
    return {
        "inputs": {"image" if frames is None else "video": chosen},
        "llm": source.checkpoint | {"join": {"kind": "splice", "where": "prefix"}},
    }


def _q_former(source: Source, instruction: bool) -> dict[str, Any]:
    inner = source.config.qformer_config
    return {
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


def _names(instruction: bool, frames: int | None) -> NameMap:
    """The weights of the tower, the queries, the blocks, the map behind them and the LLM."""
    modality = "image" if frames is None else "video"
    projector = f"model.input_projectors.{modality}." + ("" if frames is None else "each.")
    inside = {
        "query_tokens": "queries",
        "qformer.encoder.": "q_former.blocks.encoder.",
        "language_projection.": "exit.",
    } | (_WITH_WORDS if instruction else _QUERIES_ALONE)
    return NameMap(
        {
            "vision_model.": f"model.encoders.{modality}.tower.",
            "language_model.": "model.language_model.",
        }
        | {there: projector + here for there, here in inside.items()}
    )
