"""Every kind of what learns in a frozen LLM: what is trained, that it is read in every way, and how it merges."""

import pytest
import torch
from transformers import DynamicCache

from modalink.adapters import ADAPTER, adapted, merge_adapters
from modalink.errors import PartError
from modalink.llms import ATTENTION, Segments, decode, settle
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.testing.checkpoints import tiny_llama, tiny_opt, tiny_qwen2, tiny_t5

KINDS = {
    "lora": {"kind": "lora", "rank": 2, "alpha": 4},
    "dora": {"kind": "lora", "rank": 2, "alpha": 4, "dora": True},
    "ia3": {"kind": "ia3"},
    "layer_norm": {"kind": "layer_norm"},
    "adapter": {"kind": "adapter", "width": 4},
    "prefix": {"kind": "prefix", "tokens": 3},
}
MERGED = ("lora", "dora", "ia3", "layer_norm")
DECODERS = {"llama": tiny_llama, "qwen2": tiny_qwen2, "opt": tiny_opt}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llms")
    return {name: str(make(folder / name)) for name, make in (DECODERS | {"t5": tiny_t5}).items()}


def build(checkpoint, peft=None):
    llm = PretrainedLlmConfig(checkpoint=checkpoint, peft=peft).build()
    settle(llm)
    return llm


def stirred(llm):
    """The LLM, after a step of training: what learns is no longer what it was at the start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in llm.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return llm


def read(llm, ids, **options):
    with torch.no_grad():
        return decode(llm, inputs_embeds=llm.get_input_embeddings()(ids), **{"use_cache": False} | options)


@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_alone_packed_padded_and_behind_a_cache_it_says_the_same(checkpoints, family, kind):
    llm = stirred(build(checkpoints[family], KINDS[kind]))
    rows = [torch.randint(5, 40, (length,)) for length in (7, 4, 9)]
    alone = [read(llm, row[None]).logits[0] for row in rows]
    bare = read(build(checkpoints[family]), rows[0][None]).logits[0]
    assert (alone[0] - bare).abs().max() > 1e-2

    segments = Segments.of(map(len, rows))
    packed = read(llm, torch.cat(rows)[None], attention_mask=segments.mask(), position_ids=segments.positions).logits[0]
    torch.testing.assert_close(packed, torch.cat(alone), atol=2e-5, rtol=1e-4)

    mask = torch.zeros(3, 9, dtype=torch.long)
    ids = torch.zeros(3, 9, dtype=torch.long)
    for number, row in enumerate(rows):
        mask[number, 9 - len(row) :], ids[number, 9 - len(row) :] = 1, row
    prompt, places = ids[:, :-2], (mask.cumsum(1) - 1).clamp(min=0)
    first = read(
        llm, prompt, attention_mask=mask[:, :-2], position_ids=places[:, :-2], cache=DynamicCache(), use_cache=True
    )
    then = read(
        llm, ids[:, -2:], attention_mask=mask, position_ids=places[:, -2:], cache=first.cache, use_cache=True
    ).logits
    torch.testing.assert_close(then, torch.stack([own[-2:] for own in alone]), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", [*DECODERS, "t5"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_exactly_what_was_put_in(checkpoints, family, kind):
    if (family, kind) == ("t5", "prefix"):
        with pytest.raises(PartError, match="an encoder-decoder, whose attention takes no prefix"):
            build(checkpoints[family], KINDS[kind])
        return
    llm = stirred(build(checkpoints[family], KINDS[kind]))
    ids = torch.randint(5, 40, (2, 9))
    llm(input_ids=ids, labels=ids).loss.backward()
    learned = {name: p for name, p in llm.named_parameters() if ADAPTER in name.split(".")}
    assert adapted(llm) and learned
    assert {name for name, p in llm.named_parameters() if p.requires_grad} == learned.keys()
    # Of a norm that nothing reads behind, or a factor on what softmax forgets, there could be none.
    assert [name for name, p in learned.items() if p.grad is None or not p.grad.any()] == []
    assert all(p.grad is None for name, p in llm.named_parameters() if name not in learned)


@pytest.mark.parametrize("family", [*DECODERS, "t5"])
@pytest.mark.parametrize("kind", MERGED)
def test_merged_it_is_a_plain_llm_that_says_the_same(checkpoints, family, kind):
    llm = stirred(build(checkpoints[family], KINDS[kind]))
    ids = torch.randint(5, 40, (2, 9))
    spoken = {"decoder_input_ids": ids} if family == "t5" else {}
    with torch.no_grad():
        before = llm(input_ids=ids, **spoken).logits
        merge_adapters(llm)
        after = llm(input_ids=ids, **spoken).logits
    torch.testing.assert_close(after, before, atol=2e-5, rtol=1e-4)
    assert llm.state_dict().keys() == build(checkpoints[family]).state_dict().keys()


@pytest.mark.parametrize("kind", ["adapter", "prefix"])
def test_what_computes_something_of_its_own_cannot_be_merged(checkpoints, kind):
    with pytest.raises(PartError, match="cannot be merged, so keep them beside it"):
        merge_adapters(build(checkpoints["llama"], KINDS[kind]))


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3", "layer_norm", "adapter"])
def test_at_first_it_changes_nothing(checkpoints, kind):
    ids = torch.arange(5, 20)[None]
    found = read(build(checkpoints["llama"], KINDS[kind]), ids).logits
    torch.testing.assert_close(found, read(build(checkpoints["llama"]), ids).logits, atol=1e-5, rtol=1e-5)


def test_a_prefix_equals_keys_and_values_that_stand_in_a_cache(checkpoints):
    """The reference is transformers' own cache, filled with the prefix before the first token."""
    llm, bare = stirred(build(checkpoints["llama"], KINDS["prefix"])), build(checkpoints["llama"])
    cache = DynamicCache()
    for number, layer in enumerate(llm.model.layers):
        prefix = layer.self_attn.learned_prefix[ADAPTER]
        cache.update(prefix.keys[None].detach(), prefix.values[None].detach(), number)
    ids = torch.arange(5, 14)[None]
    mask, places = torch.ones(1, 12, dtype=torch.long), torch.arange(9)[None]
    bare.set_attn_implementation("eager")
    expected = read(bare, ids, attention_mask=mask, position_ids=places, cache=cache, use_cache=True).logits
    torch.testing.assert_close(read(llm, ids).logits, expected, atol=1e-5, rtol=1e-5)
    assert llm.config._attn_implementation == ATTENTION


