from dataclasses import replace

import pytest
import torch

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import MediumError, PromptError
from modalink.model import IGNORED, collate, compose
from modalink.testing.checkpoints import tiny_t5


def _read(system, ids):
    return system.processor.tokenizer.convert_ids_to_tokens(ids)


def test_a_placeholder_stands_once_for_each_prompt_token_and_carries_no_loss(make_system, talk, picture):
    system = make_system()
    sample = system.processor.prepare(talk(("user", ["see ", picture(1)]), ("assistant", ["a circle"])))
    token = system.processor.tokens.placeholders["image"]
    assert sample.input_ids.count(token) == 16
    places = [i for i, t in enumerate(sample.input_ids) if t == token]
    assert places == list(range(places[0], places[0] + 16))
    assert all(sample.labels[i] == IGNORED for i in places)
    assert sample.media["image"][0].load().shape == (1, 3, 32, 32)


def test_loss_lies_on_the_answer_and_its_stop_sign_only(make_system, talk, picture):
    system = make_system()
    sample = system.processor.prepare(talk(("user", [picture(1), "what?"]), ("assistant", ["a circle"])))
    labelled = [t for t, label in zip(sample.input_ids, sample.labels, strict=True) if label != IGNORED]
    assert system.processor.tokenizer.decode(labelled).strip() == "a circle</s>"


def test_a_medium_of_the_assistant_becomes_signal_tokens_of_which_the_first_is_learned_and_a_target(
    make_system, talk, picture
):
    system = make_system(draws=True)
    sample = system.processor.prepare(talk(("user", ["draw"]), ("assistant", ["here ", picture(1), "!"])))
    signals = system.processor.tokens.signals["image"]
    start = sample.input_ids.index(signals[0])
    assert sample.input_ids[start : start + 3] == signals
    assert sample.labels[start : start + 3] == [signals[0], IGNORED, IGNORED]
    assert [item.load().shape for item in sample.targets["image"]] == [(1, 3, 32, 32)]
    assert not sample.media


def test_a_medium_made_in_a_turn_without_loss_stands_there_and_is_not_learned(make_system, talk, picture):
    system = make_system(draws=True)
    rounds = talk(("user", ["draw"]), ("assistant", [picture(1)]), ("user", ["again"]), ("assistant", [picture(2)]))
    turns = (rounds.turns[0], replace(rounds.turns[1], loss=False), *rounds.turns[2:])
    sample = system.processor.prepare(Conversation(turns))
    signals = system.processor.tokens.signals["image"]
    places = [i for i, token in enumerate(sample.input_ids) if token == signals[0]]
    assert [sample.labels[i] for i in places] == [IGNORED, signals[0]]
    assert [item.loss for item in sample.targets["image"]] == [False, True]


def test_an_assistants_medium_is_read_where_no_generator_makes_it(make_system, talk, picture):
    system = make_system(draws=False)
    sample = system.processor.prepare(talk(("user", ["draw"]), ("assistant", [picture(1), "!"])))
    assert len(sample.media["image"]) == 1
    assert not sample.targets


def _document(picture, use):
    pieces = (Text("one "), Medium("image", picture(1), use=use), Text(" two"))
    return Conversation((Turn("assistant", pieces),), "page 7")


def test_a_document_teaches_to_make_a_medium_and_to_read_it(make_system, picture):
    system = make_system(draws=True, template="plain")
    sample = system.processor.prepare(_document(picture, "both"))
    signals, token = system.processor.tokens.signals["image"], system.processor.tokens.placeholders["image"]
    start = sample.input_ids.index(signals[0])
    assert sample.input_ids[start : start + 19] == [*signals, *[token] * 16]
    assert sample.labels[start : start + 19] == [signals[0], *[IGNORED] * 18]
    assert len(sample.media["image"]) == len(sample.targets["image"]) == 1
    assert "two" in system.processor.tokenizer.decode([label for label in sample.labels if label != IGNORED])
    for use, held in (("read", (1, 0)), ("made", (0, 1)), (None, (0, 1))):
        sample = system.processor.prepare(_document(picture, use))
        assert (len(sample.media.get("image", ())), len(sample.targets.get("image", ()))) == held


def test_what_is_read_and_made_reaches_projector_and_conditions(make_system, picture):
    system = make_system(draws=True, template="plain")
    sample = system.processor.prepare(_document(picture, "both"))
    batch = collate([sample], packed=False, pad_id=0)
    output = system.model(**batch.inputs())
    (output.logits.sum() + output.conditions["image"]["tokens"].sum()).backward()
    for side in (system.model.model.input_projectors, system.model.output_projectors):
        assert all(weight.grad is not None for weight in side.parameters())


def test_a_use_without_its_part_names_sample_and_modality(make_system, picture):
    with pytest.raises(
        PromptError, match=r"^page 7: found a medium of modality 'image' to make; this system makes text"
    ):
        make_system().processor.prepare(_document(picture, "both"))


def test_text_is_cut_at_the_maximum_length_and_media_never(make_system, talk, picture):
    system = make_system()
    long = talk(("user", ["what " * 50, picture(1)]), ("assistant", ["a circle"]))
    whole = system.processor.prepare(long)
    sample = system.processor.prepare(long, max_tokens=40)
    token = system.processor.tokens.placeholders["image"]
    assert len(sample.input_ids) == len(sample.labels) == 40
    assert sample.input_ids.count(token) == 16
    assert sample.cut == len(whole.input_ids) - 40
    with pytest.raises(PromptError, match="sample: its media take 16 tokens"):
        system.processor.prepare(long, max_tokens=16)


