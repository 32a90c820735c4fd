"""LLaVA-NeXT by transformers and imported: tiles, and a learned token behind each row."""

import pytest
import torch

from modalink.errors import PartError
from modalink.interop.importing import recipe_of
from modalink.testing.released import tiny_llava_next


def test_inputs_logits_and_words_are_those_of_transformers(tmp_path, pair, pictures):
    both = pair(tiny_llava_next(tmp_path))
    texts = ["USER: <image>\nWhat? ASSISTANT:", "USER: Which is larger, <image> or <image>? ASSISTANT:"]
    theirs, ours = both.inputs(texts, images=[pictures[:1], pictures[1:]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    counts = [layout.units for layout in ours["pixel_values_layouts"]]
    tiles = [tile for item, count in zip(theirs["pixel_values"], counts, strict=True) for tile in item[:count]]
    assert torch.equal(torch.stack(tiles), ours["pixel_values"])
    assert both.difference(theirs, ours) <= 1e-9
    found, needed = both.generated(theirs, ours)
    assert found == needed and found[0] != found[1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"image_grid_pinpoints": [[28, 50]]}, r"found image_grid_pinpoints \[28, 50\].*needed multiples of 28"),
        ({"image_grid_pinpoints": [[28, 56]]}, r"found image_grid_pinpoints .*needed those of its image processor"),
    ],
)
def test_tiles_that_cannot_be_cut_so_are_refused(tmp_path, settings, says):
    with pytest.raises(PartError, match=says):
        recipe_of(str(tiny_llava_next(tmp_path, **settings)))
