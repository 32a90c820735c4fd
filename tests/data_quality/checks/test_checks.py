"""Each check finds the faults that it is named after, and leaves good samples alone."""

import io
import json

import numpy as np
import pytest

from modalink.conversation import Conversation
from modalink.data_quality.check import Context
from modalink.data_quality.checks.languages import main_script
from modalink.errors import DataError, MediumError, SampleError
from modalink.model import ModalinkProcessor
from modalink.recipe import load


def test_schema(look, talk):
    bad = [
        SampleError("one", "bad_record", "one: no"),
        MediumError("b.png", "missing", "no such file"),
        DataError("no"),
    ]
    seen, faults, _ = look("schema", [talk("a?", "b"), *bad])
    assert seen == [(1, "bad_record"), (2, "missing"), (3, "bad_record")]
    assert faults[0].sample == "one" and faults[1].detail == "no such file"


def test_media(look, talk, picture, tmp_path):
    file = tmp_path / "cut.png"
    picture(0).save(file)
    file.write_bytes(file.read_bytes()[:200])
    other = [{"role": "user", "content": [{"type": "smell", "smell": "x"}]}]
    seen, _, facts = look(
        "media", [talk("?", "a", picture(0)), talk("?", "a", file), talk("?", "a", "gone.png", picture(1)), other]
    )
    assert seen == [(1, "truncated"), (2, "missing"), (3, "unknown_modality")]
    assert facts == {"media": {"image": 4, "smell": 1}}
    assert not look("media", [talk("?", "a", file)], opened_only=["image"])[0]


def test_sides(look, talk):
    asked = {"role": "user", "content": "a?"}
    seen, faults, _ = look(
        "sides",
        [
            talk("a?", "b"),
            talk(" ", "b"),
            talk("a?", "\n"),
            [asked],
            [asked, asked, {"role": "assistant", "content": "b"}],
            [{"role": "assistant", "content": "a document"}],
            talk("", "b", "a.png"),
        ],
    )
    assert seen == [(1, "empty_question"), (2, "empty_answer"), (3, "no_answer"), (4, "same_speaker")]
    assert faults[0].detail == "turn 0 of the user has neither words nor media"


def test_markers(look, talk):
    seen, faults, _ = look("markers", [talk("what?", "a", "a.png"), talk("<image> what?", "see <audio><image>")])
    assert seen == [(1, "marker_word"), (1, "marker_word")]
    assert "says <audio>, <image> as words" in faults[1].detail


def test_leaks(look, talk):
    asked = "Which is it?\nA. a small red cat\n(B) a blue dog\n"
    found = look(
        "leaks",
        [
            talk("It is a small red cat. What is it?", "A small, red cat!"),
            talk("Is it red or blue?", "red"),
            talk(asked, "a small red cat"),
            talk("Is it a smaller red cat?", "a small red cat"),
        ],
    )
    assert found[0] == [(0, "answer_in_question")]
    assert look("leaks", [talk("Is it red or blue?", "red")], least_words=1)[0] == [(0, "answer_in_question")]


def test_duplicates(look, talk, picture, tmp_path):
    picture(0).save(tmp_path / "a.png")
    picture(0).save(tmp_path / "b.png")
    rows = [
        talk("What is it?", "a cat", tmp_path / "a.png"),
        talk("what is it", "A cat.", tmp_path / "b.png"),
        talk("What is it?", "a dog", tmp_path / "a.png"),
        talk("What is it?", "a cat"),
        talk("What is it?", "a cat", "gone.png"),
        talk("What is it?", "a cat", "gone.png"),
    ]
    seen, faults, _ = look("duplicates", rows)
    assert seen == [(1, "duplicate")] and faults[0].detail == "says and shows the same as s0"


def test_near_duplicates_with_pictures(look, talk, picture):
    file = io.BytesIO()
    picture(0).save(file, "JPEG", quality=70)
    again, caption = file.getvalue(), "a brown cat sleeps on the old red chair"
    rows = [
        talk("Describe it.", caption, picture(0)),
        talk("What do you see here?", f"{caption}!", again),  # another request, the same answer
        talk("Describe it.", caption, picture(1)),  # another picture
        talk("Is there a cat?", "yes", picture(0)),
        talk("Is there a chair?", "yes", again),  # a short answer to another question
        talk("Describe it.", "two dogs run over a green meadow at dawn", again),
        talk("Is there a chair ?", "Yes.", picture(0)),
        talk("Describe it.", caption, picture(0), picture(1)),  # more pictures
    ]
    seen, faults, _ = look("near_duplicates", rows)
    assert seen == [(1, "near_duplicate"), (6, "near_duplicate")]
    assert faults[0].detail == "is like s0: 100% of the words, media that look alike"
    assert faults[1].detail.startswith("is like s4: ")


def test_near_duplicates_of_text(look, talk):
    said = "the quick brown fox jumps over the lazy dog while the band plays a slow and very old song in the park"
    rows = [talk(said, "a"), talk(said.replace("slow", "fast"), "a"), talk(said[:60], "a"), talk("hello", "a")]
    assert look("near_duplicates", rows)[0] == [(1, "near_duplicate")]
    assert look("near_duplicates", rows, text=0.99)[0] == []


def test_near_duplicates_of_other_media_have_the_same_content(look):
    def heard(number, answer="a long low note of a flute"):
        sound = {"array": np.random.default_rng(number).uniform(-1, 1, 800), "sampling_rate": 8000}
        return [
            {"role": "user", "content": [{"type": "audio", "audio": sound}]},
            {"role": "assistant", "content": answer},
        ]

    rows = [heard(0), heard(1), heard(0, "A long low note, of a flute.")]
    assert look("near_duplicates", rows)[0] == [(2, "near_duplicate")]


