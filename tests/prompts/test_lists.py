"""Chat templates that read what a turn says as a list of blocks, and write the media in it themselves."""

import pytest

from modalink import prompts
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError
from modalink.testing.released import BLOCKS
from modalink.testing.tokenizers import CHATML, tiny_tokenizer

IN_PLACE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for b in m['content'] %}{% if b['type'] == 'image' %}[<image>]{% elif b['type'] == 'text' %}{{ b['text'] }}"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As of today's models: media where they stand, between marks; a text alone is read, too."""


def sign(turn: Turn, medium: Medium) -> str:
    return "[IMG0]" if turn.role == "assistant" else "<image>"


@pytest.fixture
def template():
    """A template of this source, with a tokenizer that begins texts."""
    return lambda source: prompts.get("llm", tiny_tokenizer(chat=source, special=["<image>"]))


def talk(*turns):
    return Conversation(tuple(Turn(role, tuple(content)) for role, content in turns), "talk")


IMAGE = Medium("image", "a.png")
ASKED = talk(
    ("user", [Text("What is "), IMAGE, Text("this? ")]),
    ("assistant", [Text("A cube.")]),
    ("user", [Text("And "), IMAGE]),
    ("assistant", [Text(" Two"), Text(" stars.")]),
)


def test_media_stand_where_the_template_puts_them(template):
    page = template(BLOCKS).render(ASKED, sign)
    assert page.text == (
        "<s>USER: <image>\nWhat is  this?  ASSISTANT: A cube.</s>USER: <image>\nAnd  ASSISTANT:  Two stars.</s>"
    )
    assert [page.text[start:end] for start, end, *_ in page.media] == ["<image>", "<image>"]
    assert [page.text[start:end] for start, end in page.labelled] == ["A cube.</s>", " Two stars.</s>"]
    written = ["What is ", "this? ", "A cube.", "And ", " Two", " stars."]
    assert [page.text[start:end] for start, end in page.written] == written
    assert (page.bos, template(BLOCKS).stop) == ("<s>", ("</s>",))


def test_answers_are_found_without_marks_too(template):
    page = template(IN_PLACE).render(ASKED, sign)
    assert "user\nWhat is [<image>]this? <|im_end|>" in page.text
    assert [page.text[start:end] for start, end in page.labelled] == ["A cube.<|im_end|>", " Two stars.<|im_end|>"]


def test_a_medium_that_is_made_is_a_text_of_signals(template):
    drawn = talk(("user", [IMAGE, Text("Draw it.")]), ("assistant", [Text("Here: "), IMAGE]))
    page = template(BLOCKS).render(drawn, sign)
    assert page.text == "<s>USER: <image>\nDraw it. ASSISTANT: Here: [IMG0]</s>"
    assert [page.text[start:end] for start, end, *_ in page.media] == ["<image>", "[IMG0]"]
    both = template(BLOCKS).render(talk(("user", [IMAGE])), lambda turn, medium: "[IMG0]<image>")
    assert both.text == "<s>USER: <image>\n[IMG0] " and len(both.media) == 1


def test_words_that_spell_a_medium_are_none(template):
    page = template(BLOCKS).render(talk(("user", [Text("What does <image> mean?"), IMAGE])), sign)
    assert [(start, end) for start, end, *_ in page.media] == [(9, 16)]
    assert page.text.startswith("<s>USER: <image>\nWhat does <image> mean?")


@pytest.mark.parametrize("source", [BLOCKS, IN_PLACE])
def test_hugging_face_renders_the_same_string(template, source):
    """From messages as people write them: contents as text or lists, other types of blocks, made media."""
    tokenizer = tiny_tokenizer(chat=source, special=["<image>"])
    own = prompts.get("llm", tokenizer).replace(system="Be brief.")
    jinja = own.jinja({"image": "<image>", "image_url": "<image>"}, {"image": "[IMG0]"})
    messages = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}, {"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Ho "}, {"type": "image"}]},
        {"role": "user", "content": "More"},
    ]
    found = tokenizer.apply_chat_template(messages, chat_template=jinja, tokenize=False)
    said = talk(("user", [IMAGE, Text("Hi")]), ("assistant", [Text("Ho "), IMAGE]), ("user", [Text("More")]))
    assert own.begin + found == own.render(said, sign).text


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (BLOCKS.replace("'<' + b['type'] + '>\n'", "'<|pad|>\n'"), "writes nothing for the media <image>"),
        (
            BLOCKS.replace("'<' + b['type'] + '>\n'", "'<image><image>'"),
            "writes <image>, <image> for the media <image>",
        ),
    ],
)
def test_other_signs_for_media_are_refused(template, source, says):
    with pytest.raises(PromptError, match=rf"talk: the LLM's chat template {says}; choose"):
        template(source).render(talk(("user", [IMAGE, Text("What?")])), sign)


def test_templates_of_texts_stay_as_they_are(template):
    assert template(BLOCKS).lists and template(IN_PLACE).lists
    assert not template(CHATML).lists and template(CHATML).begin == ""