@pytest.mark.parametrize(
    ("peft", "words"),
    [
        ({"kind": "ia3", "targets": ["keys"]}, r"no linear layer is called keys \(llm.peft.targets\)"),
        ({"kind": "layer_norm", "targets": ["q_proj"]}, "no norm is called q_proj.*its layers are input_layernorm"),
        ({"kind": "adapter", "width": 4, "targets": ["out"]}, "no linear layer is called out"),
        ({"kind": "lora", "rank": 2, "alpha": 4, "targets": ["query"]}, "no linear layer is called query"),
    ],
)
def test_a_target_that_is_not_there_is_refused(checkpoints, peft, words):
    with pytest.raises(PartError, match=words):
        build(checkpoints["llama"], peft)


def test_an_error_names_the_key_that_was_written(checkpoints):
    lora = {"rank": 2, "alpha": 4, "targets": ["query"]}
    with pytest.raises(PartError, match=r"called query \(llm.lora.targets\)"):
        PretrainedLlmConfig(checkpoint=checkpoints["llama"], lora=lora).build()
    with pytest.raises(PartError, match=r"called query \(llm.peft.targets\)"):
        build(checkpoints["llama"], {"kind": "lora", **lora})


def test_what_a_recipe_says_wrongly_is_told_in_words(checkpoints):
    with pytest.raises(ValueError, match=r"unknown kind of llms.peft 'lorra'; did you mean 'lora'"):
        PretrainedLlmConfig(checkpoint=checkpoints["llama"], peft={"kind": "lorra"})
    with pytest.raises(ValueError, match="found lora and peft"):
        PretrainedLlmConfig(checkpoint=checkpoints["llama"], peft="ia3", lora={"rank": 2, "alpha": 4})
