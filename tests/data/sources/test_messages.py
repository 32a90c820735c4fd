"""Chat messages from lines, parquet and data sets, with media inline or in columns beside them."""

import io

import datasets
import pytest
from PIL import Image
from pydantic import ValidationError

from modalink import modalities
from modalink.conversation import Medium, Text
from modalink.data.sources.messages import MessagesConfig
from modalink.errors import SampleError

USER = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "against"}, {"type": "image"}]}
ASSISTANT = {"role": "assistant", "content": [{"type": "text", "text": "Here: "}, {"type": "image"}]}


MARKS = ({"loss": False}, {"train": False}, {"weight": 0}, {"weight": 1}, {"loss": None}, {})


def photo(value):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def reds(conversation):
    read = modalities.get("image").read
    return [read(medium.source).getpixel((0, 0))[0] for _, medium in conversation.media()]


def test_messages_without_loss_are_marked_in_the_ways_of_others(write_lines):
    said = [{"role": "assistant", "content": "a", **mark} for mark in MARKS]
    path = write_lines("a.jsonl", [{"messages": [{"role": "user", "content": "b"}, *said]}])
    turns = MessagesConfig(path=str(path)).open()[0].turns
    assert [turn.loss for turn in turns[1:]] == [False, False, False, True, True, True]
    path = write_lines("b.jsonl", [{"messages": [{"role": "assistant", "content": "a", "weight": 0.5}]}])
    with pytest.raises(SampleError, match=r"message 0: found weight 0\.5, needed true or false \(weight: 1 or 0\)"):
        MessagesConfig(path=str(path)).open()[0]


def test_openai_and_hugging_face_blocks_in_both_roles(write_lines):
    blocks = [
        {"type": "text", "text": "Compare "},
        {"type": "image", "image": "a.png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image", "path": "sub/b.png"},
        {"type": "image", "url": "/abs/c.png"},
    ]
    said = [{"type": "image", "image": "d.png", "caption": "a dog"}, {"type": "text", "text": "there"}]
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": blocks},
        {"role": "assistant", "content": said},
    ]
    path = write_lines("a.jsonl", [{"id": "first", "messages": messages}])
    conversation = MessagesConfig(path=str(path), media="/m").open()[0]
    assert conversation.id == "first"
    assert [turn.role for turn in conversation.turns] == ["system", "user", "assistant"]
    assert [medium.source for _, medium in conversation.media()] == [
        "/m/a.png", "data:image/png;base64,AAAA", "/m/sub/b.png", "/abs/c.png", "/m/d.png",
    ]  # fmt: skip
    assert conversation.turns[2].content == (Medium("image", "/m/d.png", "a dog"), Text("there"))


def test_sources_from_the_column_beside_in_order(write_lines):
    record = {"messages": [USER, ASSISTANT], "images": ["a", "b", "c"]}
    path = write_lines("a.jsonl", [record])
    conversation = MessagesConfig(path=str(path)).open()[0]
    assert [medium.source for _, medium in conversation.media()] == [str(path.parent / name) for name in "abc"]
    assert conversation.id == f"{path}, line 1"


@pytest.mark.parametrize("images", [[], ["a"], ["a", "b", "c", "d"], None])
def test_other_counts_are_errors_with_numbers(write_lines, images):
    path = write_lines("a.jsonl", [{"messages": [USER, ASSISTANT], "images": images}])
    count = len(images or [])
    with pytest.raises(SampleError, match=f"3 image blocks without a source and {count} images in columns") as caught:
        MessagesConfig(path=str(path)).open()[0]
    assert caught.value.reason == "media_count"


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, "found None under 'messages', needed a list of messages"),
        ([], "found no messages"),
        ([{"role": "robot", "content": "x"}], "message 0: found role 'robot'"),
        ([{"role": "user", "content": 3}], "message 0: found content of type int"),
        ([{"role": "user", "content": [{"type": "text"}]}], "message 0, block 0: a text block needs a 'text' string"),
        (
            [{"role": "user", "content": [{"type": "sound"}]}],
            "message 0, block 0: a block of type 'sound' needs",
        ),
        (["hello"], r"found messages \['hello'\], needed a list of mappings"),
    ],
)
def test_messages_of_another_form_are_bad_samples(write_lines, messages, message):
    path = write_lines(
        "a.jsonl", [{"messages": [{"role": "user", "content": "fine"}]}, {"id": "r", "messages": messages}]
    )
    source = MessagesConfig(path=str(path)).open()
    assert source[0].turns[0].text == "fine"
    with pytest.raises(SampleError, match=f"^r: {message}") as caught:
        source[1]
    assert caught.value.reason == "bad_messages"


