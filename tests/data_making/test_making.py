"""Instructions are made of what samples tell; a wrong reply is asked for again, and in the end stands in the ledger."""

import json
from collections import Counter

import pytest
from PIL import Image

from modalink.conversation import Conversation, Medium, Region, Text, Turn
from modalink.data.reading import in_order
from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.pairs import PairsConfig
from modalink.data.writers.messages import MessagesWriterConfig
from modalink.data_making.maker import Known, MakerConfig
from modalink.data_making.making import make, replies_of
from modalink.data_making.replies import listed
from modalink.errors import DataError, OptionError, SampleError
from modalink.kinds import kinds, parse
from modalink.scoring.judge_model import Endpoint

CAPTION = "a brown cat sleeps on a red chair"
PICTURE = Medium("image", "a.png")
KNOWN = Known("one", (PICTURE,), (CAPTION,), "What is it?", ("the cat [1, 2, 3, 4]",))
ROUND = {"question": "What sleeps?", "answer": "A brown cat."}


def maker(kind, **settings) -> MakerConfig:
    return parse(MakerConfig.room, {"kind": kind, **settings})


def reply(key, *rows):
    return json.dumps({key: rows})


def test_what_a_sample_tells():
    turns = (
        Turn("user", (PICTURE, Text("\nWhat?"))),
        Turn("assistant", (Text("a cat"), Region(((1, 2, 3, 4),), "it"), Medium("audio", "b.wav", "a purr"))),
    )
    known = Known.of(Conversation(turns, "one"))
    assert known.told == ("a purr", "a cat") and known.question == "What?" and len(known.media) == 2
    assert known.text == "a purr\na cat\nWhere: it [1, 2, 3, 4]"


@pytest.mark.parametrize(("kind", "least"), [("conversation", 2), ("detail", 1), ("reasoning", 1), ("negatives", 2)])
def test_rounds_show_the_medium_once(kind, least):
    chosen = maker(kind)
    prompt = chosen.prompt([KNOWN])
    assert CAPTION in prompt and "the cat [1, 2, 3, 4]" in prompt and '"question"' in prompt
    row = (
        {"question": "Where is the dog?", "answer": "No dog is there.", "absent": "dog"}
        if kind == "negatives"
        else ROUND
    )
    (made,) = chosen.read(f"Sure!\n```json\n{reply('rounds', *[row] * least)}\n```", [KNOWN])
    assert made.id == f"one#{kind}" and len(made.turns) == 2 * least
    assert made.turns[0].content == (PICTURE, Text(f"\n{row['question']}")) and len([*made.media()]) == 1
    with pytest.raises(SampleError, match="tells nothing of its media"):
        chosen.prompt([Known("one", (PICTURE,), ())])


@pytest.mark.parametrize(
    ("kind", "rows", "says"),
    [
        ("conversation", [ROUND], "found 1 rounds, needed 2 to 8"),
        ("detail", [{"question": "a?"}], "found nothing under 'answer', needed text"),
        ("detail", [{**ROUND, "answer": "As the caption says, a cat."}], "speaks of 'the caption'"),
        ("detail", [{**ROUND, "question": "<image> what?"}], "found <image> in"),
        ("detail", ["x"], "needed a list of mappings"),
        (
            "negatives",
            [{"question": "Is the cat there?", "answer": "No.", "absent": "cat"}] * 2,
            "what is known names it",
        ),
        ("negatives", [{"question": "Is it red?", "answer": "No.", "absent": "dog"}] * 2, "does not ask about it"),
        ("negatives", [{"question": "Is a dog there?", "answer": "Yes, it is.", "absent": "dog"}] * 2, "affirms 'dog'"),
        ("negatives", [ROUND] * 2, "found nothing under 'absent'"),
    ],
)
def test_wrong_replies_are_refused(kind, rows, says):
    with pytest.raises(SampleError) as error:
        maker(kind).read(reply("rounds", *rows), [KNOWN])
    assert says in str(error.value) and error.value.reason == "bad_reply"


