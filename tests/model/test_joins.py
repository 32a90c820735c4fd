"""Joins in whole systems: alone, in a batch, packed, with and without a cache; who learns; saved and loaded."""

from typing import Any

import pytest
import torch

from modalink.errors import PartError
from modalink.inference import Engine, Request, Sampling
from modalink.model import System, collate, compose
from modalink.model.arguments import unpack
from modalink.testing.checkpoints import tiny_t5

JOINS: dict[str, Any] = {
    "splice": "splice",
    "vectors around": {"kind": "splice", "begin": True, "end": True},
    "prefix": {"kind": "splice", "where": "prefix", "end": True},
    "gated": {"kind": "gated_cross_attention", "every": 1, "heads": 2, "head_width": 8},
    "gated, all": {"kind": "gated_cross_attention", "every": 2, "first": 1, "attends": "all", "media_width": 24}
    | {"heads": 2, "head_width": 8, "activation": "gelu"},
    "expert": {"kind": "visual_expert", "begin": True, "end": True},
    "expert, each": {"kind": "visual_expert", "every": 2, "first": 1, "positions": "each"},
}
LEARNING = [name for name in JOINS if name != "splice"]


@pytest.fixture
def joined(make_system):
    """A system with a join of a name, whose new weights all matter."""

    def make(name: str, **options: Any) -> System:
        system = make_system(join=JOINS[name], **options)
        random = torch.Generator().manual_seed(1)
        for parameter in system.model.model.join.parameters():
            parameter.data += torch.randn(parameter.shape, generator=random) * 0.3
        return system

    return make


@pytest.fixture
def samples(talk, picture):
    """Conversations with two pictures, with none, with one behind much text, and with three in two turns."""
    return [
        talk(("user", ["left ", picture(1), " right ", picture(2), " and?"]), ("assistant", ["a red cube"]), id="two"),
        talk(("user", ["what is a cube?"]), ("assistant", ["a thing"]), id="none"),
        talk(("user", ["here comes much text before it: ", picture(3)]), ("assistant", ["I see"]), id="one"),
        talk(
            ("user", [picture(4), "what?"]),
            ("assistant", ["this"]),
            ("user", [picture(5), picture(6), "and what?"]),
            ("assistant", ["that"]),
            id="three",
        ),
    ]


def logits(system: System, samples: list, *, packed: bool) -> torch.Tensor:
    """The logits of all labelled tokens, one sample after the other."""
    prepared = [system.processor.prepare(sample) for sample in samples]
    pad = system.processor.tokenizer.pad_token_id
    with torch.no_grad():
        return system.model(**collate(prepared, packed=packed, pad_id=pad).inputs()).logits


@pytest.mark.parametrize("name", JOINS)
def test_alone_in_a_batch_and_packed_are_the_same(joined, samples, name):
    system = joined(name)
    alone = torch.cat([logits(system, [sample], packed=False) for sample in samples])
    assert alone.std() > 0.1
    for packed in (False, True):
        torch.testing.assert_close(logits(system, samples, packed=packed), alone, rtol=1e-4, atol=1e-5)


def spoken_without_cache(system: System, prompt: Any, count: int) -> list[int]:
    """The likeliest tokens, each from a pass over all tokens before it."""
    ids, pad = list(prompt.input_ids), system.processor.tokenizer.pad_token_id
    silent = list(system.model.config.placeholders.values())
    for _ in range(count):
        longer = type(prompt)(prompt.id, ids, [-100] * len(ids), prompt.media, {}, prompt.places, {})
        inputs = collate([longer], packed=False, pad_id=pad).inputs() | {"logits_to_keep": 1}
        with torch.no_grad():
            scores = system.model(**inputs).logits[0, -1].clone()
        scores[[token for token in silent if token < len(scores)]] = -torch.inf
        ids.append(int(scores.argmax()))
    return ids[len(prompt.input_ids) :]


@pytest.mark.parametrize("name", JOINS)
def test_answers_are_the_same_without_a_cache_alone_beside_others_and_as_beams(joined, samples, name):
    system = joined(name)
    asked = [sample.turns[0] for sample in samples]
    prompts = [
        system.processor.prepare(type(sample)((turn,)), reply=True) for sample, turn in zip(samples, asked, strict=True)
    ]
    requests = [Request(prompt, Sampling(max_new_tokens=5 + number)) for number, prompt in enumerate(prompts)]
    together = Engine(system).generate(requests)
    beams = Engine(system).generate([Request(p, Sampling(max_new_tokens=5, beams=2)) for p in prompts])
    for prompt, request, found, beam in zip(prompts, requests, together, beams, strict=True):
        (alone,) = Engine(system).generate([request])
        assert alone.ids == found.ids
        assert list(found.ids) == spoken_without_cache(system, prompt, len(found.ids))
        assert sum(beam.log_probabilities) == pytest.approx(_score(system, prompt, beam.ids), abs=1e-3)


def _score(system: System, prompt: Any, ids: tuple[int, ...]) -> float:
    """What a pass without a cache gives to tokens behind a prompt."""
    whole = [*prompt.input_ids, *ids]
    longer = type(prompt)(prompt.id, whole, [-100] * len(whole), prompt.media, {}, prompt.places, {})
    inputs = collate([longer], packed=False, pad_id=0).inputs() | {"logits_to_keep": 0}
    with torch.no_grad():
        found = system.model(**inputs).logits[0].log_softmax(-1)
    start = len(prompt.input_ids) - 1
    return sum(found[start + place, token].item() for place, token in enumerate(ids))


