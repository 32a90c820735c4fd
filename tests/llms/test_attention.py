import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, Qwen2Config, Qwen2ForCausalLM

from modalink.errors import PartError
from modalink.llms import ATTENTION, Segments, _attention, _segments, attention

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


def _heads(lengths, dtype=torch.float32):
    """A layer's query, key and value for a stream, with two query heads a key head, as decoders lay them."""
    total = sum(lengths)
    return [torch.randn(1, total, n, 8, dtype=dtype).transpose(1, 2).requires_grad_() for n in (4, 2, 2)]


def _attended(states, mask, **options):
    module = torch.nn.Module().train()
    module.num_key_value_groups, module.is_causal = 2, True
    return attention(module, *states, mask, **options)[0]


@pytest.mark.parametrize("limit", [0.0, 1.0])
@pytest.mark.parametrize(
    "options", [{}, {"sliding_window": 3}, {"softcap": 5.0}, {"scaling": 0.2}, {"s_aux": torch.tensor([0.5, -1, 2, 0])}]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_packed_body_agrees_with_one_masked_product_over_the_stream(monkeypatch, limit, options, dtype):
    monkeypatch.setattr(_segments, "PADDING_LIMIT", limit)
    segments = Segments.of([5, 1, 9])
    states = _heads(segments.lengths, dtype)
    found = _attended(states, segments.mask(), **options)
    wanted = torch.randn_like(found)
    gradients = torch.autograd.grad(found, states, wanted)

    exact = [x.detach().double().requires_grad_() for x in states]
    q, k, v = exact[0], *(x.repeat_interleave(2, 1) for x in exact[1:])
    scores = q @ k.transpose(2, 3) * options.get("scaling", 8**-0.5)
    if cap := options.get("softcap"):
        scores = cap * torch.tanh(scores / cap)
    sample = torch.repeat_interleave(torch.arange(3), torch.tensor(segments.lengths))
    place = torch.arange(15)
    distance = place[:, None] - place
    seen = (sample[:, None] == sample) & (distance >= 0) & (distance < options.get("sliding_window", 15))
    scores = scores.masked_fill(~seen, -torch.inf)
    if (sinks := options.get("s_aux")) is not None:
        scores = torch.cat([scores, sinks.double()[None, :, None, None].expand(1, 4, 15, 1)], -1)
    expected = (scores.softmax(-1)[..., :15] @ v).transpose(1, 2)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
    expected_gradients = torch.autograd.grad(expected, exact, wanted.double())
    for gradient, exactly in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), exactly, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", ["nothing", "truth", "numbers"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("sinks", [None, torch.tensor([0.5, -1, 2, 0])])
@pytest.mark.parametrize("biased", [True, False])
def test_every_padded_body_uses_all_that_it_is_given(dtype, masked, causal, sinks, biased):
    states = _heads([7], dtype)
    bias = torch.randn(1, 4, 7, 7) if biased else torch.zeros(1, 4, 7, 7)
    seen = torch.ones(7, 7, dtype=torch.bool).tril() if causal else torch.ones(7, 7, dtype=torch.bool)
    mask = None
    if masked != "nothing":
        seen = torch.ones(7, 7, dtype=torch.bool).tril(2)
        mask = seen[None, None] if masked == "truth" else torch.where(seen, 0.0, -torch.inf)[None, None].to(dtype)
    given = {"position_bias": bias.to(dtype)} if biased else {}
    found = _attended(states, mask, is_causal=causal, s_aux=sinks, **given)

    q, k, v = (x.detach().double() for x in states)
    scores = q @ k.repeat_interleave(2, 1).transpose(2, 3) * 8**-0.5 + bias.double()
    scores = scores.masked_fill(~seen, -torch.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks.double()[None, :, None, None].expand(1, 4, 7, 1)], -1)
    expected = (scores.softmax(-1)[..., :7] @ v.repeat_interleave(2, 1)).transpose(1, 2)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found.detach().double(), expected, atol=tolerance, rtol=tolerance)


