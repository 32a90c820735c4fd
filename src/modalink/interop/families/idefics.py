"""IDEFICS: images outside the text, which LLaMA reads in gated blocks between its layers; a Flamingo.

Source: OBELICS, arXiv 2306.16527; a perceiver resampler stands between tower and blocks where the checkpoint has one.
"""

from typing import Any

from modalink.interop.family import Family, Source
from modalink.interop.names import NameMap
from modalink.llms.joins.gated_cross_attention import BLOCK_NAMES, IMAGE_ROW
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.recipe import Paper

_AROUND = "<fake_token_around_image>"
_IMAGE = "<image>"
_RESAMPLER = {
    "0.context_layer_norm.": "norm_tokens.",
    "0.latents_layer_norm.": "norm_queries.",
    "0.q_layer_norm.": "norm_query.",
    "0.k_layer_norm.": "norm_key.",
    "0.q_proj.": "query.",
    "0.k_proj.": "key.",
    "0.v_proj.": "value.",
    "0.output_proj.": "out.",
    "1.ln.": "feed_forward.0.",
    "1.fc.": "feed_forward.1.",
    "1.c_proj.": "feed_forward.3.",
}
"""Beginnings of names in a layer of the resampler -> here."""
_EMBEDDINGS = ("model.embed_tokens.weight", "model.embed_tokens.additional_embedding.weight")
_HEAD = ("lm_head.weight", "lm_head.additional_fc.weight")


def parts(source: Source) -> dict[str, Any]:
    """The parts, each in the checkpoint.

    Raises:
        PartError: The tokens around and for images are not those that were added to LLaMA's, in this order.
    """
    config, tokenizer = source.config, PretrainedLlmConfig(**source.checkpoint).tokenizer()
    added = config.additional_vocab_size
    found = [tokenizer.convert_tokens_to_ids(token) - config.vocab_size for token in (_AROUND, _IMAGE)]
    if found != [IMAGE_ROW - 1, IMAGE_ROW] or added <= IMAGE_ROW:
        raise source.refuse(
            "additional_vocab_size", added, f"{_AROUND} and {_IMAGE} as the first tokens behind the {config.vocab_size}"
        )
    encoder = {"kind": "vision", **source.checkpoint, "layer": -1, "keep_cls": True}
    image = {"encoder": encoder, "projector": _projector(source), "marks": {"begin": _AROUND, "end": _AROUND}}
    return {"inputs": {"image": image}, "llm": source.checkpoint | {"join": _join(source)}}


def names(source: Source) -> NameMap:
    """The weights of the tower, of the resampler, of the blocks, and the LLM's with the rows of its own tokens."""
    config, llm = source.config, "model.language_model."
    join, projector = "model.join.", "model.input_projectors.image."
    pairs = {"model.vision_model.": "model.encoders.image.tower."}
    pairs |= {f"model.{name}": f"{llm}model.{name}" for name in ("layers.", "norm.")}
    for number in range(config.num_hidden_layers // config.cross_layer_interval):
        block = f"model.gated_cross_attn_layers.{number}."
        pairs |= {block + there: f"{join}blocks.{number}.{here}" for there, here in BLOCK_NAMES.items()}
    if config.use_resampler:
        theirs = "model.perceiver_resampler."
        pairs |= {f"{theirs}latents": f"{projector}queries", f"{theirs}layer_norm.": f"{projector}norm."}
        for number in range(config.perceiver_config.resampler_depth):
            layer = f"{projector}layers.{number}."
            pairs |= {f"{theirs}blocks.{number}.{there}": layer + here for there, here in _RESAMPLER.items()}
    return NameMap(
        pairs,
        joined={f"{llm}model.embed_tokens.weight": _EMBEDDINGS, f"{llm}lm_head.weight": _HEAD},
        rows={f"{join}tokens.weight": (_EMBEDDINGS[1], IMAGE_ROW)},
    )


def _projector(source: Source) -> dict[str, Any]:
    if not source.config.use_resampler:
        return {"kind": "identity"}
    inner = source.config.perceiver_config
    return {
        "kind": "perceiver",
        **source.checkpoint,
        "queries": inner.resampler_n_latents,
        "layers": inner.resampler_depth,
        "heads": inner.resampler_n_heads,
        "head_width": inner.resampler_head_dim,
        "activation": "relu",
        "qk_norm": inner.qk_layer_norms_perceiver,
    }


def _join(source: Source) -> dict[str, Any]:
    config = source.config
    if config.hidden_act not in ("silu", "gelu"):
        raise source.refuse("hidden_act", config.hidden_act, "'silu' or 'gelu'")
    return {
        "kind": "gated_cross_attention",
        **source.checkpoint,
        "every": config.cross_layer_interval,
        "media_width": config.vision_config.embed_dim,
        "heads": config.num_attention_heads,
        "head_width": config.hidden_size // config.num_attention_heads,
        "feed_forward_width": config.intermediate_size,
        "activation": config.hidden_act,
        "gated": True,
        "norm": "rms",
        "norm_eps": config.rms_norm_eps,
        "qk_norm": config.qk_layer_norms,
        "gate": "vector" if config.alpha_type == "vector" else "number",
    }


FAMILY = Family(
    architecture="IdeficsForVisionText2Text",
    paper=Paper(
        title="OBELICS: An Open Web-Scale Filtered Dataset of Interleaved Image-Text Documents",
        year=2023,
        arxiv="2306.16527",
    ),
    parts=parts,
    names=names,
    template="idefics",
)
