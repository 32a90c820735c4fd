"""The language model inside a whole model that transformers keeps in one checkpoint, as LLaVA's and BLIP-2's."""

import copy

from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

NAMES = {r"^model\.language_model\.": "", r"^language_model\.": ""}
"""Names in the files of whole models -> the language model's own."""
REST = (
    r"^(model\.)?(vision_|visual|image_|video_|audio_|multi_modal_|mm_|connector|qformer|query_tokens|language_projection)",
    r"^model\.(perceiver_resampler|gated_cross_attn_layers)\.",
    r"\.additional_(embedding|fc)\.",
)
"""What else these files hold."""


def language_config(whole: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the language model in a model's; the model's own where it is one."""
    text = whole.get_text_config(decoder=True)
    if text is whole or _speaks(whole) or not _speaks(text):
        return whole
    text = copy.deepcopy(text)
    # Where the head stands beside the language model, the whole says whether it is the table of embeddings.
    text.tie_word_embeddings = getattr(whole, "tie_word_embeddings", text.tie_word_embeddings)
    return text


def _speaks(config: PreTrainedConfig) -> bool:
    known = {**MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, **MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES}
    return config.model_type in known
