"""Writes the table of LLM families in `docs/llms.md`: each family of the installed transformers, probed at tiny size.

Run: `python docs/tools/llm_families.py`, as `make families` does; with `--check` it only says what would change.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import transformers
from marked import Marked
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from modalink.llms import probe

TABLE = Marked(Path(__file__).parents[1] / "llms.md", "<!-- families: begin -->", "<!-- families: end -->")

# Settings of released checkpoints where the class's own defaults leave out what decides its form.
RELEASED = {
    "BambaForCausalLM": {"attn_layer_indices": [1, 3]},
    "DeepseekV2ForCausalLM": {"num_experts_per_tok": 6, "n_group": 1, "topk_group": 1},
    "Dots1ForCausalLM": {"n_routed_experts": 128, "num_experts_per_tok": 6},
    "GraniteMoeHybridForCausalLM": {"layer_types": ["mamba", "attention"] * 16},
    "HunYuanDenseV1ForCausalLM": {"head_dim": 128},
    "HunYuanMoEV1ForCausalLM": {"head_dim": 128},
    "Lfm2MoeForCausalLM": {"layer_types": ["conv", "full_attention"] * 16},
    "MinistralForCausalLM": {"head_dim": 128},
    "NemotronForCausalLM": {"num_key_value_heads": 8},
}


def table() -> str:
    """A row for each family."""
    rows = sorted(set(map(row, families())))
    return "\n".join(["| class | verdict | why, and what it cannot |", "| --- | --- | --- |", *rows])


def families() -> Iterator[type[PreTrainedModel]]:
    """The classes that transformers' Auto classes know."""
    for auto, names in (
        (AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
        (AutoModelForSeq2SeqLM, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES),
    ):
        for kind in names:
            found = auto._model_mapping[transformers.CONFIG_MAPPING[kind]]
            yield found[0] if isinstance(found, tuple) else found


def row(family: type[PreTrainedModel]) -> str:
    """A family's line."""
    try:
        config: PreTrainedConfig = family.config_class(**RELEASED.get(family.__name__, {}))
        fit = probe(family, config)
    except Exception as error:  # whatever a class's own defaults raise
        return f"| `{family.__name__}` | refused | its default configuration cannot be made: {type(error).__name__} |"
    reason = fit.reason.replace("|", "\\|").replace("<", "&lt;")
    return f"| `{family.__name__}` | {fit.verdict} | {reason} |"


if __name__ == "__main__":
    sys.exit(TABLE.command(table, __doc__))