def test_benchmarks(look, talk, picture, tmp_path):
    picture(3).save(tmp_path / "test.png")
    asked = "how many of the small animals that stand behind the fence look at the tall person in the red coat"
    (tmp_path / "q.jsonl").write_text(f"{json.dumps({'q': {'text': asked}})}\nno json\n")
    rows = [
        talk("what?", "a", picture(3, (180, 140))),
        talk("what?", "a", picture(4)),
        talk(f"Tell me: {asked.upper()}?", "two"),
        talk("how many of the small animals that stand here?", "two"),
    ]
    seen, faults, facts = look("benchmarks", rows, Context(against=[tmp_path]))
    assert seen == [(0, "test_picture"), (2, "test_text")]
    assert faults[0].detail == f"its image looks like {tmp_path / 'test.png'}"
    assert "13 words" in faults[1].detail and "q.jsonl, line 1" in faults[1].detail
    assert facts == {"pictures": 1, "runs of words": 8}
    with pytest.raises(DataError, match="looked for pictures and for"):
        look("benchmarks", rows, Context(against=[tmp_path / "none"]))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello мир, hello", "latin"),
        ("Привет, world!", "cyrillic"),
        ("你好 ok", "cjk"),
        ("猫が好き", "japanese"),
        ("1 + 2", "none"),
        ("ﬁ ñandú", "latin"),
    ],
)
def test_the_script_of_most_letters(text, script):
    assert main_script(text) == script


def test_languages(look, talk):
    rows = [talk("Was ist das für ein Café?", "Ein schönes, „altes“."), talk("Was fÃ¼r", "donâ€™t"), talk("你好", "猫")]
    seen, _, facts = look("languages", rows, scripts=["Latin"])
    assert seen == [(1, "misread_letters"), (2, "other_script")]
    assert facts == {"scripts": {"latin": 2, "cjk": 1}}
    assert look("languages", rows)[0] == [(1, "misread_letters")]


def test_lengths(look, talk):
    rows = [talk("one two three", "four"), talk("one", "two three four five"), talk("one", "")]
    seen, _, facts = look("lengths", rows, least=1, most=4)
    assert seen == [(1, "too_long"), (2, "too_short")]
    assert facts["words of samples"] == {"least": 1, "median": 4, "95 %": 5, "most": 5}
    tokenizer = load("demo").llm.tokenizer()
    counted = look("lengths", rows, Context(tokenizer=tokenizer))[2]["tokens of answers"]
    assert counted["most"] == len(tokenizer("two three four five", add_special_tokens=False)["input_ids"])


def test_labels(look, talk, picture):
    recipe = load("demo")
    processor = ModalinkProcessor(recipe.llm.tokenizer(), recipe)
    rows = [
        talk("what?", "a red ring.", picture(0)),
        talk("what?", "a red ring. " * 60),
        [{"role": "user", "content": "what?"}],
        [{"role": "user", "content": [{"type": "points", "points": np.zeros((9, 3))}]}],
    ]
    most = len(processor.prepare(Conversation.from_messages(rows[1])).input_ids) - 8
    seen, faults, facts = look("labels", rows, Context(processor, processor.tokenizer, most))
    assert seen[:2] == [(1, "text_cut"), (2, "no_labels")] and seen[2][0] == 3
    assert f"8 of {most + 8} tokens are cut off at {most}, 7 of " in faults[0].detail
    assert 0 < facts["share of labels cut"] < 0.5 and 0 < facts["share of tokens learned"] < 1


def test_licences(look, talk):
    records = [{"License": "CC0"}, {"license": "CC BY-NC 4.0"}, {"other": 1}]
    rows = [talk("a?", "b")] * 3
    seen, faults, facts = look("licences", rows, records=records, allowed=["cc0", "MIT"])
    assert seen == [(1, "licence"), (2, "licence")] and "licence unknown, needed cc0 or MIT" in faults[1].detail
    assert facts == {"licences": {"CC0": 1, "CC BY-NC 4.0": 1, "unknown": 1}}
    assert look("licences", rows, records=records, column="other")[2] == {"licences": {"unknown": 2, "1": 1}}


def test_personal(look, talk):
    rows = [
        talk("Write to ann.lee+x@mail.co.uk", "ok"),
        talk("call +49 (30) 123 456 78", "ok"),
        talk("4111 1111 1111 1111", "ok"),
        talk("4111 1111 1111 1112 and 0000 0000 0000 0000, me@example.com, 3.14159265358979, 2+2=4", "ok"),
    ]
    seen, faults, _ = look("personal", rows)
    assert seen == [(0, "mail_address"), (1, "phone_number"), (2, "card_number")]
    assert "ann..." in faults[0].detail and "lee" not in faults[0].detail


def test_constant_answers(look, talk, picture):
    rows = [talk("Is it a cat?", "yes", picture(n)) for n in range(6)]
    rows += [talk("Is it red?", "yes" if n % 2 else "no", picture(n)) for n in range(6)]
    rows += [talk("Is it the same?", "yes", picture(0))] * 6
    rows += [talk("Hello?", "yes")] * 6
    seen, faults, facts = look("constant_answers", rows, least=6)
    assert seen == [(n, "constant_answer") for n in range(6)]
    assert "'is it a cat' is answered 'yes', whatever is shown" in faults[0].detail
    assert facts == {"constant questions": {"is it a cat": 6}}
    assert not look("constant_answers", rows, least=7)[0]


def test_looks_of_what_cannot_be_read_are_none(look, talk):
    assert not look("near_duplicates", [talk("?", "a b c d e", "gone.png")] * 2)[0]
