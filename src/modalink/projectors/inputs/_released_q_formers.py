"""Where released checkpoints keep a Q-Former, and what they must agree on.

Sources of names: transformers' BLIP-2 and InstructBLIP; the authors' files: salesforce/LAVIS,
lavis/models/blip2_models/Qformer.py and blip2_vicuna_xinstruct.py, and DAMO-NLP-SG/Video-LLaMA,
video_llama/models/video_llama.py.
"""

import re
from typing import Any

from torch import Tensor

from modalink import hub
from modalink.errors import PartError

_OF_TRANSFORMERS = {
    r"query_tokens$": "queries",
    r"qformer\.embeddings\.layernorm\.": "q_former.blocks.layernorm.",
    r"(qformer\.)?embeddings\.(word|position)_embeddings\.": r"q_former.words.\2_embeddings.",
    r"qformer\.(encoder|layernorm)\.": r"q_former.blocks.\1.",
    r"language_projection\.": "exit.",
}
"""Names in checkpoints of transformers -> names here."""
_OF_AUTHORS = {
    r"query_tokens$": "queries",
    r"Qformer\.bert\.embeddings\.LayerNorm\.": "q_former.blocks.layernorm.",
    r"Qformer\.bert\.embeddings\.(word|position)_embeddings\.": r"q_former.words.\1_embeddings.",
    r"Qformer\.bert\.encoder\.(.*attention)\.self\.": r"q_former.blocks.encoder.\1.attention.",
    r"Qformer\.bert\.encoder\.": "q_former.blocks.encoder.",
    r"(?:llama|llm|opt|t5)_proj\.": "exit.",
}
"""The same of the authors' files, behind a prefix."""
_BESIDE = {"video_": {r"llama_proj\.": "exit."}}
"""Prefix -> what lies elsewhere: Video-LLaMA's map to the LLM behind its Q-Former over frames."""
_DECIDING = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "cross_attention_frequency": "cross_every",
    "hidden_act": "",
    "layer_norm_eps": "",
}
"""What a configuration of transformers must agree on, and the setting that says it here."""
_HEAD = 64
"""Width of a head of BERT, which all of the authors' are made of."""


def held(checkpoint: str, revision: str | None, prefix: str | None, needed: Any) -> dict[str, Tensor]:
    """The tensors of a checkpoint's Q-Former under their names here.

    Args:
        checkpoint: A folder or hub id.
        revision: Commit or tag of a hub id.
        prefix: How its names begin in the authors' files, such as `video_`.
        needed: The configuration of the blocks here.

    Raises:
        PartError: It holds none, or one that is made otherwise where no shape tells.
    """
    if (hub.locate(checkpoint, revision, weights=False) / "config.json").is_file():
        if prefix is not None:
            raise PartError(f"{checkpoint}: found prefix {prefix!r} and a checkpoint of transformers; leave it out")
        _check_architecture(checkpoint, revision, needed)
        return hub.tensors(checkpoint, names=_OF_TRANSFORMERS, revision=revision)
    if needed.hidden_size != needed.num_attention_heads * _HEAD:
        heads = needed.hidden_size // _HEAD
        raise PartError(
            f"{checkpoint}: its Q-Former has heads of {_HEAD}, as BERT; found {needed.num_attention_heads} of width "
            f"{needed.hidden_size}, set heads: {heads}"
        )
    found = hub.tensors(checkpoint, names=_of_authors(prefix), revision=revision)
    if "queries" not in found:
        raise PartError(
            f"{checkpoint}: found no {prefix or ''}query_tokens, needed a Q-Former under names as "
            f"{prefix or ''}Qformer.bert...; set prefix (`video_`, `audio_`, `image_`, ...), or give another checkpoint"
        )
    return found


def names(prefix: str | None) -> tuple[str, ...]:
    """Patterns of the names of all tensors that may be taken."""
    return (*_OF_TRANSFORMERS, *_of_authors(prefix))


def _of_authors(prefix: str | None) -> dict[str, str]:
    start = rf"(?:module\.)?{re.escape(prefix or '')}"
    return {start + pattern: name for pattern, name in _OF_AUTHORS.items()} | _BESIDE.get(prefix or "", {})


def _check_architecture(checkpoint: str, revision: str | None, needed: Any) -> None:
    """Demand what decides a result and no shape: heads, which blocks read the encoder, ..."""
    found: Any = getattr(hub.architecture(checkpoint, revision), "qformer_config", None)
    if found is None:
        raise PartError(f"{checkpoint}: its configuration tells of no Q-Former, needed a BLIP-2 or InstructBLIP")
    for name, setting in _DECIDING.items():
        if (theirs := getattr(found, name)) != (ours := getattr(needed, name)):
            advice = f"; set {setting}: {theirs}" if setting else ""
            raise PartError(f"{checkpoint}: its Q-Former has {name} {theirs}, needed {ours}{advice}")
