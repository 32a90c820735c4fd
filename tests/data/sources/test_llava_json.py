"""LLaVA's format: markers and images matched in order, everywhere, and counted."""

import json

import pytest

from modalink import kinds, modalities
from modalink.conversation import Medium, Text
from modalink.data.sources.llava_json import LlavaJsonConfig
from modalink.errors import SampleError


def record(*values, **more):
    said = [{"from": ("human", "gpt")[i % 2], "value": value} for i, value in enumerate(values)]
    return {"id": "r", "conversations": said} | more


def opened(tmp_path, *records, **options):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records))
    return LlavaJsonConfig(path=str(path), **options).open()


def pieces(turn):
    return [p.text if isinstance(p, Text) else (p.modality, p.source) for p in turn.content]


def test_the_recipe_finds_it_by_its_name(tmp_path):
    config = kinds.parse("modalink.data.sources", {"source": "llava_json", "path": "a.json"}, key="source")
    assert config == LlavaJsonConfig(path="a.json")
    assert (config.weight, config.template, config.name) == (None, None, "llava_json a.json")


def test_a_turn_may_carry_no_loss(tmp_path):
    said = [{"from": "gpt", "value": "a", "train": False}, {"from": "gpt", "value": "b"}]
    wrong = [{"from": "gpt", "value": "a", "loss": "no"}]
    source = opened(tmp_path, {"conversations": said}, {"conversations": wrong})
    assert [turn.loss for turn in source[0].turns] == [False, True]
    with pytest.raises(SampleError, match="message 0: found loss 'no', needed true or false"):
        source[1]


def test_real_photos_where_the_markers_stand(tmp_path, photos):
    source = opened(
        tmp_path,
        record("<image>\nWho is this?", "An astronaut.", "And where?", "In a studio.", image="astronaut.png"),
        record("Is <image> older than <image>?", "No.", image=["china.jpg", "flower.jpg"]),
        media=str(photos),
    )
    one, two = source[0], source[1]
    assert [turn.role for turn in one.turns] == ["user", "assistant", "user", "assistant"]
    assert pieces(one.turns[0]) == [("image", str(photos / "astronaut.png")), "\nWho is this?"]
    assert pieces(two.turns[0]) == [
        "Is ", ("image", str(photos / "china.jpg")), " older than ", ("image", str(photos / "flower.jpg")), "?",
    ]  # fmt: skip
    assert [modalities.get("image").read(medium.source).size for _, medium in two.media()] == [(640, 427), (640, 427)]


def test_markers_at_the_end_alone_adjacent_and_in_answers(tmp_path):
    source = opened(
        tmp_path,
        record("What is it?\n<image>", "A cat.", image="a.png"),
        record("<image>", "<image><image>", "yes", "and <image>", images=["a", "b", "c", "d"]),
        record("no image here", "none"),
        record("no image here", "none", image=""),
        record("no image here", "none", image=[]),
        media="/m",
    )
    assert pieces(source[0].turns[0]) == ["What is it?\n", ("image", "/m/a.png")]
    assert [pieces(turn) for turn in source[1].turns] == [
        [("image", "/m/a")], [("image", "/m/b"), ("image", "/m/c")], ["yes"], ["and ", ("image", "/m/d")],
    ]  # fmt: skip
    assert all(list(source[i].media()) == [] for i in (2, 3, 4))


@pytest.mark.parametrize(
    ("values", "image", "numbers"),
    [
        (("<image> and <image>", "x"), "a.png", "found 2 <image> markers and 1 image paths"),
        (("none", "x"), "a.png", "found 0 <image> markers and 1 image paths"),
        (("<image>", "x"), None, "found 1 <image> markers and 0 image paths"),
        (("<image>", "<image>"), ["a", "b", "c"], "found 2 <image> markers and 3 image paths"),
    ],
)
def test_other_counts_of_markers_and_images_are_errors_with_numbers(tmp_path, values, image, numbers):
    source = opened(tmp_path, record("fine", "fine"), record(*values, image=image))
    assert source[0].id == "r"
    with pytest.raises(SampleError, match=f"^r: {numbers}, needed as many of each") as caught:
        source[1]
    assert caught.value.reason == "marker_count"


def test_sources_that_are_no_relative_paths_stay(tmp_path):
    url, address = "data:image/png;base64,AAAA", "https://example.com/a.png"
    source = opened(tmp_path, record("<image><image><image>", "x", image=[url, address, "/abs/a.png"]), media="/m")
    assert [medium.source for _, medium in source[0].media()] == [url, address, "/abs/a.png"]


def test_paths_hang_against_the_file_by_default(tmp_path):
    medium = next(opened(tmp_path, record("<image>", "x", image="a.png"))[0].media())[1]
    assert medium == Medium("image", str(tmp_path / "a.png"))


def test_system_text_and_names(tmp_path):
    source = opened(
        tmp_path,
        record("hi", "ho", system="Be kind.", id=7),
        {"conversations": [{"from": "system", "value": "s"}, {"from": "user", "value": "u"}]},
    )
    assert (source[0].turns[0].role, source[0].turns[0].text) == ("system", "Be kind.")
    assert source[0].id == "7"
    assert [turn.role for turn in source[1].turns] == ["system", "user"]
    assert source[1].id == f"{tmp_path / 'data.json'}[1]"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "found conversations None, needed a list of turns"),
        ([], r"found conversations \[\]"),
        ([{"from": "robot", "value": "x"}], r"turn 0: found .*needed 'from' \(one of human, user, gpt"),
        ([{"from": "human", "value": "x"}, {"from": "gpt", "value": None}], "turn 1: found"),
        (["x"], "turn 0: found 'x'"),
    ],
)
def test_turns_of_another_form_are_bad_samples(tmp_path, said, message):
    with pytest.raises(SampleError, match=message) as caught:
        opened(tmp_path, {"id": "r", "conversations": said})[0]
    assert caught.value.reason == "bad_record"


def test_json_lines(write_lines):
    path = write_lines("a.jsonl", [record("a", "b"), "{broken", record("c", "d", id="last")])
    source = LlavaJsonConfig(path=str(path)).open()
    assert (len(source), source[2].id) == (3, "last")
    with pytest.raises(SampleError, match=r"a\.jsonl, line 2: is no JSON"):
        source[1]
