"""Captions, questions, dialogues: answers recomputed from scenes, balance, no held-out composition in training."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import pytest

from modalink.tiny_world import (
    CELLS,
    COLOURS,
    QUESTION_KINDS,
    SHAPES,
    Question,
    Scene,
    WorldObject,
    describe,
    dialogues,
    drawing_reply,
    drawing_request,
    place,
    questions,
    sample_dialogue,
    sample_scene,
    split_of,
)

_CELL = "|".join(sorted(CELLS, key=len, reverse=True))
_NAME = re.compile(
    rf"the ((?P<size>small|large) )?((?P<colour>{'|'.join(COLOURS)}) )?(?P<shape>{'|'.join(SHAPES)}|object)"
    rf"( (at|on|in) the (?P<cell>{_CELL}))?"
)
_SCENE = Scene(
    (WorldObject("circle", "red", "large", "top left"), WorldObject("star", "blue", "small", "center")), background=0
)


def _asked(split: str, scenes: int) -> list[tuple[Scene, Question]]:
    rng = np.random.default_rng(0)
    drawn = [sample_scene(seed, split) for seed in range(scenes)]
    return [(scene, question) for scene in drawn for question in questions(scene, rng)]


def _named(scene: Scene, text: str) -> list[WorldObject]:
    """Resolve every object name in a text by its words; each must fit exactly one object."""
    found = []
    for match in _NAME.finditer(text):
        wanted = {key: value for key, value in match.groupdict().items() if value not in (None, "object")}
        fits = [item for item in scene.objects if all(getattr(item, k) == v for k, v in wanted.items())]
        assert len(fits) == 1, (text, scene)
        found += fits
    return found


def _expected(scene: Scene, question: Question) -> str:
    """Answer a question from its words, by rules of its own."""
    text, items = question.text, scene.objects
    if question.kind == "count":
        words = [w for w in re.findall(r"\w+", text) if w not in ("objects", "crosses")]
        wanted = {w.removesuffix("s") if w != "cross" else w for w in words} | (
            {"cross"} if "crosses" in text else set()
        )
        told = wanted & {*SHAPES, *COLOURS, "small", "large"}
        number = sum(not told or bool(told & {i.shape, i.colour, i.size}) for i in items)
        return ("zero", "one", "two", "three")[number]
    if question.kind == "existence":
        return "yes" if any(f"{i.colour} {i.shape}?" in text for i in items) else "no"
    if question.kind == "what is at":
        at = [i for i in items if text.endswith(f" {place(i.cell)}?")]
        return f"{at[0].colour} {at[0].shape}" if at else "nothing"
    named = _named(scene, text)
    if question.kind == "comparison":
        one, other = named
        if "have the same" in text:
            attribute = text.removesuffix("?").split()[-1].replace("color", "colour")
            return "yes" if getattr(one, attribute) == getattr(other, attribute) else "no"
        size = "large" if "larger" in text else "small"
        return next(i.colour for i in named if i.size == size)
    if question.kind == "relation":
        one, other = named
        x = (CELLS.index(one.cell) % 3) - (CELLS.index(other.cell) % 3)
        y = (CELLS.index(one.cell) // 3) - (CELLS.index(other.cell) // 3)
        if "left or right" in text:
            return "left" if x < 0 else "right"
        if "above or below" in text:
            return "above" if y < 0 else "below"
        claims = {"left of": x < 0, "right of": x > 0, "above": y < 0, "below": y > 0}
        joint = next(c for c in claims if re.search(rf" {c} the ", text))
        return "yes" if claims[joint] else "no"
    return getattr(named[0], {"position": "cell"}.get(question.kind, question.kind))


def test_the_canonical_caption_is_fixed_and_simple() -> None:
    assert describe(_SCENE) == "a large red circle at the top left, a small blue star in the center"
    assert drawing_reply(_SCENE) == "here is a large red circle at the top left, a small blue star in the center."


def test_a_paraphrase_says_the_same_things_in_other_words() -> None:
    rng = np.random.default_rng(0)
    texts = {describe(_SCENE, rng) for _ in range(200)}
    assert len(texts) > 50
    for text in texts:
        assert re.search(r"\bred\b", text)
        assert re.search(r"\bblue\b", text)
        assert re.search(r"\b(circle|disc)\b", text)
        assert re.search(r"\b(small|little|tiny)\b", text)
        assert re.search(r"\btop left\b", text)
        assert re.search(r"\b(center|middle)\b", text)


def test_requests_vary_and_hold_a_description() -> None:
    rng = np.random.default_rng(0)
    texts = {drawing_request(_SCENE, rng) for _ in range(100)}
    assert len({text.split()[0] for text in texts}) > 5
    assert all("red" in text and "star" in text for text in texts)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_answer_follows_from_its_scene(split: str) -> None:
    asked = _asked(split, 600)
    assert {question.kind for _, question in asked} == set(QUESTION_KINDS)
    for scene, question in asked:
        assert question.answer == _expected(scene, question), (scene, question)


def test_every_question_knows_the_objects_that_it_names() -> None:
    for scene, question in _asked("test", 300):
        if question.kind == "what is at":
            assert question.about == tuple(i for i in scene.objects if question.text.endswith(f" {place(i.cell)}?"))
        elif question.kind == "existence":
            shown = tuple(i for i in scene.objects if f"{i.colour} {i.shape}?" in question.text)
            assert question.about == (shown if len(shown) == 1 else ())
        elif question.kind != "count":
            assert list(question.about) == _named(scene, question.text)


def test_a_third_of_the_comparisons_weigh_colours_or_shapes() -> None:
    asked = [question.text for _, question in _asked("test", 1500) if question.kind == "comparison"]
    rare = [text for text in asked if text.endswith(("the same color?", "the same shape?"))]
    assert len(rare) > len(asked) / 3


def test_what_is_declined_holds_words_of_no_inside_question() -> None:
    rng = np.random.default_rng(0)
    inside = {*_words(question.text for _, question in _asked("train", 500))}
    inside |= {*_words(drawing_request(sample_scene(seed, "train"), rng) for seed in range(500))}
    talks = [sample_dialogue("train", rng, "decline") for _ in range(500)]
    strange = [talk for talk in talks if not {*_words([talk.turns[0][0]])} <= inside]
    # A made-up word may happen to be one of the world's.
    assert len(strange) >= 0.99 * len(talks)
    assert 0.4 < sum(bool(talk.shown) for talk in talks) / len(talks) < 0.6
    likely_inside = [talk for talk in talks if {*_words([talk.turns[0][0]])} & {*SHAPES, *COLOURS}]
    assert len(likely_inside) > 0.2 * len(talks)


def _words(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in re.findall(r"\w+", text)]


def test_no_answer_of_a_kind_is_a_safe_guess() -> None:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for _, question in _asked("test", 1500):
        answers[question.kind][question.answer] += 1
    shares = {kind: max(counter.values()) / counter.total() for kind, counter in answers.items()}
    assert max(shares.values()) < 0.56, shares
    assert np.mean(list(shares.values())) < 0.4, shares
    for kind in ("relation", "existence", "comparison"):
        yes, no = answers[kind]["yes"], answers[kind]["no"]
        assert 0.8 < yes / no < 1.25, (kind, yes, no)


def test_training_text_never_writes_a_held_out_composition() -> None:
    rng = np.random.default_rng(0)
    phrase = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}) (?:(?:at|on|in) the )?({_CELL})\b(?! of| or)")
    written = set()
    for _ in range(3000):
        for message in sample_dialogue("train", rng).messages():
            written |= set(phrase.findall(message["content"]))
    assert len(written) > 200
    for colour, shape, cell in written:
        assert split_of(WorldObject(shape, colour, "small", cell)) == "train", (colour, shape, cell)


def test_dialogues_are_chat_records_and_repeat_themselves_exactly() -> None:
    records = list(dialogues("train", 200, seed=1))
    assert records == list(dialogues("train", 200, seed=1))
    assert records != list(dialogues("train", 200, seed=2))
    assert {record["kind"] for record in records} == {"questions", "caption", "drawing", "small talk", "decline"}
    for record in records:
        assert [message["role"] for message in record["messages"]] == ["user", "assistant"] * (
            len(record["messages"]) // 2
        )
