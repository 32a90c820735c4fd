"""A template and its Hugging Face form say the same, letter for letter and label for label."""

import itertools
import random
from dataclasses import replace

import jinja2
import pytest

from modalink import prompts
from modalink.conversation import Conversation, Medium, Text, Turn

RECORDS = prompts.names()[:-1]
ODD = "A {text} of {{ braces }} {% if %} é 🙂 'q' \"Q\" \\n"
USER = ("What is it?", "@What is it?", "@\n What?", "Look: @ and @@", "@&", "", ODD)
ASSISTANT = ("A cube.", "@", "Here: @ and @.", "", " spaced ", "Line\nline {eos} $reply")
SYSTEM = (None, "", "Be brief.", "See @ here {text}")


@pytest.fixture(scope="module")
def conversations(talk):
    """Many conversations, made once: every template writes all of them."""
    return list(_conversations(talk))


def _conversations(talk):
    for system, user, assistant in itertools.product(SYSTEM, USER, ASSISTANT):
        opening = () if system is None else (("system", system),)
        yield talk(*opening, ("user", user), ("assistant", assistant))
    choose = random.Random(0)
    for _ in range(60):
        rounds = [(("user", choose.choice(USER)), ("assistant", choose.choice(ASSISTANT))) for _ in range(3)]
        yield talk(*itertools.chain(*rounds))
        yield Conversation(
            tuple(replace(turn, loss=choose.random() < 0.5) for turn in talk(*itertools.chain(*rounds)).turns)
        )


def messages(conversation, plain: bool):
    if plain:
        return [{"role": turn.role, "content": turn.text} for turn in conversation.turns]
    return conversation.to_messages()


@pytest.mark.parametrize("plain", [False, True], ids=["blocks", "strings"])
@pytest.mark.parametrize("name", RECORDS)
def test_hugging_face_renders_the_same_string(name, plain, conversations, place, family):
    """Contents are lists of blocks, or strings where they hold no media."""
    tokenizer = family("byte_level")
    template = prompts.get(name, tokenizer)
    jinja = template.jinja(signals={"image": "[IMG0][IMG1]"})
    said = [conversation for conversation in conversations if not (plain and any(conversation.media()))]
    asked = {whole.turns[:-1]: Conversation(whole.turns[:-1], whole.id) for whole in said}
    for rendered, reply in ((said, False), ([*asked.values()], True)):
        theirs = tokenizer.apply_chat_template(
            [messages(conversation, plain) for conversation in rendered],
            chat_template=jinja,
            tokenize=False,
            add_generation_prompt=reply,
        )
        assert theirs == [template.render(conversation, place, reply=reply).text for conversation in rendered]


@pytest.mark.parametrize("name", RECORDS)
def test_hugging_face_learns_the_same_tokens(name, conversations, place, family):
    tokenizer = family("untrimmed")  # with trimmed offsets, transformers loses answers that begin with a space
    template = prompts.get(name, tokenizer)
    jinja = template.jinja(signals={"image": "[IMG0][IMG1]"})
    theirs = tokenizer.apply_chat_template(
        [messages(conversation, False) for conversation in conversations],
        chat_template=jinja,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ours = [prompts.tokenize(template.render(conversation, place), tokenizer) for conversation in conversations]
    assert theirs["input_ids"] == [tokens.input_ids for tokens in ours]
    labels = [[int(label != -100) for label in tokens.labels] for tokens in ours]
    assert labels == theirs["assistant_masks"]


@pytest.mark.parametrize("name", RECORDS)
def test_what_a_tool_gives_back_stands_like_the_words_of_a_user(name, talk, place, family):
    template = prompts.get(name, family("byte_level"))
    rounds = talk(("user", "Weather?"), ("assistant", "{}"), ("tool", "Sunny."), ("assistant", "Fine."))
    theirs = family("byte_level").apply_chat_template(
        messages(rounds, True), chat_template=template.jinja(), tokenize=False
    )
    rendered = template.render(rounds, place)
    assert theirs == rendered.text
    like = talk(("user", "Weather?"), ("assistant", "{}"), ("user", "Sunny."), ("assistant", "Fine."))
    assert rendered.text == template.render(like, place).text
    assert rendered.labelled == template.render(like, place).labelled


@pytest.mark.parametrize("name", RECORDS)
def test_hugging_face_reads_and_makes_what_the_use_tells(name, family):
    template = prompts.get(name, family("byte_level"))
    stands = {"read": "<image>", "made": "[IMG0][IMG1]", "both": "[IMG0][IMG1]<image>"}
    for asked, replied in itertools.product(stands, stands):
        turns = [
            Turn(role, (Medium("image", "a.png", use=use), Text("!")))
            for role, use in zip(("user", "assistant"), (asked, replied), strict=True)
        ]
        conversation = Conversation(tuple(turns))
        theirs = family("byte_level").apply_chat_template(
            conversation.to_messages(), chat_template=template.jinja(signals={"image": "[IMG0][IMG1]"}), tokenize=False
        )
        assert theirs == template.render(conversation, lambda turn, medium: stands[medium.use]).text


def test_system_message_and_placeholders_of_the_template_travel(talk, family):
    template = prompts.get("chatml", family("byte_level")).replace(system='Say "yes"\n{text} $joint')
    conversation = talk(("user", "@ or &?"), ("assistant", "@"))
    stand_in = {"image": "<|im_start|>", "audio": "<audio>"}
    theirs = family("byte_level").apply_chat_template(
        conversation.to_messages(), chat_template=template.jinja(placeholders=stand_in), tokenize=False
    )

    def place(turn, medium: Medium) -> str:
        return stand_in[medium.modality]

    assert theirs == template.render(conversation, place).text
    assert 'Say "yes"\n{text} $joint<|im_end|>' in theirs


def test_wrong_turns_are_refused(talk, family):
    tokenizer = family("byte_level")
    with pytest.raises(jinja2.TemplateError, match="take turns"):
        said = talk(("user", "a"), ("user", "b")).to_messages()
        tokenizer.apply_chat_template(said, chat_template=prompts.get("llama-2", tokenizer).jinja(), tokenize=False)
    with pytest.raises(jinja2.TemplateError, match="role robot"):
        said = [{"role": "user", "content": "a"}, {"role": "robot", "content": "b"}]
        tokenizer.apply_chat_template(said, chat_template=prompts.get("chatml", tokenizer).jinja(), tokenize=False)