@pytest.mark.parametrize("name", JOINS)
def test_generate_of_transformers_says_what_the_engine_says(joined, samples, name):
    system = joined(name)
    question = type(samples[0])(samples[0].turns[:1])
    (said,) = Engine(system).generate(
        [Request(system.processor.prepare(question, reply=True), Sampling(max_new_tokens=4))]
    )
    inputs = system.processor(question)
    output = system.model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert output[0, inputs["input_ids"].shape[1] :].tolist() == list(said.ids)
    again = system.model.generate(**inputs, max_new_tokens=4, do_sample=False, use_cache=False)
    assert torch.equal(again, output)


@pytest.mark.parametrize("name", LEARNING)
def test_gradients_reach_exactly_the_join(joined, samples, name):
    system = joined(name)
    groups = system.model.trainable_groups()
    system.model.requires_grad_(False)
    for _, parameter in groups["llm.join"]:
        parameter.requires_grad_(True)
    prepared = [system.processor.prepare(sample) for sample in samples]
    batch = collate(prepared, packed=True, pad_id=0)
    logits = system.model.train()(**batch.inputs()).logits
    torch.nn.functional.cross_entropy(logits, batch.wanted).backward()
    received = {name for name, p in system.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    # Behind the LLM's last layer nobody reads what it made of media: of its experts only keys and values are read.
    last = f"model.join.layers.{len(getattr(system.model.model.join, 'layers', [])) - 1}."
    read = {name for name, _ in groups["llm.join"] if not name.startswith(last) or name.split("_")[-2] in "kv"}
    assert received == read


@pytest.mark.parametrize("name", LEARNING)
def test_the_join_is_saved_and_loaded_and_the_llm_stays_a_reference(joined, samples, tmp_path, name):
    system = joined(name)
    system.save(tmp_path / "saved")
    loaded = System.load(tmp_path / "saved")
    assert loaded.model.config.references.keys() == {"llm", "inputs.image.encoder"}
    assert torch.equal(logits(loaded, samples, packed=True), logits(system, samples, packed=True))


@pytest.mark.parametrize("name", JOINS)
def test_taken_out_the_llm_is_as_it_was(joined, make_system, name):
    system, bare = joined(name), make_system()
    embeds = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    fingerprint = system.model.traced({"llm"})
    system.model.model.join.take_out()
    llm, own = system.model.language_model, bare.model.language_model
    assert [*llm.state_dict()] == [*own.state_dict()]
    with torch.no_grad():
        assert torch.equal(llm(inputs_embeds=embeds).logits, own(inputs_embeds=embeds).logits)
    assert "llm" in fingerprint.untouched(system.model.trainable_groups())
    system.model.model.join.put_into(llm)
    with pytest.raises(PartError, match="is in an LLM already"):
        system.model.model.join.put_into(llm)


def test_with_closed_gates_the_system_is_the_bare_llm(make_system, samples):
    system, bare = make_system(join=JOINS["gated"]), make_system()
    prepared = [system.processor.prepare(sample) for sample in samples]
    inputs = collate(prepared, packed=True, pad_id=0).inputs()
    with torch.no_grad():
        _, media = unpack({"pixel_values": inputs["pixel_values"]})
        embeds = system.model.model.read(inputs["input_ids"], media, inputs["places"]).embeds
        options = {name: inputs[name] for name in ("attention_mask", "position_ids", "use_cache")}
        own = bare.model.language_model(inputs_embeds=embeds, **options).logits[0, inputs["logits_to_keep"]]
        # Logits of some places, and of all: matrices of another height, which some CPUs sum in another order.
        torch.testing.assert_close(system.model(**inputs).logits, own, atol=1e-4, rtol=1e-4)
        words = torch.arange(5, 12)[None]
        assert torch.equal(system.model(input_ids=words).logits, bare.model(input_ids=words).logits)
        for block in system.model.model.join.blocks:
            block.attention_gate += 0.5
        assert not torch.allclose(system.model(**inputs).logits, own, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in LEARNING if name != "prefix"])
def test_layers_that_are_computed_anew_give_the_same_gradients(joined, samples, name):
    system = joined(name)
    batch = collate([system.processor.prepare(sample) for sample in samples], packed=True, pad_id=0)
    gradients = []
    for anew in (False, True):
        if anew:
            system.model.language_model.gradient_checkpointing_enable({"use_reentrant": False})
        system.model.train().zero_grad()
        torch.nn.functional.cross_entropy(system.model(**batch.inputs()).logits, batch.wanted).backward()
        gradients.append([parameter.grad.clone() for parameter in system.model.model.join.parameters()])
    for own, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, own)


def test_an_llm_that_cannot_carry_a_join_is_refused_in_words(make_spec, tmp_path):
    spec = make_spec(llm=tiny_t5(tmp_path / "t5"), join="visual_expert", template="plain")
    with pytest.raises(PartError, match=r"^llm: .*is an encoder-decoder, whose layers carry no join"):
        compose(spec)
