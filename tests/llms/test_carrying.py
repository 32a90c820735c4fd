"""Which families carry a join: tried with tiny LLMs of their own classes, and said in words."""

import pytest
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    OPTConfig,
    PhiConfig,
    Qwen3Config,
)

from modalink.kinds import parse
from modalink.llms import why_not
from modalink.roles import JoinConfig
from modalink.testing import check_join

FAMILIES = {
    "llama": LlamaConfig(),
    "qwen3": Qwen3Config(),
    "gemma 3": Gemma3TextConfig(),
    "phi": PhiConfig(),
    "opt": OPTConfig(),
    "gpt-2": GPT2Config(),
}
JOINS = [{"kind": "gated_cross_attention"}, {"kind": "visual_expert", "positions": "each"}, {"kind": "visual_expert"}]


def reason(architecture, **join):
    small = {name: 2 for name in ("num_hidden_layers", "n_layer") if hasattr(architecture, name)}
    llm = AutoModelForCausalLM.from_config(type(architecture)(**small))
    return why_not(llm, parse(JoinConfig.room, join))


@pytest.mark.parametrize("join", JOINS[::2], ids=lambda join: join["kind"])
@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_decoders_carry_both(name, join):
    assert reason(FAMILIES[name], **join) == ""


@pytest.mark.parametrize(
    ("architecture", "join", "words"),
    [
        (MixtralConfig(), JOINS[1], "matrices outside of linear layers"),
        (BloomConfig(), JOINS[2], "takes no positions that could be shared"),
        (MambaConfig(), JOINS[1], "matrices outside of linear layers"),
    ],
)
def test_what_a_family_cannot_carry_is_said_in_words(architecture, join, words):
    assert words in reason(architecture, **join)


@pytest.mark.parametrize("join", [*JOINS, {"kind": "splice", "begin": True}], ids=str)
def test_joins_keep_the_promises_of_their_role(join):
    check_join(parse(JoinConfig.room, join))
