"""Sessions of tiny random systems: what is asked arrives, what is drawn comes back, each error says what is wrong."""

from dataclasses import replace

import pytest
import torch

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import GenerationError, MediumError, OptionError, PromptError, UnknownNameError
from modalink.testing.checkpoints import tiny_llama, tiny_opt, tiny_qwen2, tiny_t5


def greedy(session, conversation, tokens):
    """The likeliest answer, found without `generate`: one whole pass a token."""
    system, inputs = session.system, session.system.processor(conversation=conversation)
    ids, ends = inputs.pop("input_ids"), [system.processor.tokenizer.eos_token_id]
    start = ids.shape[1]
    inputs.pop("attention_mask")
    barred = list(system.model.config.placeholders.values())
    for _ in range(tokens):
        logits = system.model(input_ids=ids, **inputs).logits[0, -1]
        logits[[token for token in barred if token < len(logits)]] = -torch.inf
        ids = torch.cat([ids, logits.argmax().view(1, 1)], 1)
        if ids[0, -1] in ends:
            break
    return system.processor.tokenizer.decode(ids[0, start:], skip_special_tokens=True)


def test_an_answer_is_the_likeliest_continuation_of_the_prompt(reader, picture):
    answer = reader.ask("What is it?", image=picture(1), max_new_tokens=10)
    conversation = Conversation(answer.conversation.turns[:-1])
    assert answer.text == greedy(reader, conversation, 10).strip() != ""
    assert conversation.turns == (Turn("user", (Medium("image", picture(1)), Text("What is it?"))),)
    assert answer.conversation.turns[-1] == Turn("assistant", (Text(answer.text),))
    assert str(answer) == answer.text and answer.media == []


def test_media_matter_and_keep_their_order(reader, picture):
    def ask(*pictures):
        return reader.ask("What is it?", image=list(pictures), max_new_tokens=12).text

    answers = {ask(picture(1), picture(2)), ask(picture(2), picture(1)), ask(picture(1)), ask()}
    assert len(answers) == 4


def test_an_image_may_be_a_file(reader, picture, tmp_path):
    picture(1).save(tmp_path / "a.png")
    said = {
        reader.ask("What?", image=given, max_new_tokens=8).text
        for given in (picture(1), tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes())
    }
    assert len(said) == 1