@pytest.mark.parametrize(
    ("text", "says"),
    [("no", "needed a JSON object"), ("{a}", "its JSON is no JSON"), ('{"x": 1}', "found nothing under 'rounds'")],
)
def test_a_reply_must_be_json(text, says):
    with pytest.raises(SampleError, match=says):
        listed(text, "rounds", [KNOWN], 1, 1)


def test_requests_for_media_are_answered_by_them():
    rows = [{"request": "Draw it.", "reply": "Here."}, {"request": "Could you?", "reply": "Yes."}]
    made = maker("text_to_media", requests=2).read(reply("requests", *rows), [KNOWN])
    assert [one.id for one in made] == ["one#text_to_media-0", "one#text_to_media-1"]
    assert made[0].turns == (
        Turn("user", (Text("Draw it."),)), Turn("assistant", (Text("Here."), Medium("image", "a.png", CAPTION))),
    )  # fmt: skip


def pool(count=3):
    return [Known(f"k{n}", (Medium("image", f"{n}.png"),), (f"thing {n}",)) for n in range(count)]


def dialogue(user, assistant, rounds=3):
    empty = [{"user": "a", "assistant": "b"}] * (rounds - 1)
    return reply("rounds", {"user": "u", "user_media": user, "assistant": "a", "assistant_media": assistant}, *empty)


def test_dialogues_have_media_on_both_sides():
    chosen = maker("dialogues", pool=3)
    assert "1: image: thing 1" in chosen.prompt(pool()) and chosen.together == 3
    (made,) = chosen.read(dialogue([0], [2]), pool())
    assert [(turn.role, medium) for turn, medium in made.media()] == [
        ("user", Medium("image", "0.png")), ("assistant", Medium("image", "2.png", "thing 2")),
    ]  # fmt: skip
    for wrong in (
        dialogue([0], []),
        dialogue([0], [0]),
        dialogue([0], [3]),
        dialogue([0], [1], rounds=2),
        dialogue(0, [1]),
    ):
        with pytest.raises(SampleError) as error:
            chosen.read(wrong, pool())
        assert error.value.reason == "bad_reply"


def test_templates_need_no_language_model():
    chosen = maker("templates", task="short_answer", each=3)
    made = chosen.read("", [KNOWN])
    assert len({one.turns[0].text for one in made}) == 3 and all("What is it?" in one.turns[0].text for one in made)
    assert {one.turns[1].text for one in made} == {CAPTION} and chosen.read("", [KNOWN]) == made
    drawn = Counter(maker("templates", seed=seed).read("", [KNOWN])[0].turns[0].text for seed in range(100))
    assert len(drawn) == 5 and all("{" not in text for text in drawn)
    (own,) = maker("templates", wordings=["Q {question} {modality} {answer}"]).read("", [KNOWN])
    assert own.turns[0].text == f"\nQ What is it? image {CAPTION}"
    (asks,) = maker("templates", task="ask").read("", [KNOWN])
    assert asks.turns[1].text == "What is it?" and CAPTION in asks.turns[0].text
    with pytest.raises(SampleError, match="asks no question"):
        maker("templates", task="answer").read("", [Known("one", (PICTURE,), ("a",))])


def test_every_maker_is_tested():
    known = {"conversation", "detail", "reasoning", "negatives", "text_to_media", "dialogues", "templates"}
    assert {*kinds(MakerConfig.room)} == known


@pytest.fixture
def photos(tmp_path):
    for n in range(3):
        Image.new("RGB", (9, 9), (n, 0, 0)).save(tmp_path / f"{n}.png")
    (tmp_path / "t.csv").write_text("image,caption\n0.png,a cat\n1.png,a dog\n2.png,\n")
    return PairsConfig(path=str(tmp_path), captions="t.csv")


