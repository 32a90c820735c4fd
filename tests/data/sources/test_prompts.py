"""Prompts alone."""

import pytest
from PIL import Image

from modalink.conversation import Medium, Text, Turn
from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.prompts import PromptsConfig
from modalink.errors import DataError, SampleError


def test_lines_of_text_are_prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("draw a red cube\n\ndraw a ball\n")
    source = PromptsConfig(path=str(path)).open()
    assert [sample.turns for sample in source] == [
        (Turn("user", (Text(words),)),) for words in ("draw a red cube", "draw a ball")
    ]
    assert source[1].id == f"{path}, line 3"


def test_columns_of_records_with_facts_and_media(tmp_path, write_lines):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    records = [
        {"prompt": "draw it again", "image": "a.png", "truth": "a cube"},
        {"prompt": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes?"},
                    {"role": "user", "content": "draw"}], "truth": "a ball", "facts": {"size": 2}},
    ]  # fmt: skip
    source = PromptsConfig(path=str(write_lines("a.jsonl", records)), facts={"captions": "truth"}).open()
    (turn,) = source[0].turns
    shown, words = turn.content
    assert isinstance(shown, Medium) and shown.source == str(tmp_path / "a.png")
    assert isinstance(words, Text) and words.text.strip() == "draw it again"
    assert [turn.role for turn in source[1].turns] == ["user", "assistant", "user"]
    assert (source[0].facts, source[1].facts) == ({"captions": "a cube"}, {"captions": "a ball", "size": 2})


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"prompt": " "}, "found the columns prompt; needed text or a list of messages under 'prompt'"),
        ({"prompt": 3}, "needed text or a list of messages"),
        ({"prompt": []}, "needed text or a list of messages"),
        ({"prompt": [{"role": "assistant", "content": "a"}]}, "ends with a reply, needed one that ends with what is"),
    ],
)
def test_a_record_without_a_prompt(write_lines, record, words):
    source = PromptsConfig(path=str(write_lines("a.jsonl", [record, {"prompt": "draw"}]))).open()
    with pytest.raises(SampleError, match=words) as caught:
        source[0]
    assert caught.value.reason == "no_prompt"


def test_another_column_is_named_and_a_file_of_prompts_is_recognised(write_lines):
    path = str(write_lines("a.jsonl", [{"prompt": "draw"}]))
    with pytest.raises(DataError, match=r"needed the columns 'ask' of a prompt; the first record looks like prompts"):
        PromptsConfig(path=path, column="ask").open()
    with pytest.raises(
        DataError, match=r"prompts without replies: write\n    data:\n      - \{source: prompts, path: "
    ):
        MessagesConfig(path=path).open()
