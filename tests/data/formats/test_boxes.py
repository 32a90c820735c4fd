"""Names and boxes of a column stand where the text marks them, in the coordinates that the recipe names."""

import pytest
from PIL import Image

from modalink.conversation import Region, Text
from modalink.data import formats
from modalink.errors import MediumError, SampleError


@pytest.fixture
def filled(tmp_path):
    Image.new("RGB", (2000, 500)).save(tmp_path / "wide.png")
    Image.new("RGB", (100, 400)).save(tmp_path / "high.png")

    def read(text, objects, boxes="thousand", images=("wide.png", "high.png")):
        said = [{"role": "user", "content": "<image>" * len(images)}, {"role": "assistant", "content": text}]
        record = {"messages": said, "images": list(images), "objects": objects}
        return formats.read(record, "mail 3", "messages", folder=tmp_path, boxes=boxes).turns[1].text

    return read


BOX = [[500, 125.4, 1000, 250]]


@pytest.mark.parametrize(
    ("objects", "boxes", "written"),
    [
        ({"bbox": BOX}, "thousand", "[250, 251, 500, 500]"),
        ({"bbox": BOX}, "unit", "[0.250, 0.251, 0.500, 0.500]"),
        ({"bbox": BOX}, "pixel", "[500, 125, 1000, 250]"),
        ({"bbox": BOX, "bbox_type": "real", "image_id": [0], "ref": None}, "thousand", "[250, 251, 500, 500]"),
        ({"bbox": [[50, 100, 100, 400]], "image_id": [1], "ref": []}, "thousand", "[500, 250, 1000, 1000]"),
        ({"bbox": [[0.25, 0.5, 0.75, 1]], "bbox_type": "norm1"}, "thousand", "[250, 500, 750, 1000]"),
        ({"bbox": [[0.25, 0.5, 0.75, 1]], "bbox_type": "norm1"}, "unit", "[0.250, 0.500, 0.750, 1.000]"),
        ({"bbox": [[0.25, 0.5, 0.75, 1]], "bbox_type": "norm1"}, "pixel", "[500, 250, 1500, 500]"),
        ({"bbox": [[615, 226]]}, "pixel", "[615, 226]"),
        ({"bbox": [[615, 226]]}, "thousand", "[308, 452]"),
        ({"bbox": [[0, 0, 2001.5, 500]]}, "thousand", "[0, 0, 1000, 1000]"),
    ],
)
def test_a_box_is_written_as_the_recipe_says(filled, objects, boxes, written):
    assert filled("click(start_box='<bbox>')", objects, boxes) == f"click(start_box='{written}')"


def test_boxes_are_left_to_the_recipes_codec(tmp_path):
    def read(text, objects):
        said = [{"role": "user", "content": "<image><image>"}, {"role": "assistant", "content": text}]
        record = {"messages": said, "images": ["a.png", "b.png"], "objects": objects}  # neither is opened
        return formats.read(record, "mail 3", "messages", folder=tmp_path, boxes="codec").turns[1].content

    objects = {"ref": ["a dog"], "bbox": [[0, 0, 20, 50], [20, 40]], "image_id": [1, 0]}
    first, second = Region(((0, 0, 20, 50),), image=1), Region(((20, 40),), image=0)
    assert read("<ref-object> at <bbox><bbox>.", objects) == (Text("a dog at "), first, second, Text("."))
    share = Region(((0.5, 0.25, 1, 1),), image=0, shares=True)
    assert read("<bbox>", {"bbox": [[0.5, 0.25, 1, 1]], "bbox_type": "norm1"}) == (share,)
    with pytest.raises(SampleError, match="found a box in image 2, needed one of 2"):
        read("<bbox>", {"bbox": [[1, 2]], "image_id": [2]})


def test_names_and_boxes_fill_their_own_markers_in_order(filled):
    objects = {"ref": ["a dog", "a <bbox>"], "bbox": [[0, 0, 20, 50], [20, 0, 40, 50]]}
    text = filled("<ref-object><bbox> and <ref-object><bbox> play", objects)
    assert text == "a dog[0, 0, 10, 100] and a <bbox>[10, 0, 20, 100] play"


def test_only_sizes_that_are_needed_are_read(filled):
    assert filled("<bbox>", {"bbox": [[1, 2]]}, "pixel", images=("gone.png",)) == "[1, 2]"
    assert filled("<bbox>", {"bbox": [[0.5, 0.25]], "bbox_type": "norm1"}, images=("gone.png",)) == "[500, 250]"
    with pytest.raises(MediumError, match="no such file"):
        filled("<bbox>", {"bbox": [[1, 2]]}, images=("gone.png",))


@pytest.mark.parametrize(
    "objects", [None, "a cat", [{"caption": "a cat"}], {"bbox": BOX, "category": [1]}, {"area": [1]}, {}]
)
def test_markers_are_words_where_another_column_is_called_so(filled, objects):
    assert filled("say <bbox> and <ref-object>", objects) == "say <bbox> and <ref-object>"


@pytest.mark.parametrize(
    ("text", "objects", "boxes", "reason", "message"),
    [
        ("<bbox>", {"bbox": BOX}, None, "bad_boxes", "boxes: thousand"),
        ("<bbox>", {"bbox": BOX * 2}, "unit", "marker_count", "found 1 <bbox> in the text and 2 under objects.bbox"),
        ("hi", {"ref": ["a"], "bbox": []}, "unit", "marker_count", "found 0 <ref-object> .* and 1 under objects.ref"),
        ("<ref-object>", {"ref": [3]}, "unit", "bad_boxes", "needed texts"),
        ("<ref-object>", {"ref": "cat"}, "unit", "bad_boxes", "needed a list"),
        ("<bbox>", {"bbox": [[1, 2, 3]]}, "unit", "bad_boxes", "needed 2 or 4 numbers"),
        ("<bbox>", {"bbox": [[1, float("nan")]]}, "pixel", "bad_boxes", "needed 2 or 4 numbers"),
        ("<bbox>", {"bbox": [[1, -2]]}, "unit", "bad_boxes", "needed 2 or 4 numbers"),
        ("<bbox>", {"bbox": [[True, 2]]}, "unit", "bad_boxes", "needed 2 or 4 numbers"),
        ("<bbox>", {"bbox": ["1,2"]}, "unit", "bad_boxes", "needed 2 or 4 numbers"),
        ("<bbox>", {"bbox": BOX, "bbox_type": "norm1"}, "unit", "bad_boxes", "beyond the image"),
        ("<bbox>", {"bbox": [[2003, 2]]}, "unit", "bad_boxes", "beyond the image, whose side is 2000"),
        ("<bbox>", {"bbox": BOX, "bbox_type": "norm7"}, "unit", "bad_boxes", "needed real or norm1"),
        ("<bbox>", {"bbox": BOX, "image_id": [0, 1]}, "unit", "bad_boxes", "an image for each box"),
        ("<bbox>", {"bbox": BOX, "image_id": [2]}, "unit", "bad_boxes", "found a box in image 2, needed one of 2"),
        ("<bbox>", {"bbox": BOX, "image_id": ["a"]}, "unit", "bad_boxes", "found a box in image"),
    ],
)
def test_what_cannot_be_told_is_refused(filled, text, objects, boxes, reason, message):
    with pytest.raises(SampleError, match=message) as caught:
        filled(text, objects, boxes)
    assert caught.value.reason == reason
