"""Images cut into tiles: LLaVA-NeXT's and InternVL's numbers, and arrays that can be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel, get_anyres_image_grid_shape

from modalink.encoders._images import ImagePreprocessor
from modalink.encoders._sampling import FramesSpec
from modalink.encoders._tiling import TilesPreprocessor, TilesSpec
from modalink.encoders.frames import FramesConfig
from modalink.encoders.several import SeveralConfig
from modalink.encoders.tiles import MergingEncoder, TilesConfig
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.modalities import image as images
from modalink.modalities import video
from modalink.ragged import Layout, Ragged
from modalink.roles import BlockEncoder
from modalink.testing import TinyEncoderConfig, check_encoder
from modalink.testing.checkpoints import tiny_clip_vision

SIZES = [(800, 400), (400, 800), (336, 336), (50, 49), (1999, 1200), (333, 1007), (1000, 37), (2, 400), (672, 672)]
"""Widths and heights."""
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
SIDE = 28
"""Of tiles in parity tests: a twelfth of LLaVA-NeXT's."""


def picture(width: int, height: int) -> Image.Image:
    """Noise over colours that tell their places: red grows to the right, green downwards."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(width * height).integers(0, 60, (height, width))
    channels = [columns * 255 / width, rows * 255 / height, noise]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def cut(spec: TilesSpec, processor: Any, size: tuple[int, int], *, keeps_size: bool = False) -> tuple[Any, Layout]:
    square = ImagePreprocessor(processor)
    preprocess = TilesPreprocessor(spec, square, square, keeps_size)
    return preprocess(picture(*size)), preprocess.layout(images.open_image(picture(*size)))


def tiled(merge: str = "flat", **tiles: Any) -> TilesConfig:
    spec = TilesSpec.model_validate(tiles or {"grids": [(1, 2), (2, 1)]})
    return TilesConfig(encoder=TinyEncoderConfig(), tiles=spec, merge=merge)  # type: ignore[arg-type]


def test_they_keep_the_promises_of_their_role(tmp_path: Path) -> None:
    tower = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path / "clip")))
    check_encoder(TilesConfig(encoder=tower, tiles=TilesSpec(most=4, choose="ratio", fit="stretch", thumbnail="last")), from_files=False)  # fmt: skip
    check_encoder(TilesConfig(encoder=tower, merge="spatial_unpad"), from_files=False)


@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_llava_nexts(size: tuple[int, int]) -> None:
    """Equal to the bit, thumbnail first; their number is known from the size."""
    pinpoints = [[height // 336 * SIDE, width // 336 * SIDE] for height, width in PINPOINTS]
    settings = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    theirs = LlavaNextImageProcessorPil(**settings, image_grid_pinpoints=pinpoints)
    values, layout = cut(TilesConfig(encoder=TinyEncoderConfig()).tiles, theirs, size)
    assert torch.equal(values, theirs(picture(*size), return_tensors="pt")["pixel_values"][0])
    assert layout.tiles == get_anyres_image_grid_shape((size[1], size[0]), pinpoints, SIDE)
    assert (layout.units, layout.thumbnail) == (len(values), 0)


@pytest.mark.parametrize("size", SIZES)
def test_the_grid_is_llava_nexts_at_full_size(size: tuple[int, int]) -> None:
    spec = TilesSpec(grids=tuple((height // 336, width // 336) for height, width in PINPOINTS))
    assert spec == TilesConfig(encoder=TinyEncoderConfig()).tiles
    assert spec.grid(size, 336) == get_anyres_image_grid_shape((size[1], size[0]), PINPOINTS, 336)


@pytest.mark.parametrize("limits", [(1, 12), (2, 6), (1, 1)])
def test_tiles_are_internvls(limits: tuple[int, int]) -> None:
    """Equal to the bit, thumbnail last, and none beside a single tile."""
    theirs = GotOcr2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, crop_to_patches=True, min_patches=limits[0], max_patches=limits[1])  # fmt: skip
    spec = TilesSpec(fewest=limits[0], most=limits[1], choose="ratio", fit="stretch", thumbnail="last")
    found = set()
    for size in [*SIZES, (120, 90), (40, 30), (28, 28), (60, 20)]:
        values, layout = cut(spec, theirs, size)
        assert torch.equal(values, theirs(picture(*size), return_tensors="pt")["pixel_values"])
        assert layout.units == len(values) and layout.thumbnail == (None if len(values) == 1 else len(values) - 1)
        found.add(layout.units)
    assert max(found) == (1 if limits[1] == 1 else limits[1] + 1)


@pytest.mark.parametrize("size", SIZES)
def test_tokens_are_merged_and_unpadded_as_llava_nexts(size: tuple[int, int]) -> None:
    """Each token tells its place; only a strip thinner than a token keeps a row here and none there."""
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(hidden_size=8, num_attention_heads=1, image_size=336, patch_size=14),
        text_config=LlamaConfig(hidden_size=8, num_attention_heads=1),
        image_grid_pinpoints=PINPOINTS,
    )
    layout = TilesConfig(encoder=TinyEncoderConfig(), merge="spatial_unpad").tiles.grid(size, 336)
    tiles = Layout.of_units(1 + layout[0] * layout[1], tiles=layout, size_px=(size[1], size[0]))
    with torch.device("meta"):
        theirs = LlavaNextModel(config)
    tokens = torch.arange(float(tiles.units * 576)).view(tiles.units, 576, 1)
    (packed,), _ = theirs.pack_image_features([tokens], [(size[1], size[0])], "default")
    ours = MergingEncoder(Given(24))(Ragged.of([tokens], [tiles]))
    if len(packed) == 576:
        assert ours.lengths[0] > 576
        return
    assert torch.equal(ours.values, packed)
    assert ours.layouts[0].tiles == (1, 1) and ours.layouts[0].thumbnail == 0


class Given(BlockEncoder):
    """Gives its units as tokens, each block on a square grid."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.dim, self.tokens_per_block, self.grid, self.unit_shape = 1, rows * rows, (rows, rows), (rows * rows, 1)

    def encode(self, units: torch.Tensor) -> torch.Tensor:
        return units


