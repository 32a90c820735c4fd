"""The visual expert: the authors' numbers and positions, and which tokens it computes for.

The numbers in `visual_expert.json` are those of `LlamaVisionExpertAttnMixin` and `LlamaVisionExpertFCMixin` of
THUDM/CogVLM at f7283b2, in two layers with the norms of a Llama around them and stand-ins for the library beneath (its
linear layers, its attention and its rotary positions): width 16, two heads, a feed-forward layer of 24, the weights and
text of `wave`. The tokens are two of text, an item of three between its vectors, two of text, another item, one of
text; `positions` are counted as in the authors' `utils/utils/language.py`.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.ragged import Layout, Ragged
from modalink.roles import JoinConfig, Placed, Rows

REFERENCES = json.loads(Path(__file__).with_name("visual_expert.json").read_text())
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 24}
SIZES |= {"num_hidden_layers": 2, "vocab_size": 32, "rms_norm_eps": 1e-6}
LINEAR = ("mlp.down_proj", "mlp.gate_proj", "mlp.up_proj")
LINEAR += ("self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj")


def config(**settings):
    return parse(JoinConfig.room, {"kind": "visual_expert", "begin": True, "end": True, **settings})


def wave(shape, number, scale=0.4):
    """Numbers between -scale and scale that any program makes alike."""
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float32) * (0.37 + 0.11 * number)).view(shape) * scale


@pytest.fixture
def llm():
    """A Llama with the weights of the reference."""
    llm = LlamaForCausalLM(LlamaConfig(**SIZES)).eval().requires_grad_(False)
    for number, layer in enumerate(llm.model.layers):
        for place, name in enumerate(LINEAR):
            weight = layer.get_submodule(name).weight
            weight.copy_(wave(weight.shape, 1 + number * 20 + place))
    return llm


def _items():
    """Two items of three prompt tokens between their vectors."""
    prompt = Ragged(torch.zeros(6, 16), (3, 3), (Layout(1, (3,)),) * 2)
    return [Placed("image", prompt, torch.tensor([2, 3, 4, 5, 6, 9, 10, 11, 12, 13]), (5, 5), (2, 9))]


@pytest.mark.parametrize("positions", ["shared", "each"])
def test_layers_give_the_authors_numbers(llm, positions):
    join = config(positions=positions).build(llm, ["image"])
    for number, twins in enumerate(join.layers):
        for place, name in enumerate(LINEAR):
            weight = twins.get_submodule(name.replace(".", "_")).weight
            weight.data = wave(weight.shape, 1 + number * 20 + place + 10)
    join.put_into(llm)
    text = wave((1, 15, 16), 50, 1.0)
    met = join.meet(Rows.of(text), _items(), None)
    with torch.no_grad(), join.told(met):
        mask = torch.ones(1, 15, dtype=torch.long)
        states = llm.model(inputs_embeds=text, position_ids=met.positions(None), attention_mask=mask).last_hidden_state
    if positions == "shared":
        assert met.positions(None)[0].tolist() == REFERENCES["positions"]
    torch.testing.assert_close(states[0, :, ::3], torch.tensor(REFERENCES[positions]), rtol=0, atol=1e-5)


def test_the_vector_before_an_item_is_media_and_the_one_behind_it_is_text(llm):
    join = config().build(llm, ["image"])
    met = join.meet(Rows(1, 15, (15,)), _items(), None)
    assert met.media.tolist() == [2, 3, 4, 5, 9, 10, 11, 12]
    assert met.text.tolist() == [0, 1, 6, 7, 8, 13, 14]


def test_positions_of_a_packed_stream_padding_and_tokens_behind_a_cache(llm):
    """Items of two prompt tokens at 1 and 5, in samples `[a I I b][c I I]` and in rows padded on the left and right."""
    join = config(begin=False, end=False).build(llm, ["image"])
    prompt = Ragged(torch.zeros(4, 16), (2, 2), (Layout(1, (2,)),) * 2)

    def met(count, width, samples, places):
        index = torch.tensor([place for start in places for place in (start, start + 1)])
        return join.meet(Rows(count, width, samples), [Placed("image", prompt, index, (2, 2), places)], None)

    stream = met(1, 7, (4, 3), (1, 5)).positions(torch.tensor([[0, 1, 2, 3, 0, 1, 2]]))
    assert stream.tolist() == [[0, 1, 1, 2, 0, 1, 1]]
    left = met(2, 4, (4, 4), (1, 6))
    assert left.positions(torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2]])).tolist() == [[0, 1, 1, 2], [0, 0, 1, 1]]
    assert met(2, 4, (4, 4), (1, 5)).positions(torch.tensor([[0, 1, 2, 3]] * 2)).tolist() == [[0, 1, 1, 2]] * 2
    behind = join.meet(Rows(2, 2, (2, 2)), [], left.kept().select([1, 0]))
    assert behind.positions(torch.tensor([[3, 4], [4, 5]])).tolist() == [[2, 3], [3, 4]]
    assert behind.positions(None).tolist() == [[3, 4], [3, 4]]


def test_experts_start_as_copies_so_that_media_are_read_as_text_at_first(llm):
    join = config(positions="each").build(llm.double(), ["image"])
    text = wave((1, 15, 16), 50, 1.0).double()
    before = llm.model(inputs_embeds=text).last_hidden_state
    join.put_into(llm)
    with join.told(join.meet(Rows.of(text), _items(), None)):
        torch.testing.assert_close(llm.model(inputs_embeds=text).last_hidden_state, before, rtol=0, atol=1e-9)
    assert all(p.requires_grad for p in join.parameters()) and not any(p.requires_grad for p in llm.parameters())


def test_a_mixture_of_experts_has_no_room_for_another():
    sizes = SIZES | {"num_local_experts": 2, "num_experts_per_tok": 1}
    llm = MixtralForCausalLM(MixtralConfig(**sizes))
    with pytest.raises(PartError, match=r"MixtralDecoderLayer has matrices outside of linear layers \(mlp"):
        config().build(llm, ["image"])
