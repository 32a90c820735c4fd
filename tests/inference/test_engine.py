"""The engine: every request gets its own answer, whatever is answered beside it, and nothing is computed twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import BartConfig, JambaConfig, MambaConfig

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import GenerationError
from modalink.inference import Completion, Engine, Request, Sampling, Session
from modalink.testing.checkpoints import tiny_llama, tiny_llm, tiny_opt, tiny_qwen2, tiny_t5


def tiny_mamba(folder):
    """A state-space LLM: no keys, a state under another name, one token at a time behind it."""
    return tiny_llm(folder, MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4, initializer_range=0.2))


def tiny_jamba(folder):
    """State-space layers beside attention."""
    layers = {"num_hidden_layers": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    return tiny_llm(folder, JambaConfig(**layers, **sizes, use_mamba_kernels=False, initializer_range=0.2))


def tiny_bart(folder):
    """An encoder-decoder that counts positions from the first column, padding or not."""
    sizes = {f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in BART.items()}
    return tiny_llm(folder, BartConfig(d_model=32, init_std=0.2, **sizes))


BART = {"layers": 2, "attention_heads": 4, "ffn_dim": 48}
FAMILIES = [
    (tiny_llama, "vicuna-v0"),
    (tiny_qwen2, "llm"),
    (tiny_opt, "question-answer"),
    (tiny_t5, "plain"),
    (tiny_mamba, "plain"),
    (tiny_jamba, "plain"),
    (tiny_bart, "plain"),
]


@pytest.fixture(scope="session")
def talk(picture):
    """A conversation with pictures, words below them."""

    def make(words, *seeds):
        return Conversation((Turn("user", (*(Medium("image", picture(s)) for s in seeds), Text(words))),))

    return make


@pytest.fixture(scope="session")
def request_of():
    """A request to a session's system."""
    return lambda session, talk, media=True, **options: Request(
        session.system.processor.prepare(talk, reply=True), Sampling(**options), media
    )


def streamed(engine, request):
    *pieces, completion = engine.stream(request)
    assert "".join(pieces) == completion.text
    return completion


@pytest.mark.parametrize(("llm", "template"), FAMILIES)
def test_alone_beside_others_streamed_and_from_four_threads_answers_are_the_same(
    llm, template, build, talk, request_of
):
    session = build(llm, template=template)
    talks = [talk("Yes?"), talk("What is it, and what else is there?", 1), talk("How many?", 2, 3), talk("Why?", 4)]
    temperatures = (0.0, 0.7, 1.5)
    requests = [
        request_of(session, talks[n % 4], max_new_tokens=4 + n % 9, temperature=temperatures[n % 3], seed=n)
        for n in range(24)
    ]
    engine = Engine(session.system, batch=7)
    alone = [engine.generate([request])[0] for request in requests]
    together = engine.generate(requests)
    with ThreadPoolExecutor(4) as threads:
        threaded = list(threads.map(lambda request: Engine(session.system).generate([request])[0], requests))
        streams = list(threads.map(lambda request: streamed(engine, request), requests))
    for others in (together, threaded, streams):
        assert [other.ids for other in others] == [own.ids for own in alone]
        assert [other.content for other in others] == [own.content for own in alone]
    for own, other in zip(alone, together, strict=True):
        assert other.log_probabilities == pytest.approx(own.log_probabilities, abs=1e-4)
    assert len({own.ids for own in alone}) > 12


@pytest.fixture(scope="module")
def painter(build, talk):
    """A system in whose answers images begin wherever the scores of the first signal token happen to be high."""
    session = build(draws=True, template="question-answer")
    head = session.system.model.get_output_embeddings()
    with torch.no_grad():
        head.new_rows.copy_(2 * torch.randn(head.new_rows.shape, generator=torch.Generator().manual_seed(0)))
    return session