def test_merged_tiles_can_be_read() -> None:
    """Two tiles of 2 x 2 tokens, `01 / 23` and `45 / 67`, and a thumbnail, `89 / ab`, first or last."""
    tokens = torch.arange(12.0).view(3, 4, 1)
    whole = [0, 1, 4, 5, 2, 3, 6, 7]
    first = MergingEncoder(Given(2))(Ragged.of([tokens.roll(1, 0)], [Layout.of_units(3, tiles=(1, 2))]))
    assert first.values[:, 0].tolist() == [8, 9, 10, 11, *whole]
    assert first.layouts[0] == Layout(3, (4, 8), grids=((2, 2), (2, 4)), tiles=(1, 1))
    last = MergingEncoder(Given(2))(Ragged.of([tokens], [Layout.of_units(3, tiles=(1, 2), thumbnail_last=True)]))
    assert last.values[:, 0].tolist() == [*whole, 8, 9, 10, 11]
    alone = MergingEncoder(Given(2))(Ragged.of([tokens[:2]], [Layout.of_units(2, tiles=(2, 1))]))
    assert alone.values[:, 0].tolist() == list(range(8)) and alone.layouts[0].grid == (4, 2)
    padded = Layout.of_units(2, tiles=(2, 1), size_px=(100, 26))
    assert MergingEncoder(Given(2)).layout(padded).grid == (4, 2)
    assert MergingEncoder(Given(2)).layout(Layout.of_units(2, tiles=(1, 2), size_px=(50, 200))).grid == (2, 4)
    assert MergingEncoder(Given(4)).layout(Layout.of_units(2, tiles=(1, 2), size_px=(50, 200))).grid == (2, 8)


def test_each_tile_shows_its_own_part() -> None:
    """A picture of 2 x 3 squares, each of a colour of its own; the windows of Monkey, thumbnail last."""
    colours = torch.arange(6).view(2, 3) * 40
    large = Image.fromarray(np.kron(colours.numpy(), np.ones((448, 448))).astype(np.uint8)).convert("RGB")
    config = tiled(grids=[(2, 3)], fit="stretch", thumbnail="last")
    assert large.size == (1344, 896)
    preprocess = config.preprocessor()
    units = (preprocess(large) + 1) * 127.5
    means = units.flatten(1).mean(1)
    assert torch.allclose(means[:6], colours.flatten().float(), atol=1)  # scaled across edges
    assert torch.allclose(means[6], colours.float().mean(), atol=1)
    layout = config.layout(preprocess.layout(images.open_image(large)))
    assert (layout.tiles, layout.thumbnail, layout.blocks) == ((2, 3), 6, (4,) * 7)


def test_monkeys_windows_are_counted_as_published() -> None:
    """4 windows and a thumbnail of 256 tokens are 1,280, 6 and one 1,792."""
    for grid, tokens in (((2, 2), 1280), ((2, 3), 1792)):
        spec = TilesSpec(grids=(grid,), fit="stretch", thumbnail="last")
        preprocess = tiled().preprocessor()
        layout = TilesPreprocessor(spec, preprocess.square, preprocess.others, False).layout_of((896, 896))
        assert layout.each(256).tokens == tokens


def test_what_is_no_image_is_read_as_ever() -> None:
    """Of a video each frame is one unit, with its time; so one encoder reads both."""
    inner = FramesConfig(encoder=TinyEncoderConfig(), frames=FramesSpec(count=3, sampling="segments"))
    config = TilesConfig(encoder=inner, merge="spatial")
    clip, preprocess = video.example(0), config.preprocessor()
    assert config.reads() == {"image", "video"}
    assert preprocess.layout(clip) == inner.preprocessor().layout(clip)
    assert torch.equal(preprocess(clip), inner.preprocessor()(clip))
    assert preprocess.seeded(3).layout(clip) == inner.preprocessor().seeded(3).layout(clip)
    assert config.layout(preprocess.layout(clip)) == inner.layout(inner.preprocessor().layout(clip))
    assert config.layout(preprocess.layout(picture(30, 10))).tiles == (1, 1)
    still = TilesConfig(encoder=TinyEncoderConfig()).preprocessor()
    assert still.seeded(3) is still