def test_an_answer_goes_on_from_the_one_before(reader, picture):
    first = reader.ask("What is it?", image=picture(1), max_new_tokens=6)
    second = reader.ask("And now?", after=first.conversation, max_new_tokens=6)
    assert [turn.role for turn in second.conversation.turns] == ["user", "assistant"] * 2
    assert second.conversation.turns[:2] == first.conversation.turns
    messages = [
        {"role": "user", "content": [{"type": "image", "image": picture(1)}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "And now?"},
    ]
    assert reader.chat(messages, max_new_tokens=6).text == second.text
    assert second.text != reader.ask("And now?", max_new_tokens=6).text


FAMILIES = [
    (tiny_llama, "vicuna-v0"),
    (tiny_llama, "llama-2"),
    (tiny_qwen2, "llm"),
    (tiny_opt, "question-answer"),
    (tiny_t5, "plain"),
]


@pytest.mark.parametrize(("llm", "template"), FAMILIES)
def test_every_family_answers_and_streams_the_same(llm, template, build, picture):
    session = build(llm, template=template)
    said = [{"type": "text", "text": "What?"}, {"type": "image", "image": picture(1)}]
    messages = [{"role": "user", "content": said}]
    for options in ({}, {"temperature": 1.5, "top_p": 0.9, "seed": 3}):
        stream = session.stream(messages, max_new_tokens=16, **options)
        pieces = list(stream)
        assert "".join(pieces) == stream.answer.text == session.chat(messages, max_new_tokens=16, **options).text
        assert len(pieces) > 1


def test_beams_are_followed(build):
    session = build(template="llama-2")
    messages = [{"role": "user", "content": "What?"}]
    inputs, tokenizer = session.system.processor(conversation=messages), session.system.processor.tokenizer
    found = session.system.model.generate(**inputs, max_new_tokens=5, num_beams=4, do_sample=False)
    answer = session.chat(messages, max_new_tokens=5, beams=4)
    words = tokenizer.decode(found[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.text == words.strip() != session.chat(messages, max_new_tokens=5).text


def test_a_seed_decides_what_is_drawn_and_leaves_the_callers_random_state(reader):
    before = torch.get_rng_state()
    answers = [reader.ask("What?", temperature=2.0, seed=seed, max_new_tokens=12).text for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_defaults_that_an_llm_brings_along_change_nothing(build):
    session = build()
    plain = session.ask("What?", max_new_tokens=12)
    config = session.system.model.generation_config
    config.do_sample, config.temperature, config.top_k, config.top_p, config.repetition_penalty = True, 2.0, 5, 0.5, 3.0
    assert session.ask("What?", max_new_tokens=12).text == plain.text
    drawn = {session.ask("What?", max_new_tokens=12, temperature=1.5, seed=seed).text for seed in range(4)}
    assert len(drawn) == 4


@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_ends_at_the_stop_string_of_its_template(beams, build):
    session = build(template="vicuna-v0")
    (sign,) = set(session.system.processor.tokenizer("###", add_special_tokens=False)["input_ids"])
    calls = []

    def favour(module, args, logits):
        calls.append(module)
        logits[..., sign] += 1e4 * (len(calls) > 4)

    hook = session.system.model.get_output_embeddings().register_forward_hook(favour)
    answer = session.ask("What?", max_new_tokens=20, beams=beams)
    hook.remove()
    assert answer.complete and answer.text and "##" not in answer.text
    assert 7 <= len(calls) < 12


def test_what_is_drawn_is_made_from_the_states_at_its_signal_tokens(artist):
    answer = artist.ask("Draw it.", max_new_tokens=5)
    system = artist.system
    ((modality, image),) = answer.media
    assert modality == "image" and image.size == (32, 32)
    prompt = system.processor(conversation=[{"role": "user", "content": "Draw it."}])["input_ids"]
    words = system.model.generate(prompt, max_new_tokens=2, do_sample=False)
    whole = torch.cat([words, torch.tensor([system.model.config.signals["image"]])], 1)
    conditions = system.model(input_ids=whole, return_conditions=True).conditions["image"]
    rng = [torch.Generator().manual_seed(0)]
    (expected,) = system.generators["image"].sample(conditions, steps=2, guidance=3.0, rng=rng)
    assert image.tobytes() == expected.tobytes()
    text = system.processor.tokenizer.decode(words[0, prompt.shape[1] :]).strip()
    assert answer.text == text
    assert answer.conversation.turns[-1].content == (Text(text), Medium("image", image, use="both"))
    assert str(answer) == f"{text} [image: 32 x 32 px]"


def test_a_drawing_of_an_earlier_turn_is_not_made_again(artist):
    first = artist.ask("Draw it.", max_new_tokens=5)
    again = artist.ask("Draw it.", after=first.conversation, max_new_tokens=3)
    assert len(first.media) == 1
    assert len(again.media) == sum(isinstance(p, Medium) for p in again.conversation.turns[-1].content) < 2
    other = artist.ask("Draw it.", max_new_tokens=5, seed=1)
    stronger = artist.ask("Draw it.", max_new_tokens=5, guidance=9.0, steps=4)
    images = {answer.media[0][1].tobytes() for answer in (first, other, stronger)}
    assert len(images) == 3


def test_an_encoder_decoder_draws_too(build, teach):
    session = teach(build(tiny_t5, template="question-answer", draws=True), "Draw it.", words=2)
    answer = session.ask("Draw it.", max_new_tokens=6)
    assert [modality for modality, _ in answer.media] == ["image"]
    system = session.system
    inputs = system.processor(conversation=[{"role": "user", "content": "Draw it."}])
    words = system.model.generate(**inputs, max_new_tokens=2, do_sample=False)
    whole = torch.cat([words, torch.tensor([system.model.config.signals["image"]])], 1)
    conditions = system.model(**inputs, decoder_input_ids=whole, return_conditions=True).conditions["image"]
    rng = [torch.Generator().manual_seed(0)]
    (expected,) = system.generators["image"].sample(conditions, steps=2, guidance=3.0, rng=rng)
    assert answer.media[0][1].tobytes() == expected.tobytes()


def test_an_image_that_would_not_fit_is_not_begun(artist):
    answer = artist.ask("Draw it.", max_new_tokens=4)
    assert answer.media == [] and not answer.complete


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("stop", ["[IMG0]", "[IMG1]", "[IMG2]"])
def test_an_image_that_was_begun_is_finished_before_the_answer_ends(stop, beams, artist, monkeypatch):
    drawn = artist.ask("Draw it.", max_new_tokens=5)
    template = artist.system.processor.template
    monkeypatch.setattr(artist.system.processor, "template", template.replace(stops=(stop,)))
    answer = artist.ask("Draw it.", max_new_tokens=20, beams=beams)
    assert answer.complete and str(answer) == str(drawn)
    assert [image.tobytes() for _, image in answer.media] == [image.tobytes() for _, image in drawn.media] != []


def test_an_answer_that_begins_with_an_image_is_not_ended_by_an_empty_stop_string(artist, monkeypatch):
    calls, first = [], artist.system.model.config.signals["image"][0]

    def favour(module, args, logits):
        calls.append(module)
        logits[..., first] += 1e4 if len(calls) == 1 else -1e4

    template = artist.system.processor.template
    monkeypatch.setattr(artist.system.processor, "template", template.replace(stops=("",)))
    hook = artist.system.model.get_output_embeddings().register_forward_hook(favour)
    answer = artist.ask("What?", max_new_tokens=8)
    hook.remove()
    image, said = answer.conversation.turns[-1].content
    assert image == Medium("image", answer.media[0][1], use="both") and said == Text(answer.text)
    assert len(calls) == 6, "a pass for the prompt, one for the three signal tokens, one for each word but the last"


def test_an_answer_stays_within_what_the_llm_reads(build):
    session = build(max_position_embeddings=64, template="llama-2")
    answer = session.ask("What?", max_new_tokens=1000)
    assert not answer.complete
    with pytest.raises(GenerationError, match=r"the conversation takes \d+ tokens and the LLM reads at most 64"):
        session.ask("word " * 100)


def test_a_stream_that_is_left_ends_its_work(reader):
    stream = reader.stream([{"role": "user", "content": "What?"}], max_new_tokens=400)
    for _ in stream:
        break
    with pytest.raises(GenerationError, match="read the stream to its end first"):
        _ = stream.answer
    pieces = iter(reader.stream([{"role": "assistant", "content": "I am the last to speak"}]))
    with pytest.raises(PromptError, match="a reply needs the user to speak last"):
        next(pieces)


def test_words_that_spell_special_tokens_are_words_in_every_turn(reader, picture):
    """In the question, in the answer, and in the turns after it; the medium beside them is still the only one."""
    first = reader.ask("What is <image> in HTML, and </s>?", image=picture(1), max_new_tokens=3)
    said = replace(first.conversation.turns[-1], content=(Text("<image> is <s> no tag </s>, [IMG0]."),))
    talk = Conversation((*first.conversation.turns[:-1], said))
    second = reader.ask("And <image>?", after=talk, max_new_tokens=3)
    assert [turn.text for turn in second.conversation.turns[:3]] == [
        "What is <image> in HTML, and </s>?", "<image> is <s> no tag </s>, [IMG0].", "And <image>?",
    ]  # fmt: skip
    processor = reader.system.processor
    prepared = processor.prepare(Conversation(second.conversation.turns[:3]), reply=True)
    assert len(prepared.media["image"]) == 1
    assert prepared.input_ids.count(processor.tokens.placeholders["image"]) == prepared.media["image"][0].tokens
    assert "And <image>?" in processor.tokenizer.decode(prepared.input_ids)


def test_errors_say_what_was_found_and_what_is_known(reader, build, tmp_path, picture):
    text_only = build(reads=False)
    with pytest.raises(PromptError, match="'image' to read; this system reads text only"):
        text_only.ask("What?", image=picture(1))
    with pytest.raises(MediumError, match=r"missing\.png"):
        reader.ask("What?", image=tmp_path / "missing.png")
    with pytest.raises(UnknownNameError, match="unknown option of an answer 'imagee'; did you mean 'image'"):
        reader.ask("What?", imagee=picture(1))
    with pytest.raises(OptionError, match=r"temperature: found -1; input should be greater than or equal to 0"):
        reader.ask("What?", temperature=-1)
    with pytest.raises(PromptError, match="a reply needs the user to speak last"):
        reader.chat([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    with pytest.raises(PromptError, match="found no messages"):
        reader.chat([])


def test_broken_weights_are_no_answer(build):
    session = build()
    with torch.no_grad():
        session.system.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(GenerationError, match="scores are not numbers"):
        session.ask("What?")