def test_a_wrong_reply_is_asked_for_again_and_all_resumes(photos, tmp_path, chat_server):
    out, good = tmp_path / "made" / "m.jsonl", reply("rounds", ROUND)
    endpoint = Endpoint(chat_server.url, "m")
    chat_server.answers = ["hm", "hm", good, "never"]
    chosen = maker("detail", shows=True)
    found = make(photos, chosen, endpoint, MessagesWriterConfig(), out, retries=1, workers=1)
    assert (found.samples, found.written) == (2, 1)
    assert found.left_out == {"no_caption": 1, "bad_reply": 1}
    assert [asked["temperature"] for asked in chat_server.asked] == [0.7] * 4
    assert chat_server.asked[0]["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png")
    (row,) = in_order(MessagesConfig(path=str(out)))
    assert row.turns[1].text == "A brown cat." and next(row.media())[1].source == str(tmp_path / "0.png")
    lines = [json.loads(line) for line in found.ledger.read_text().splitlines()]
    assert lines[-1]["step"] == 1 and "needed a JSON object" in lines[-1]["detail"]
    # what was said is there: the same without a server
    out.unlink()
    again = make(photos, chosen, endpoint, MessagesWriterConfig(), out, retries=1, workers=1)
    assert again.written == 1 and len(chat_server.asked) == 4 and len(replies_of(out).read_text().splitlines()) == 4


def test_a_server_that_fails_leaves_what_was_said(photos, tmp_path, chat_server):
    out = tmp_path / "m.jsonl"
    chat_server.answers = [reply("rounds", ROUND), 400]
    with pytest.raises(DataError, match="HTTP 400"):
        make(photos, maker("detail"), Endpoint(chat_server.url, "m"), MessagesWriterConfig(), out, workers=1)
    assert not out.exists() and len(replies_of(out).read_text().splitlines()) == 1
    chat_server.answers = [reply("rounds", ROUND)]
    assert make(photos, maker("detail"), Endpoint(chat_server.url, "m"), MessagesWriterConfig(), out).written == 2


def test_a_last_group_that_is_too_small_is_told(photos, tmp_path, chat_server):
    chat_server.answers = [dialogue([0], [1])]
    source = photos.replace(captions=None)
    (tmp_path / "0.txt").write_text("a cat")
    (tmp_path / "1.txt").write_text("a dog")
    (tmp_path / "2.txt").write_text("a cow")
    chosen = maker("dialogues", pool=2)
    found = make(source, chosen, Endpoint(chat_server.url, "m"), MessagesWriterConfig(), tmp_path / "d.jsonl")
    assert found.written == 1 and found.left_out == {"too_few": 1}


def test_the_command(photos, tmp_path, modalink_command):
    out = tmp_path / "made.jsonl"
    settings = ["source=pairs", "captions=t.csv"]
    done = modalink_command("data", "make", tmp_path, *settings, "--kind", "{kind: templates, each: 2}", "--out", out)
    assert (
        done.exit_code == 0
        and "4 conversations of 2 samples" in done.stdout
        and "left out: 1 no_caption" in done.stdout
    )
    for options, says in (
        (["--kind", "detail"], "asks a language model: --endpoint URL --model NAME, or --run RUN"),
        (
            ["--kind", "detail", "--endpoint", "http://127.0.0.1:1/v1"],
            "found one of --endpoint and --model, needed both",
        ),
        (["--kind", "detial"], "did you mean 'detail'?"),
        (["--kind", "{kind: detail, most: 0}"], "most: found 0"),
    ):
        wrong = modalink_command("data", "make", tmp_path, *settings, *options, "--out", tmp_path / "x.jsonl")
        assert wrong.exit_code in (1, 2) and says in wrong.stderr
    with pytest.raises(OptionError, match="is there already"):
        make(photos, maker("templates"), None, MessagesWriterConfig(), out)


@pytest.fixture
def modalink_command():
    from typer.testing import CliRunner

    from modalink.cli.main import app

    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def test_a_run_is_asked_in_the_place_of_a_server(photos, tmp_path, make_reader, modalink_command):
    make_reader(tmp_path).save(tmp_path / "mine" / "model")
    options = ["--kind", "{kind: detail, max_tokens: 4}", "--run", tmp_path / "mine", "--retries", 0]
    done = modalink_command(
        "data", "make", tmp_path, "source=pairs", "captions=t.csv", *options, "--out", tmp_path / "m.jsonl", "--json"
    )
    assert json.loads(done.stdout)["left_out"] == {"bad_reply": 2, "no_caption": 1}, done.stderr
    assert len(replies_of(tmp_path / "m.jsonl").read_text().splitlines()) == 2