def test_several_images_can_be_a_padded_square_each(tmp_path: Path) -> None:
    tower = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path / "clip")))
    inner = FramesConfig(encoder=tower, frames=FramesSpec(count=2, sampling="segments"))
    preprocess = TilesConfig(encoder=inner, tiles=TilesSpec(most=4, several="padded")).preprocessor()
    assert preprocess.among(1) is preprocess
    several = preprocess.among(2)
    wide, clip = images.open_image(picture(60, 20)), video.example(0)
    assert several.layout(wide) == Layout.of_units(1) and several.window_of((60, 20)) == (0, -20, 60, 40)
    padded = tower.replace(pad_to_square=True).preprocessor()
    assert torch.equal(several.units(wide), padded(wide.read()))
    assert torch.equal(several(clip), preprocess(clip)) and several.layout(clip) == preprocess.layout(clip)
    assert several.seeded(3).layout(clip) == preprocess.seeded(3).layout(clip) != several.layout(clip)
    assert several.to_dict() != preprocess.to_dict()
    cut = TilesConfig(encoder=inner, tiles=TilesSpec(most=4)).preprocessor()
    assert cut.among(2) is cut


def test_preprocessing_neither_crops_nor_scales_a_tile(tmp_path: Path) -> None:
    """Where a checkpoint's images are scaled to 36 px and cropped to 32, a tile of 32 stays whole."""
    square = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path / "clip"))).preprocessor()
    square.processor.size = {"shortest_edge": square.side + 4}
    tile = picture(square.side, square.side)
    plain = torch.from_numpy(np.array(tile)).permute(2, 0, 1) / 255
    mean, std = (
        torch.tensor(numbers)[:, None, None] for numbers in (square.processor.image_mean, square.processor.image_std)
    )
    assert torch.allclose(square.exact(tile)[0], (plain - mean) / std, atol=1e-5)
    assert not torch.equal(square.exact(tile), square(tile))


def test_twelve_tiles_are_one_item() -> None:
    config = tiled(most=12, choose="ratio", fit="stretch", thumbnail="last")
    preprocess = config.preprocessor()
    layout = preprocess.layout(picture(400, 300))
    assert (layout.tiles, layout.units) == ((3, 4), 13)
    small = picture(20, 20)
    items = Ragged.of([preprocess(picture(400, 300)), preprocess(small)], [layout, preprocess.layout(small)])
    assert config.build()(items).lengths == (13 * 4, 4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"grids": []}, "found no grids, needed at least one"),
        ({"grids": [[336, 672]]}, "divide them by the side of a tile"),
        ({"grids": [[0, 2]]}, r"found \[0, 2\], needed rows and columns of 1 to 100"),
        ({"grids": [[1, 2, 3]]}, "grids.0"),
        ({"grids": [[1.5, 2]]}, "grids.0"),
        ({}, "needs either grids, or most"),
        ({"grids": [[1, 2]], "most": 4}, "needs either grids, or most"),
        ({"grids": [[1, 2]], "fewest": 2}, "fewest goes with most"),
        ({"most": 2, "fewest": 3}, "found fewest: 3 and most: 2"),
        ({"most": 101}, "less than or equal to 100"),
    ],
)
def test_meaningless_grids_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TilesSpec.model_validate(settings)


def test_what_cannot_be_tiled_is_refused(tmp_path: Path) -> None:
    tower = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path / "clip")), keep_cls=True)
    with pytest.raises(PartError, match="merged tiles need tokens on a grid; set keep_cls: false"):
        TilesConfig(encoder=tower, merge="spatial").build()
    with pytest.raises(ValueError, match="'several' cannot stand here"):
        TilesConfig(encoder=SeveralConfig(encoders=(TinyEncoderConfig(), TinyEncoderConfig())))
    with pytest.raises(ValueError, match="'frames' cannot stand inside itself"):
        FramesConfig(encoder=SeveralConfig(encoders=(FramesConfig(encoder=TinyEncoderConfig()), TinyEncoderConfig())))


def test_tiles_of_two_encoders_stand_side_by_side() -> None:
    """Each encoder cuts the same tiles by itself."""
    both = SeveralConfig(encoders=(tiled(), tiled()))
    preprocess = both.preprocessor()
    items = Ragged.of([preprocess(picture(60, 30))], [preprocess.layout(picture(60, 30))])
    assert both.build()(items).layouts[0].tiles == (1, 2)


def test_the_tiny_form_reads_few_tiles() -> None:
    assert tiled(most=12, fewest=6).tiny().tiles.candidates == ((4, 1), (2, 2), (1, 4))
    assert tiled(grids=[(1, 2), (2, 3)]).tiny().tiles.grids == ((1, 2),)
    assert tiled(grids=[(2, 3)]).tiny().tiles.grids == ((1, 4),)