def test_what_it_does_not_know_is_refused_and_never_dropped():
    states = _heads([5, 3])
    packed = Segments.of([5, 3]).mask()
    with pytest.raises(PartError, match="Module hands indices to its attention"):
        _attended(states, None, indices=torch.zeros(1), output_attentions=False, position_ids=torch.arange(8)[None])
    with pytest.raises(PartError, match="wants a bias of its own"):
        _attended(states, packed, position_bias=torch.zeros(1, 4, 8, 8))
    with pytest.raises(PartError, match="wants to see later tokens"):
        _attended(states, packed, is_causal=False)
    _attended(states, packed, position_ids=torch.arange(8)[None], indices=None)


@pytest.fixture
def kernel_calls(monkeypatch):
    """The calls of the variable-length kernel on a GPU that is only imagined: shapes, devices and types, no numbers."""
    calls = []

    def record(query, key, value, *ends, **options):
        calls.append((query.dtype, [x.stride() for x in (query, key, value)], options))
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return varlen_attn(query, key, value, *ends, **options)

    monkeypatch.setattr(_attention, "varlen_attn", record)
    monkeypatch.setattr(_attention, "_flash_runs_on", lambda device: device.type == "cuda")
    return calls


@pytest.mark.parametrize(("window", "before"), [(None, -1), (3, 2), (9, -1)])
def test_a_gpu_reads_the_stream_as_it_lies_and_asks_the_host_nothing(kernel_calls, window, before):
    mask = Segments.of([5, 1, 9]).mask()
    with FakeTensorMode(), torch.device("cuda"):
        mask.segments = Segments.of([5, 1, 9])
        states = _heads(mask.segments.lengths, torch.bfloat16)
        found = _attended(states, mask, sliding_window=window)
    assert (found.shape, found.device.type, found.requires_grad) == ((1, 15, 4, 8), "cuda", True)
    dtype, strides, options = kernel_calls[0]
    assert dtype == torch.bfloat16
    assert strides == [(32, 8, 1), (16, 8, 1), (16, 8, 1)]
    assert options == {"scale": None, "window_size": (before, 0), "enable_gqa": True}


@pytest.mark.parametrize("options", [{"softcap": 5.0}, {"dropout": 0.1}, {"s_aux": 1.0}])
def test_a_gpu_falls_back_where_its_kernel_cannot_do_what_a_layer_asks(kernel_calls, options):
    mask = Segments.of([5, 1, 9]).mask()
    with FakeTensorMode(), torch.device("cuda"):
        mask.segments = Segments.of([5, 1, 9])
        options = {name: torch.full((4,), x) if name == "s_aux" else x for name, x in options.items()}
        for dtype, asked in ((torch.float32, {}), (torch.bfloat16, options)):
            assert _attended(_heads(mask.segments.lengths, dtype), mask, **asked).shape == (1, 15, 4, 8)
    assert not kernel_calls


def test_samples_of_like_length_lie_in_rows_of_which_at_most_a_quarter_is_padding():
    lengths = [40, 9, 100, 41, 95, 3, 98, 10]
    segments = Segments.of(lengths)
    assert [own.samples for own in segments.rows] == [(2, 3, 4, 6), (0,), (1, 7), (5,)]
    stream = torch.arange(sum(lengths))
    found = torch.cat([own.lay(stream).flatten()[own.places] for own in segments.rows])
    assert torch.equal(found[segments.order], stream)
    for own in segments.rows:
        assert own.longest == max(lengths[sample] for sample in own.samples)
        assert 1 - len(own.tokens) / (own.longest * len(own.samples)) <= 0.25
    # Where little is padding, all lie in one batch, in their order.
    (own,) = Segments.of([5, 8, 7]).rows
    assert own.samples == (0, 1, 2)
    assert own.places.tolist() == [*range(5), *range(8, 16), *range(16, 23)]
