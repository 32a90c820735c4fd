"""The LLM families of the published systems, and today's: composed, trained for a step, and asked."""

import pytest
import torch
from torch.nn import functional
from transformers import (
    Gemma3TextConfig,
    Glm4Config,
    GlmConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from modalink.inference import Engine, Request, Sampling
from modalink.llms import fit_of
from modalink.model import compose
from modalink.model.collating import collate
from modalink.testing.checkpoints import tiny_llm, tiny_t5

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.2}
WIDE = SIZES | {"intermediate_size": 48}
GROUPED = WIDE | {"num_key_value_heads": 2}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0}
LLAMA3 |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
GEMMA = GROUPED | {"head_dim": 8, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
DECODERS = {
    "OPT": OPTConfig(ffn_dim=48, word_embed_proj_dim=32, init_std=0.2, **SIZES | {"max_position_embeddings": 256}),
    "LLaMA, Vicuna, LLaMA-2-7B": LlamaConfig(**WIDE),
    "LLaMA-2-70B": LlamaConfig(**GROUPED),
    "Llama 3": LlamaConfig(**GROUPED, rope_parameters=LLAMA3),
    "Qwen2": Qwen2Config(**GROUPED),
    "Qwen3": Qwen3Config(**GROUPED, head_dim=16),
    "GLM": GlmConfig(**GROUPED, head_dim=8),
    "GLM-4": Glm4Config(**GROUPED, head_dim=8),
    "Gemma 3": Gemma3TextConfig(**GEMMA),
    "Mistral": MistralConfig(**GROUPED, sliding_window=8),
    "Phi": PhiConfig(**GROUPED),
    "Phi-3": Phi3Config(**GROUPED),
    "SmolLM3": SmolLM3Config(**GROUPED),
}
ENCODER_DECODERS = {
    "Flan-T5": {},
    "UL2": {"feed_forward_proj": "gated-silu", "d_kv": 16, "num_heads": 2},
    "T5": {"feed_forward_proj": "relu", "own_head": False, "tie_word_embeddings": True},
}
FAMILIES = [*DECODERS, *ENCODER_DECODERS]
LEARNED = {"inputs.image.projector", "llm.lora"}


@pytest.fixture
def system(request, make_spec, tmp_path):
    """A family's system, image in and text out, with adapters in its LLM that are no longer what they were at first."""
    name, folder = request.param, tmp_path / "family"
    llm = tiny_llm(folder, DECODERS[name]) if name in DECODERS else tiny_t5(folder, **ENCODER_DECODERS[name])
    spec = make_spec(llm=llm, template="question-answer")
    spec = spec.model_copy(update={"llm": spec.llm.replace(lora={"rank": 2, "alpha": 4})})
    made = compose(spec)
    groups = made.model.trainable_groups()
    with torch.no_grad():
        for _, parameter in groups["llm.lora"]:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    made.model.requires_grad_(False)
    for group in LEARNED:
        for _, parameter in groups[group]:
            parameter.requires_grad_(True)
    return made


@pytest.mark.parametrize("system", FAMILIES, indirect=True)
def test_a_step_of_training_reaches_what_is_trained_packed_or_not_and_answers_need_no_cache(system, talk, picture):
    model = system.model
    assert fit_of(model.language_model).packs == (not system.processor.encoder_decoder)
    samples = [
        system.processor.prepare(talk(("user", [picture(1), "What is it?"]), ("assistant", ["a red cube"]), id="one")),
        system.processor.prepare(talk(("user", ["Who?"]), ("assistant", ["nobody at all"]), id="two")),
    ]
    found = {packed: _gradients(system, samples, packed=packed) for packed in {False, model.packs}}
    for loss, gradients in found.values():
        assert loss == pytest.approx(found[False][0], rel=1e-4)
        assert {group for group, own in gradients.items() if own} == LEARNED
        assert all(gradient is not None for own in gradients.values() for gradient in own.values())
        for group, own in gradients.items():
            for name, gradient in own.items():
                assert "lora_B" not in name or gradient.any(), name
                torch.testing.assert_close(gradient, found[False][1][group][name], atol=1e-4, rtol=1e-3)

    inputs = system.processor(talk(("user", [picture(1), "What is it?"])))
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    with_cache, without = (model.generate(**inputs, **options, use_cache=cached) for cached in (True, False))
    assert torch.equal(with_cache, without)

    asked = [talk(("user", [picture(1), "What is it?"])), talk(("user", ["And who is there?"]))]
    requests = [Request(system.processor.prepare(one, reply=True), Sampling(max_new_tokens=6)) for one in asked]
    engine = Engine(system)
    alone = [engine.generate([request])[0].ids for request in requests]
    assert [answer.ids for answer in engine.generate(requests)] == alone
    said = with_cache[0, -6:].tolist()
    assert said[: len(alone[0])] == [*alone[0]]


def _gradients(system, samples, *, packed):
    """The loss of a batch, and the gradient of each parameter by group."""
    model = system.model
    model.zero_grad()
    batch = collate(samples, packed=packed, pad_id=0, encoder_decoder=system.processor.encoder_decoder)
    loss = functional.cross_entropy(model(**batch.inputs(conditions=False)).logits, batch.wanted)
    loss.backward()
    groups = model.trainable_groups()
    gradients = {group: {name: p.grad for name, p in own if p.requires_grad} for group, own in groups.items()}
    return loss.item(), gradients
