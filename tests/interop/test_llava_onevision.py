"""LLaVA-OneVision by transformers and imported: tiles, several images, videos, and what many tokens are brought to."""

import pytest
import torch
from PIL import Image

from modalink.errors import PartError
from modalink.interop.importing import family_of, read_source, recipe_of
from modalink.testing.released import tiny_llava_onevision


@pytest.fixture
def both(tmp_path, pair):
    return pair(tiny_llava_onevision(tmp_path))


@pytest.fixture
def clips():
    """Two clips of three frames."""
    return [torch.randint(0, 256, (3, 28, 28, 3), dtype=torch.uint8).numpy() for _ in range(2)]


def test_an_image_is_cut_and_many_tokens_are_brought_to_fewer(both, pictures):
    large = Image.fromarray(torch.randint(0, 256, (80, 84, 3), dtype=torch.uint8).numpy())
    # 4 x 4 tokens of the whole image; then those of its tiles in rows, with a newline behind each.
    for image, tokens in ((pictures[0], 16 + 4 * 5), (pictures[1], 16 + 6 * 10), (large, 16 + 8 * 9)):
        theirs, ours = both.inputs(["USER: <image>\nWhat? ASSISTANT:"], images=[[image]])
        assert torch.equal(theirs["input_ids"], ours["input_ids"])
        assert torch.equal(theirs["pixel_values"][0], ours["pixel_values"])
        assert int((ours["input_ids"] == both.system.processor.image_token_id).sum()) == tokens
        assert both.difference(theirs, ours) <= 1e-9


def test_several_images_of_one_text_are_a_square_each(both, pictures):
    texts = ["USER: <image>\nWhat? ASSISTANT:", "USER: Which is larger, <image> or <image>? ASSISTANT:"]
    theirs, ours = both.inputs(texts, images=[pictures[:1], pictures[1:]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert [layout.units for layout in ours["pixel_values_layouts"]] == [2, 1, 1]
    assert torch.equal(
        torch.stack([theirs["pixel_values"][1][0], theirs["pixel_values"][2][0]]), ours["pixel_values"][2:]
    )
    assert both.difference(theirs, ours) <= 1e-9
    found, needed = both.generated(theirs, ours)
    assert found == needed and found[0] != found[1]


def test_videos_go_through_the_same_parts(both, pictures, clips):
    texts = ["USER: <video>\nAnd <image>? ASSISTANT:", "USER: <image> or <video>? ASSISTANT:"]
    theirs, ours = both.inputs(texts, images=[pictures[:1], pictures[1:2]], videos=[clips[:1], clips[1:]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert int((ours["input_ids"][0] == both.system.processor.video_token_id).sum()) == 3 * 2 * 2 + 1
    assert both.difference(theirs, ours) <= 1e-9
    found, needed = both.generated(theirs, ours)
    assert found == needed and found[0] != found[1]


def test_each_weight_is_theirs(both, tmp_path):
    source = read_source(str(tmp_path))
    names, theirs = family_of(source).names(source), both.native.state_dict()
    ours = both.system.model.state_dict()
    assert {names.there(name) for name in ours} == theirs.keys()
    assert all(torch.equal(tensor, theirs[names.there(name)]) for name, tensor in ours.items())


def test_a_conversation_says_how_many_images_it_has(both, pictures):
    """Also over several turns; another modality counts for itself."""
    shown = [{"type": "image", "image": picture} for picture in pictures]
    word = {"type": "text", "text": "What?"}
    alone = both.system.processor([{"role": "user", "content": [shown[1], word]}])
    assert [layout.units for layout in alone["pixel_values_layouts"]] == [7]
    turns = [{"role": "user", "content": [shown[1], word]}, {"role": "assistant", "content": "A cube."}]
    several = both.system.processor([*turns, {"role": "user", "content": [shown[2], word]}])
    assert len(several["pixel_values"]) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"vision_aspect_ratio": "anyres_max_9"}, "found vision_aspect_ratio 'anyres_max_9' .*needed that of its proc"),
        ({"image_grid_pinpoints": [[28, 50]]}, r"found image_grid_pinpoints \[28, 50\].*needed multiples of 28"),
    ],
)
def test_forms_without_parts_here_are_refused(tmp_path, settings, says):
    with pytest.raises(PartError, match=says):
        recipe_of(str(tiny_llava_onevision(tmp_path, **settings)))
