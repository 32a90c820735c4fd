"""Interleaved documents: one turn of the assistant, texts and images in reading order."""

import pytest

from modalink.conversation import Medium, Text
from modalink.data.sources.interleaved import InterleavedConfig
from modalink.errors import SampleError


def opened(write_lines, *records, **options):
    return InterleavedConfig(path=str(write_lines("docs.jsonl", records)), **options).open()


def pieces(conversation):
    (turn,) = conversation.turns
    assert turn.role == "assistant"
    return [p.text if isinstance(p, Text) else p for p in turn.content]


def test_obelics(write_lines):
    record = {"images": [None, "a.png", "b.png", None], "texts": ["One.\n\n", None, None, "Two."]}
    source = opened(write_lines, record, media="/m")
    assert pieces(source[0]) == ["One.\n\n", Medium("image", "/m/a.png"), Medium("image", "/m/b.png"), "Two."]


def test_mmc4_images_stand_before_the_text_they_match(write_lines):
    record = {
        "text_list": ["A cat sat.", "It slept.", "The end."],
        "image_info": [
            {"image_name": "end.png", "matched_text_index": 2},
            {"image_name": "cat.png", "matched_text_index": 0},
            {"image_name": "mat.png", "matched_text_index": 0},
        ],
    }
    assert pieces(opened(write_lines, record, media="/m")[0]) == [
        Medium("image", "/m/cat.png", "A cat sat."),
        Medium("image", "/m/mat.png", "A cat sat."),
        "A cat sat.",
        " It slept.",
        Medium("image", "/m/end.png", "The end."),
        " The end.",
    ]
    assert opened(write_lines, record)[0].turns[0].text == "A cat sat. It slept. The end."


def test_blocks_and_paths_beside_the_file(write_lines, tmp_path):
    record = {"id": "d", "content": [{"type": "text", "text": "Look: "}, {"type": "image", "path": "a.png"}]}
    source = opened(write_lines, record)
    assert pieces(source[0]) == ["Look: ", Medium("image", str(tmp_path / "a.png"))]
    assert source[0].id == "d"


def test_the_use_of_the_media_is_a_setting_that_blocks_may_contradict(write_lines):
    record = {
        "content": ["Look: ", {"type": "image", "path": "/a.png"}, {"type": "image", "path": "/b.png", "use": "read"}]
    }
    found = pieces(opened(write_lines, record, use="both")[0])
    assert found == ["Look: ", Medium("image", "/a.png", use="both"), Medium("image", "/b.png", use="read")]


def test_columns_of_any_modality(write_lines, depth):
    record = {"texts": ["One.", None, None], "images": [None, "a.png", None], "depths": [None, None, "a.npy"]}
    found = opened(write_lines, record, media="/m")[0]
    assert pieces(found) == ["One.", Medium("image", "/m/a.png"), Medium("depth", "/m/a.npy")]
    info = [{"depth_name": "b.npy", "matched_text_index": 0}]
    assert pieces(opened(write_lines, {"text_list": ["Far."], "depth_info": info}, media="/m")[0]) == [
        Medium("depth", "/m/b.npy", "Far."), "Far.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "reason", "message"),
    [
        ({"texts": ["a"], "images": []}, "bad_record", "found 1 texts and 0 images, needed lists of one length"),
        ({"texts": ["a"]}, "bad_record", "found 1 texts and no column of media"),
        ({"texts": ["a"], "images": ["b"]}, "bad_record", "place 0: needed a text or a medium"),
        ({"texts": [None, "a"], "images": [None, None]}, "bad_record", "place 0: needed a text or a medium"),
        ({"text_list": "abc"}, "bad_record", "found text_list 'abc'"),
        ({"text_list": ["a"], "image_info": [{"image_name": "b", "matched_text_index": 1}]}, "bad_record", "image 0: "),
        ({"text_list": ["a"], "image_info": [{"image_name": "b", "matched_text_index": -1}]}, "bad_record", "below 1"),
        ({"text_list": ["a"], "image_info": ["b"]}, "bad_record", "image 0: found 'b'"),
        ({"texts": [None], "images": ["a.png"]}, "no_text", "holds no text to learn"),
        ({"text_list": []}, "no_text", "holds no text to learn"),
        ({"content": [{"type": "text"}]}, "bad_messages", "block 0: a text block needs"),
        ({"words": "a"}, "bad_record", "found the keys id, words; needed 'texts', 'text_list' or 'content'"),
    ],
)
def test_documents_of_another_form_are_bad_samples(write_lines, record, reason, message):
    with pytest.raises(SampleError, match=f"^r: .*{message}") as caught:
        opened(write_lines, {"texts": ["a", None], "images": [None, "b"]}, {"id": "r", **record})[1]
    assert caught.value.reason == reason
