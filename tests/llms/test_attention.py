import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, Qwen2Config, Qwen2ForCausalLM

from modalink.llms import ATTENTION, Segments, packs

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


def _llama() -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**SIZES, intermediate_size=48, num_key_value_heads=2))


def _windowed() -> Qwen2ForCausalLM:
    window = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 0}
    return Qwen2ForCausalLM(Qwen2Config(**SIZES, intermediate_size=48, num_key_value_heads=2, **window))


def _opt() -> OPTForCausalLM:
    return OPTForCausalLM(OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32))


@pytest.mark.parametrize("make", [_llama, _windowed, _opt])
@pytest.mark.parametrize("lengths", [[5, 7, 6], [2, 20, 3], [9]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_stream_equals_its_segments_one_by_one(make, lengths, dtype):
    torch.manual_seed(0)
    model = make().to(dtype).eval()
    reference = make().to(dtype).eval()
    reference.load_state_dict(model.state_dict())
    model.set_attn_implementation(ATTENTION)
    reference.set_attn_implementation("eager")
    rows = [torch.randint(1, 50, (1, length)) for length in lengths]
    segments = Segments.of(lengths)

    packed = model(
        torch.cat(rows, 1), attention_mask=segments.mask(), position_ids=segments.positions, use_cache=False
    ).logits
    alone = torch.cat([reference(row).logits for row in rows], 1)

    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(packed, alone, atol=tolerance, rtol=tolerance)
    assert packs(model)


@pytest.mark.parametrize("make", [_llama, _windowed, _opt])
def test_a_padded_batch_equals_sdpa_bit_for_bit(make):
    torch.manual_seed(0)
    model = make().eval()
    ids = torch.randint(1, 50, (2, 9))
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1] * 9])
    with torch.no_grad():
        expected = model(ids, attention_mask=mask).logits
        model.set_attn_implementation(ATTENTION)
        found = model(ids, attention_mask=mask).logits
    assert torch.equal(found, expected)


def test_gradients_of_a_packed_stream_are_the_sum_of_its_segments_gradients():
    torch.manual_seed(0)
    model = _llama().to(torch.float32)
    model.set_attn_implementation(ATTENTION)
    rows = [torch.randint(1, 50, (1, n)) for n in (3, 14, 4)]

    def gradient(*batches):
        model.zero_grad()
        for row, lengths in batches:
            segments = Segments.of(lengths)
            out = model(row, attention_mask=segments.mask(), position_ids=segments.positions, use_cache=False).logits
            out.square().sum().backward()
        return model.model.layers[0].self_attn.q_proj.weight.grad.clone()

    together = gradient((torch.cat(rows, 1), [3, 14, 4]))
    apart = gradient(*[(row, [row.shape[1]]) for row in rows])
    torch.testing.assert_close(together, apart, atol=1e-3, rtol=1e-4)


def test_bfloat16_training_on_a_cpu_gives_the_gradients_of_sdpa():
    torch.manual_seed(0)
    model = _llama()
    ids = torch.randint(1, 50, (2, 9))

    def gradient(attention):
        model.set_attn_implementation(attention)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            model(ids).logits.float().square().mean().backward()
        return model.model.layers[0].self_attn.q_proj.weight.grad.clone()

    expected, found = gradient("sdpa"), gradient(ATTENTION)
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_a_model_that_is_not_all_attention_does_not_pack():
    model = _llama()
    model.config.layer_types = ["linear_attention", "full_attention"]
    assert not packs(model)