@pytest.fixture
def folder(tmp_path):
    """Parquet in the form of Hugging Face's vision chat data sets: the photos' bytes in a column."""
    text = datasets.Value("string")
    features = datasets.Features(
        {
            "images": datasets.List(datasets.Image()),
            "messages": datasets.List({"role": text, "content": datasets.List({"type": text, "text": text})}),
        }
    )
    rows = [
        {"images": [{"bytes": photo(10 * i + k), "path": None} for k in range(3)], "messages": [USER, ASSISTANT]}
        for i in range(6)
    ]
    rows[4]["images"][0]["bytes"] = b"junk"
    path = tmp_path / "data"
    path.mkdir()
    datasets.Dataset.from_list(rows, features=features).to_parquet(path / "train.parquet")
    return path


def test_parquet_with_photos_inside(folder):
    source = MessagesConfig(path=str(folder)).open()
    assert len(source) == 6
    assert reds(source[2]) == [20, 21, 22]
    assert source[4].turns[0].content[0].source == b"junk"  # for the modality to refuse, not for the file's reader


def test_a_data_set_at_random_and_streamed_give_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    at_random = MessagesConfig(dataset=str(folder)).open()
    config = MessagesConfig(dataset=str(folder), streaming=True, window=1)
    streamed = config.open()
    assert config.name == f"messages {folder}"
    for i in (0, 1, 2, 3):
        conversation = streamed.conversation(next(streamed))
        assert reds(conversation) == reds(at_random[i]) == [10 * i, 10 * i + 1, 10 * i + 2]
        assert conversation.id == at_random[i].id == f"{folder}[{i}]"


def test_streamed_lines_of_strings_and_blocks(write_lines, tmp_path):
    """`datasets` keeps contents of both kinds in one column as JSON, which must not leak into the texts."""
    record = {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "u"}]}]
    }
    path = write_lines("lines/train.jsonl", [record] * 3)
    streamed = MessagesConfig(dataset=str(path.parent), streaming=True).open()
    assert [turn.text for turn in streamed.conversation(next(streamed)).turns] == ["s", "u"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needed exactly one of the two"),
        ({"path": "a", "dataset": "b"}, "needed exactly one of the two"),
        ({"path": "a", "streaming": True}, "streaming needs `dataset`"),
        ({"path": "a", "window": 0}, "window"),
        ({"path": "a", "weight": 0}, "weight"),
    ],
)
def test_settings_that_cannot_be_meant(options, message):
    with pytest.raises(ValidationError, match=message):
        MessagesConfig(**options)


def test_blocks_of_a_plugged_in_modality_take_their_column(write_lines, depth):
    content = [{"type": "depth_map"}, {"type": "image_url"}, {"type": "depth", "path": "own.npy"}]
    record = {"messages": [{"role": "user", "content": content}], "depths": ["a.npy"], "image": "a.png"}
    conversation = MessagesConfig(path=str(write_lines("a.jsonl", [record])), media="/m").open()[0]
    media = [Medium("depth", "/m/a.npy"), Medium("image", "/m/a.png"), Medium("depth", "/m/own.npy")]
    assert [medium for _, medium in conversation.media()] == media


def test_the_assistants_media_are_used_as_the_source_says(write_lines):
    said = {"role": "assistant", "content": [{"type": "image", "image": "c.png"}, {"type": "image", "image": "d.png"}]}
    own = {"role": "user", "content": [{"type": "image", "image": "a.png"}]}
    path = write_lines("a.jsonl", [{"messages": [own, said]}])
    for use in (None, "both", "read", "made"):
        media = MessagesConfig(path=str(path), use=use).open()[0].media()
        assert [(turn.role, medium.use) for turn, medium in media] == [("user", None), *[("assistant", use)] * 2]