def test_a_medium_that_cannot_be_read_names_sample_and_file(make_system, talk, tmp_path):
    system = make_system()
    conversation = talk(("user", ["look"]))
    missing = type(conversation).from_messages(
        [{"role": "user", "content": [{"type": "image", "path": str(tmp_path / "gone.jpg")}]}], id="photo-7"
    )
    with pytest.raises(MediumError, match=r"photo-7: .*gone\.jpg") as caught:
        system.processor.prepare(missing)
    assert caught.value.reason == "missing"


def test_a_modality_without_an_encoder_is_refused_by_name(make_system, talk):
    system = make_system()
    sound = type(talk(("user", ["hear"]))).from_messages(
        [{"role": "user", "content": [{"type": "audio", "path": "a.wav"}]}]
    )
    with pytest.raises(PromptError, match="'audio' to read; this system reads image"):
        system.processor.prepare(sound)


def test_an_encoder_decoder_reads_the_question_and_learns_the_reply(make_system, make_spec, talk, picture, tmp_path):
    system = make_system(llm=tiny_t5(tmp_path / "t5"), template="question-answer")
    sample = system.processor.prepare(talk(("user", [picture(1), "what is it?"]), ("assistant", ["a red circle"])))
    tokenizer = system.processor.tokenizer
    assert "circle" in tokenizer.decode(sample.labels)
    assert "circle" not in tokenizer.decode(sample.input_ids)
    assert sample.labels[-1] == tokenizer.eos_token_id
    with pytest.raises(PromptError, match="learns the last turn"):
        system.processor.prepare(talk(("user", ["alone"])))
    given = talk(("user", ["what?"]), ("assistant", ["a circle"]))
    with pytest.raises(PromptError, match="its last turn is marked as one without loss"):
        system.processor.prepare(Conversation((given.turns[0], replace(given.turns[1], loss=False))))


def test_an_encoder_decoder_reads_the_beginning_of_a_reply_that_is_only_read(make_system, talk, picture, tmp_path):
    processor = make_system(llm=tiny_t5(tmp_path / "t5"), template="question-answer").processor

    def prepared(*pieces):
        asked = talk(("user", [picture(1), "what?"])).turns
        return processor.prepare(Conversation((*asked, Turn("assistant", pieces)), "s"))

    cut = prepared(Text("a red circle", loss=False), Text(" and a cube"))
    asked, whole = prepared(Text("and a cube")), prepared(Text("a red circle and a cube"))
    assert cut.labels == asked.labels != whole.labels
    assert cut.input_ids[: len(asked.input_ids)] == asked.input_ids
    assert processor.tokenizer.decode(cut.input_ids[len(asked.input_ids) :]).strip() == "a red circle"
    with pytest.raises(PromptError, match="s: found ' a cube', which is only read, behind what the decoder of"):
        prepared(Text("a red circle"), Text(" a cube", loss=False))


def test_text_and_images_in_the_manner_of_transformers(make_system, picture):
    system = make_system()
    inputs = system.processor(images=[picture(1), picture(2)], text="<image> and <image>", return_tensors="pt")
    assert inputs["pixel_values"].shape == (2, 3, 32, 32)
    assert (inputs["input_ids"] == system.processor.image_token_id).sum() == 32
    with pytest.raises(PromptError, match="found 1 image placeholders in 1 texts and 2 images"):
        system.processor(images=[picture(1), picture(2)], text="<image>")


def test_the_chat_template_of_transformers_gives_the_same_prompt(make_system, talk, picture):
    system = make_system()
    question = talk(("user", [picture(1), "what is it?"]))
    messages = question.to_messages()
    ours = system.processor(question)
    theirs = system.processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])


def test_the_chat_template_of_transformers_knows_uses_and_the_blocks_of_others(make_system, picture):
    processor = make_system(draws=True, template="plain").processor
    content = [
        {"type": "text", "text": "one "},
        {"type": "image", "image": "a.png", "use": "both"},
        {"type": "image_url", "image_url": {"url": "b.png"}},
    ]
    spelled = processor.apply_chat_template([{"role": "assistant", "content": content}], tokenize=False)
    assert spelled == "<s>one [IMG0][IMG1][IMG2]<image>[IMG0][IMG1][IMG2]\n"


def test_an_encoder_decoders_reply_is_words_whatever_it_spells(make_system, talk, tmp_path):
    processor = make_system(llm=tiny_t5(tmp_path / "t5"), template="question-answer").processor
    prepared = processor.prepare(talk(("user", "What </s> <image>?"), ("assistant", "A </s> and <image>.")))
    special = {i for i, token in processor.tokenizer.added_tokens_decoder.items() if token.special}
    assert [token for token in prepared.labels if token in special] == [processor.tokenizer.eos_token_id]
    assert processor.tokenizer.decode(prepared.labels, skip_special_tokens=True) == "A </s> and <image>."
    assert processor.tokens.placeholders["image"] not in prepared.input_ids


def test_an_encoder_decoders_reply_reads_no_media(make_system, talk, picture, tmp_path):
    system = make_system(llm=tiny_t5(tmp_path / "t5"), template="question-answer")
    with pytest.raises(PromptError, match=r"^sample: the reply holds a medium of modality 'image' that is read; "):
        system.processor.prepare(talk(("user", ["what?"]), ("assistant", [picture(1)])))


def test_the_recipes_system_message_stands_in_both_renderings(make_spec, talk):
    spec = make_spec()
    spec = spec.replace(prompt=spec.prompt.replace(system="Answer in one word."))
    processor = compose(spec).processor
    question = talk(("user", ["what is it?"]))
    assert "Answer in one word." in processor.decode(processor(question)["input_ids"][0])
    assert "Answer in one word." in processor.apply_chat_template(question.to_messages(), add_generation_prompt=True)