def test_log_probabilities_are_those_of_a_plain_pass(painter, talk, request_of):
    engine, system = Engine(painter.system), painter.system
    for options in ({}, {"temperature": 2.0, "top_p": 0.8, "seed": 1}, {"beams": 3}):
        request = request_of(painter, talk("Draw it.", 1), max_new_tokens=12, **options)
        (completion,) = engine.generate([request])
        ids = torch.tensor([[*request.prompt.input_ids, *completion.ids]])
        inputs = system.processor(conversation=talk("Draw it.", 1))
        logits = system.model(**inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits
        scores = logits[0, -len(completion.ids) - 1 : -1].log_softmax(-1)
        forced = {token for run in system.model.config.signals.values() for token in run[1:]}
        expected = [
            0.0 if token in forced else scores[place, token].item() for place, token in enumerate(completion.ids)
        ]
        assert completion.log_probabilities == pytest.approx(expected, abs=1e-4)


def test_encoder_decoder_log_probabilities_are_those_of_a_plain_pass(build, talk, request_of):
    session = build(tiny_t5, template="plain")
    for options in ({}, {"beams": 3}):
        request = request_of(session, talk("What?", 1), max_new_tokens=8, **options)
        (completion,) = Engine(session.system).generate([request])
        start = session.system.model.config.text_config.decoder_start_token_id
        inputs = session.system.processor(conversation=talk("What?", 1))
        logits = session.system.model(**inputs, decoder_input_ids=torch.tensor([[start, *completion.ids]])).logits
        scores = logits[0, :-1].log_softmax(-1)
        expected = [scores[place, token].item() for place, token in enumerate(completion.ids)]
        assert completion.log_probabilities == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_what_ended_an_answer_is_said(beams, reader, talk, request_of):
    engine = Engine(reader.system)
    ask = talk("What?")
    (long,) = engine.generate([request_of(reader, ask, max_new_tokens=12, beams=beams)])
    assert (long.finish_reason, len(long.ids)) == ("length", 12)
    end = reader.system.processor.tokenizer.eos_token_id

    def favour(module, args, logits):
        logits[..., end] += 1e4

    hook = reader.system.model.get_output_embeddings().register_forward_hook(favour)
    (ended,) = engine.generate([request_of(reader, ask, beams=beams)])
    hook.remove()
    assert (ended.finish_reason, ended.ids, ended.text, ended.content) == ("stop", (end,), "", (Text(""),))


def test_each_request_has_its_own_sampling_and_stop_strings(reader, talk, request_of):
    ask = talk("What?")
    (long,) = Engine(reader.system).generate([request_of(reader, ask, max_new_tokens=16)])
    options = [
        {"max_new_tokens": 16},
        {"max_new_tokens": 3},
        {"max_new_tokens": 16, "stop": (long.text[2:4],)},
        {"max_new_tokens": 16, "temperature": 1.5, "seed": 1},
        {"max_new_tokens": 16, "temperature": 1.5, "seed": 2},
        {"max_new_tokens": 16, "temperature": 1.5, "seed": 1, "top_p": 1e-6},
        {"max_new_tokens": 16, "beams": 3},
    ]
    found = Engine(reader.system).generate([request_of(reader, ask, **each) for each in options])
    assert found[0].ids == found[5].ids == long.ids
    assert found[1].ids == long.ids[:3]
    assert found[2].text == long.text.split(long.text[2:4])[0].strip() and found[2].finish_reason == "stop"
    assert len({long.ids, found[3].ids, found[4].ids, found[6].ids}) == 4
    assert all(completion.content == (Text(completion.text),) for completion in found)


@pytest.fixture
def passes(monkeypatch):
    """Counts the encoder's passes, and the LLM's with their lengths."""

    def count(session):
        model, found = session.system.model, {"encoder": [], "llm": []}
        hooks = [
            model.model.encoder("image").register_forward_hook(lambda *a: found["encoder"].append(1)),
            model.language_model.get_decoder().register_forward_pre_hook(
                lambda module, args, kwargs: found["llm"].append(_length(kwargs)), with_kwargs=True
            ),
        ]
        return found, lambda: [hook.remove() for hook in hooks]

    def _length(kwargs):
        given = next(kwargs[name] for name in ("inputs_embeds", "input_ids") if kwargs.get(name) is not None)
        return given.shape[1]

    return count


def test_drawing_runs_neither_the_encoder_nor_the_prompt_again(artist, talk, request_of, passes):
    request = request_of(artist, talk("Draw it."), max_new_tokens=5)
    found, remove = passes(artist)
    (completion,) = Engine(artist.system).generate([request])
    remove()
    assert len(completion.media) == 1 and len(completion.ids) == 5
    assert found == {"encoder": [], "llm": [len(request.prompt.input_ids), 1, 1, 3]}


def test_an_encoder_decoder_draws_from_one_pass_too(build, teach, talk, request_of, passes):
    session = teach(build(tiny_t5, template="question-answer", draws=True), "Draw it.", words=2)
    found, remove = passes(session)
    (completion,) = Engine(session.system).generate([request_of(session, talk("Draw it."), max_new_tokens=5)])
    remove()
    assert len(completion.media) == 1 and found["llm"] == [1, 1, 1, 3]


def favour_a_run(session, *steps):
    """Let every row begin an image at some passes of the head, and only there."""
    first, seen = session.system.model.config.signals["image"][0], []

    def change(module, args, logits):
        logits[..., first] += 1e4 if len(seen) in steps else -1e4
        seen.append(module)

    return session.system.model.get_output_embeddings().register_forward_hook(change)


@pytest.mark.parametrize("llm", [tiny_llama, tiny_t5])
def test_a_medium_is_read_once_and_another_drawn_twice(llm, build, talk, request_of, passes):
    session = build(llm, template="question-answer", draws=True)
    requests = [request_of(session, talk(words, 1), max_new_tokens=12) for words in ("Yes?", "And what of it?")]
    found, remove = passes(session)
    hook = favour_a_run(session, 1, 4)
    completions = Engine(session.system).generate(requests)
    hook.remove()
    remove()
    start = [1] if llm is tiny_t5 else [max(len(request.prompt.input_ids) for request in requests)]
    assert found["encoder"] == [1] and found["llm"] == [*start, 1, 3, 1, 1, 3, 1, 1]
    for completion in completions:
        assert [medium.modality for medium in completion.media] == ["image"] * 2
        assert len(completion.conditions["image"]) == 2
        assert not torch.allclose(*completion.conditions["image"]["tokens"], atol=1e-5)


def test_rows_that_draw_at_different_places_draw_what_each_draws_alone(painter, talk, request_of):
    words = ["Draw.", "Draw it, please!", "What?", "One more?", "And a last one of them all?"]
    requests = [
        request_of(painter, talk(words[n % 5], *[n] * (n % 2)), max_new_tokens=16, temperature=1.0, seed=n, media=False)
        for n in range(30)
    ]
    engine = Engine(painter.system, batch=10)
    alone, together = [engine.generate([request])[0] for request in requests], engine.generate(requests)
    assert [own.ids for own in alone] == [other.ids for other in together]
    drawn = [tuple(own.conditions) for own in alone]
    starts = {own.ids.index(painter.system.model.config.signals["image"][0]) for own in alone if own.conditions}
    assert 5 < drawn.count(("image",)) < 30 and len(starts) > 3
    assert any(len(own.conditions["image"]) > 1 for own in alone if own.conditions)
    for own, other in zip(alone, together, strict=True):
        for modality, conditions in own.conditions.items():
            assert torch.allclose(conditions["tokens"], other.conditions[modality]["tokens"], atol=1e-4)


def test_conditions_alone_come_where_media_are_not_wanted(artist, talk, request_of):
    given = {"max_new_tokens": 5, "seed": 3}
    requests = [request_of(artist, talk("Draw it."), media=media, **given) for media in (True, False)]
    whole, bare = Engine(artist.system).generate(requests)
    assert bare.media == () and bare.content == (Text(whole.text),)
    assert torch.allclose(bare.conditions["image"]["tokens"], whole.conditions["image"]["tokens"], atol=1e-5)
    asked = Session(artist.system).chat(talk("Draw it."), **given)
    assert [(medium.modality, medium.source) for medium in whole.media] == asked.media


def test_a_failed_request_leaves_the_engine_usable(reader, talk, request_of):
    engine = Engine(reader.system)
    limit = reader.system.model.config.get_text_config().max_position_embeddings
    fine = request_of(reader, talk("What?"), max_new_tokens=4)
    with pytest.raises(GenerationError, match=f"the LLM reads at most {limit}"):
        engine.generate([fine, request_of(reader, talk("word " * limit))])
    left = engine.stream(fine)
    next(left)
    (completion,) = engine.generate([fine])
    assert isinstance(completion, Completion) and engine.generate([]) == []
    assert [*left][-1].ids == completion.ids
