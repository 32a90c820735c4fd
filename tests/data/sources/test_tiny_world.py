"""The tiny world as data: deterministic, in the asked shares, with pictures where they belong."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from modalink import modalities, tiny_world
from modalink.conversation import Medium, Text
from modalink.data.sources.tiny_world import TinyWorldConfig


def kind(conversation):
    pictures = [(turn.role, turn is conversation.turns[0]) for turn, _ in conversation.media()]
    if pictures == [("assistant", False)]:
        return "draw"
    if "tiny world" in conversation.turns[1].text or not pictures:
        return "talk"
    assert pictures == [("user", True)]
    request = conversation.turns[0].text
    asks = any(word in request for word in ("describe", "caption", "tell me", "see?", "in the picture", "image show"))
    return "caption" if asks and len(conversation.turns) == 2 and " a" in f" {conversation.turns[1].text}" else "vqa"


def test_each_conversation_is_a_function_of_seed_and_number():
    one, again, other = (TinyWorldConfig(count=30, seed=seed).open() for seed in (3, 3, 4))
    for i in (29, 0, 7):
        assert one[i].id == again[i].id == f"tiny_world/train/3/{i}"
        assert [turn.text for turn in one[i].turns] == [turn.text for turn in again[i].turns]
        for (_, a), (_, b) in zip(one[i].media(), again[i].media(), strict=True):
            np.testing.assert_array_equal(a.source, b.source)
    assert [one[i].turns[0].text for i in range(30)] != [other[i].turns[0].text for i in range(30)]


def test_shares():
    shares = {"caption": 2, "vqa": 5, "draw": 2, "talk": 1}
    source = TinyWorldConfig(count=300, tasks=shares).open()
    counts = Counter(kind(source[i]) for i in range(len(source)))
    assert {task: pytest.approx(share * 30, abs=25) for task, share in shares.items()} == counts


def test_one_task_alone_and_equal_shares():
    for task in ("caption", "draw", "talk"):
        source = TinyWorldConfig(count=40, tasks=[task]).open()
        assert {kind(source[i]) for i in range(40)} == {task}
    assert TinyWorldConfig(tasks=["caption", "draw"]).tasks == {"caption": 1.0, "draw": 1.0}


def test_the_picture_shows_what_the_caption_says():
    source = TinyWorldConfig(count=20, tasks=["caption"], split="test").open()
    for i in range(20):
        ((turn, medium),) = source[i].media()
        assert turn.content == (medium, Text(turn.text)) and turn.text.startswith("\n")
        assert medium.caption == source[i].turns[1].text
        assert np.asarray(modalities.get("image").read(medium.source)).shape == (64, 64, 3)
        colours = [colour for colour in tiny_world.COLOURS if colour in medium.caption]
        assert 1 <= len(colours) <= 3


def test_questions_share_one_picture():
    source = TinyWorldConfig(count=30, tasks=["vqa"]).open()
    lengths = {len(source[i].turns) for i in range(30)}
    assert max(lengths) > 2 and all(length % 2 == 0 for length in lengths)
    assert all(len(list(source[i].media())) == 1 for i in range(30))


def test_a_drawing_follows_its_announcement():
    source = TinyWorldConfig(count=10, tasks=["draw"]).open()
    for i in range(10):
        said, drawn = source[i].turns[1].content
        assert isinstance(drawn, Medium) and said.text == f"here is {drawn.caption}."


@pytest.mark.parametrize("tasks", [{}, {"caption": 0}, {"caption": -1, "vqa": 1}, {"sing": 1}, []])
def test_settings_that_cannot_be_meant(tasks):
    with pytest.raises(ValidationError):
        TinyWorldConfig(tasks=tasks)


def test_scenes_may_be_asked_to_have_some_numbers_of_objects():
    source = TinyWorldConfig(count=20, tasks=["draw"], objects=[3]).open()
    captions = [medium.caption for i in range(20) for _, medium in source[i].media()]
    assert len(captions) == 20
    assert all(caption.count(",") == 2 for caption in captions)


def shown(conversation):
    return [medium.modality for _, medium in conversation.media()]


def test_conversations_show_what_the_shares_say():
    source = TinyWorldConfig(count=200, tasks=["caption", "vqa"], shows={"video": 2, "audio": 1, "points": 1}).open()
    counts = Counter(modality for i in range(200) for modality in shown(source[i]))
    assert sum(counts.values()) == 200
    assert {
        "video": pytest.approx(100, abs=20),
        "audio": pytest.approx(50, abs=16),
        "points": pytest.approx(50, abs=16),
    } == counts


def test_what_is_shown_can_be_read_and_is_what_its_caption_says():
    for modality in ("image", "video", "audio", "points"):
        source = TinyWorldConfig(count=3, tasks=["caption"], shows=[modality]).open()
        for i in range(3):
            conversation = source[i]
            ((_, medium),) = conversation.media()
            assert medium.caption == conversation.turns[1].text
            opened = modalities.get(modality).open(medium.source)
            assert opened.digest == modalities.get(modality).open(source[i].turns[0].content[0].source).digest
            assert opened.read() is not None


def test_across_weighs_the_modalities_that_are_there():
    source = TinyWorldConfig(count=40, tasks=["vqa"], shows=["across"], modalities=["audio", "video"]).open()
    for i in range(40):
        assert sorted(shown(source[i])) == ["audio", "video"]
        assert "fit" in source[i].turns[0].text


def test_drawings_come_of_pictures_alone():
    source = TinyWorldConfig(count=80, tasks=["draw"], shows=["image"]).open()
    assert all(shown(source[i]) == ["image"] for i in range(80))
    mixed = TinyWorldConfig(count=80, tasks=["draw", "vqa"], shows=["image", "audio"]).open()
    drawn = [c for c in (mixed[i] for i in range(80)) if any(isinstance(part, Medium) for part in c.turns[-1].content)]
    assert 10 < len(drawn) < 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shows": ["audio"], "tasks": ["draw"]}, "found the tasks draw of which none is about audio"),
        ({"shows": ["across"], "tasks": ["caption"]}, "none is about across; add vqa to tasks"),
        ({"shows": ["across"], "modalities": ["image", "image"]}, "across needs two modalities"),
        ({"shows": {"audio": 0}}, "needed shares above 0"),
        ({"shows": ["smell"]}, "'image', 'video', 'audio', 'points' or 'across'"),
    ],
)
def test_what_cannot_be_shown_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TinyWorldConfig(**settings)


def test_questions_in_words_describe_what_is_not_shown():
    shown, told = (TinyWorldConfig(count=20, tasks=[task]).open() for task in ("vqa", "words"))
    for i in range(20):
        assert not list(told[i].media()) and len(list(shown[i].media())) == 1
        description, _, question = told[i].turns[0].text.partition("\n")
        assert shown[i].turns[0].text.strip() == question and len(description.split()) > 3
        assert [turn.text for turn in told[i].turns[1:]] == [turn.text for turn in shown[i].turns[1:]]


def test_dialogues_stand_one_behind_the_other():
    source = TinyWorldConfig(count=10, tasks=["caption"], together=3).open()
    for i in range(10):
        turns = source[i].turns
        assert [turn.role for turn in turns] == ["user", "assistant"] * 3
        assert [len([p for p in turn.content if isinstance(p, Medium)]) for turn in turns] == [1, 0] * 3
    located = TinyWorldConfig(count=5, tasks=["locate"], together=2).open()[0]
    assert sum(len(turn.content) for turn in located.turns) > 4


def test_questions_of_some_kinds_are_asked_alone():
    source = TinyWorldConfig(count=60, tasks=["vqa"], questions=["count", "comparison"]).open()
    said = [source[i] for i in range(60)]
    assert all(len(conversation.turns) == 2 for conversation in said)
    answers = Counter(conversation.turns[1].text for conversation in said)
    compared = {"yes", "no", *tiny_world.COLOURS}  # which of two is larger is told by its colour
    assert {*answers} <= {"zero", "one", "two", "three", *compared} and sum(answers[word] for word in compared) > 10
    with pytest.raises(ValueError, match="found the questions counting, for image needed one at least of colour"):
        TinyWorldConfig(tasks=["vqa"], questions=["counting"])
    with pytest.raises(ValueError, match="for across needed no `questions`"):
        TinyWorldConfig(tasks=["vqa"], shows=["across"], questions=["count"])


@pytest.mark.parametrize("modality", ["video", "audio", "points"])
def test_other_things_than_pictures_are_asked_for_in_words_and_made_by_the_reply(modality):
    data = TinyWorldConfig(tasks=["make"], shows=[modality], count=20).open()
    for number in range(20):
        asked, reply = data[number].turns
        assert [type(piece) for piece in asked.content] == [Text] and (asked.role, reply.role) == ("user", "assistant")
        words, made = reply.content
        assert made.modality == modality and words.text == f"here is {made.caption}."
    assert len({data[number].turns[0].content[0].text for number in range(20)}) > 15


def test_without_replies_prompts_stand_alone_and_their_answers_are_facts():
    settings = {"tasks": ["draw", "vqa"], "count": 30}
    whole, alone = (TinyWorldConfig(**settings, replies=replies).open() for replies in (True, False))
    drawn = 0
    for number in range(30):
        *asked, reply = whole[number].turns
        assert [turn.text for turn in alone[number].turns] == [turn.text for turn in asked]
        assert alone[number].turns[-1].role == "user" and alone[number].facts["answer"] == reply.text.strip()
        made = [piece.caption for piece in reply.content if not isinstance(piece, Text)]
        assert alone[number].facts.get("captions", []) == made
        drawn += len(made)
    assert 5 < drawn < 25


def test_pictures_are_drawn_and_not_made():
    with pytest.raises(ValueError, match="found the tasks make of which none is about image"):
        TinyWorldConfig(tasks=["make"])
    tasks = {"make": 1.0, "caption": 1.0}
    data = TinyWorldConfig(tasks=tasks, shows=["image", "points"], count=40).open()
    made = [
        turn.content[-1].modality
        for talk in map(data.__getitem__, range(40))
        for turn in talk.turns
        if turn.role == "assistant" and len(turn.content) > 1
    ]
    assert set(made) == {"points"} and len(made) > 3
