"""Streamed pieces are the answer's text, whatever the tokenizer, the stop string and the media in between."""

import random

import pytest
import torch
from PIL import Image

from modalink.conversation import Medium, Text
from modalink.inference.text import Reader, StopStrings
from modalink.testing.tokenizers import tiny_tokenizer

RUNS = {"image": ["[IMG0]", "[IMG1]"]}


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["[IMG0]", "[IMG1]"], special_tokens=True)
    return tokenizer


@pytest.fixture
def read(tokenizer):
    """Feed a text token by token: pieces and reader."""

    def feed(text, *stops):
        runs = {m: tokenizer.convert_tokens_to_ids(run) for m, run in RUNS.items()}
        reader = Reader(tokenizer, stops, runs)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        pieces = [reader.feed([token]) for token in ids]
        return [*pieces, reader.finish()], reader

    return feed


@pytest.mark.parametrize(
    ("text", "stops", "said"),
    [
        (" A red cube.", ("###",), "A red cube."),
        (" A red cube.###Human: and now?", ("###",), "A red cube."),
        (" one # two ## three", ("###",), "one # two ## three"),
        (" ends in ##", ("###",), "ends in ##"),
        (" a caption\nand more", ("\n",), "a caption"),
        ("\n", ("\n",), ""),
        ("", ("###",), ""),
        ("  spaced \n out \n ", (), "spaced \n out"),
        (" é 漢字 🙂 !", ("###",), "é 漢字 🙂 !"),
        (" stop at STOP or END here", ("END", "STOP"), "stop at"),
        (" aab", ("ab", "aaab"), "a"),
        (" hello</s>", ("###",), "hello"),
    ],
)
def test_pieces_joined_are_the_text_up_to_the_stop(text, stops, said, read):
    pieces, reader = read(text, *stops)
    assert "".join(pieces) == said
    assert reader.content([]) == (Text(said),)


def test_text_is_given_as_soon_as_it_is_certain(read, tokenizer):
    pieces, _ = read(" A red cube # here", "###")
    words = tokenizer.convert_ids_to_tokens(tokenizer(" A red cube # here", add_special_tokens=False)["input_ids"])
    held = next(i for i, word in enumerate(words) if "#" in word)
    assert "".join(pieces[:held]) == "A red cube"
    assert pieces[held] == "" and pieces[held + 1].startswith(" #")


def test_no_piece_is_ever_part_of_a_stop_string_or_of_a_broken_character(read):
    chance = random.Random(0)
    for _ in range(200):
        text = "".join(chance.choice(["a", "#", "##", " ", "é", "🙂", "\n", "<", "[IMG0][IMG1]"]) for _ in range(12))
        pieces, _ = read(text, "###", "<<")
        plain = text.replace("[IMG0][IMG1]", "")
        ends = [plain.find(stop) for stop in ("###", "<<") if stop in plain]
        assert "".join(pieces) == plain[: min(ends, default=len(plain))].strip()
        assert all("\ufffd" not in piece for piece in pieces)


def test_media_stand_where_their_signal_tokens_stood(read):
    red, blue = Medium("image", Image.new("RGB", (2, 2), "red")), Medium("image", Image.new("RGB", (2, 2), "blue"))
    _, reader = read(" Here: [IMG0][IMG1] and [IMG0][IMG1]")
    assert reader.content([red, blue]) == (Text("Here: "), red, Text(" and"), blue)
    _, reader = read(" [IMG0][IMG1][IMG0][IMG1] ok ")
    assert reader.content([red, blue]) == (red, blue, Text("ok"))


def test_beams_stop_each_on_its_own(tokenizer):
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("##a#", "x###", "abcd")]
    prompt = tokenizer("###", add_special_tokens=False)["input_ids"]
    width = max(map(len, rows))
    ids = torch.tensor([[*prompt, *row, *[tokenizer.pad_token_id] * (width - len(row))] for row in rows])
    assert StopStrings(tokenizer, ("###",), len(prompt))(ids, None).tolist() == [False, True, False]
