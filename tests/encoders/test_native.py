"""Images at their own size: token counts known before encoding, and the numbers of transformers' own classes."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLVisionModel,
    Siglip2Config,
    Siglip2Model,
    Siglip2VisionModel,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel

from modalink.encoders import probe
from modalink.encoders._sampling import FramesSpec
from modalink.encoders.frames import FramesConfig
from modalink.encoders.native import NativeConfig, NativeEncoder
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.kinds import parse
from modalink.modalities import image, video
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_clip_vision, tiny_native

QWEN2, QWEN2_5 = Qwen2VisionTransformerPretrainedModel, Qwen2_5_VisionTransformerPretrainedModel
TOWERS = [Siglip2VisionModel, QWEN2, QWEN2_5, Qwen3VLVisionModel]
SIZES = ((180, 100), (90, 400), (40, 40), (1, 1), (200, 1))


def pictures(sizes: Any = SIZES) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def items(config: Any, media: list[Any]) -> Ragged:
    preprocess = config.preprocessor()
    return Ragged.of([preprocess(medium) for medium in media], [preprocess.layout(medium) for medium in media])


@pytest.mark.parametrize("model", TOWERS)
def test_it_keeps_the_promises_of_its_role(tmp_path: Path, model: Any) -> None:
    check_encoder(NativeConfig(checkpoint=str(tiny_native(tmp_path, model))))


@pytest.mark.parametrize("model", TOWERS)
def test_tokens_are_those_of_transformers_processor_and_tower(tmp_path: Path, model: Any) -> None:
    """Measured difference 0.0, of images in one batch."""
    config = NativeConfig(checkpoint=str(tiny_native(tmp_path, model)))
    batch = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")(pictures(), return_tensors="pt")
    tower = model.from_pretrained(tmp_path)
    with torch.no_grad():
        found = config.build()(items(config, pictures()))
        if model is Siglip2VisionModel:
            states, masks = tower(**batch).last_hidden_state, batch["pixel_attention_mask"].bool()
            expected = torch.cat([state[mask] for state, mask in zip(states, masks, strict=True)])
        else:
            expected = tower(batch["pixel_values"], grid_thw=batch["image_grid_thw"]).pooler_output
    assert torch.equal(found.values, expected)


@pytest.mark.parametrize("model", TOWERS)
def test_an_image_alone_has_the_tokens_that_it_has_among_others(tmp_path: Path, model: Any) -> None:
    """Other numbers of rows take other kernels: equal to a few millionths of the largest number."""
    config = NativeConfig(checkpoint=str(tiny_native(tmp_path, model)))
    encoder, together = config.build(), items(config, pictures())
    with torch.no_grad():
        for number, tokens in enumerate(encoder(together)):
            alone = encoder(together.take([number])).values
            assert (alone - tokens).abs().max() < 2e-6 * tokens.abs().max()


@pytest.mark.parametrize(
    ("model", "limits", "size", "grid"),
    [
        # Squares of 28 px: 140 x 280 px are 5 x 10 of them, the nearest whole numbers of others.
        (QWEN2_5, {}, (280, 140), (4, 8)),
        (QWEN2_5, {"max_pixels": 50 * 28**2}, (280, 140), (5, 10)),
        (QWEN2_5, {"max_pixels": 50 * 28**2}, (284, 150), (5, 10)),
        (QWEN2_5, {"max_pixels": 9 * 28**2}, (1000, 1000), (3, 3)),
        (QWEN2_5, {"min_pixels": 16 * 28**2}, (10, 10), (4, 4)),
        (QWEN2, {}, (28, 84), (3, 1)),
        (Qwen3VLVisionModel, {"max_pixels": 50 * 32**2}, (320, 160), (5, 10)),
        # Patches of 16 px, as many as 32 or 64 allow, whatever the image's size.
        (Siglip2VisionModel, {}, (1000, 500), (4, 8)),
        (Siglip2VisionModel, {}, (10, 5), (4, 8)),
        (Siglip2VisionModel, {"max_pixels": 64 * 16**2}, (20, 20), (8, 8)),
    ],
)
def test_how_many_tokens_an_image_makes_is_known_before_it_is_decoded(
    tmp_path: Path, model: Any, limits: dict[str, int], size: tuple[int, int], grid: tuple[int, int]
) -> None:
    config = NativeConfig(checkpoint=str(tiny_native(tmp_path / "tower", model)), **limits)
    picture = pictures([size])[0]
    picture.save(tmp_path / "picture.png")
    handle = image.open_image(tmp_path / "picture.png")
    layout = config.layout(config.preprocessor().layout(handle))
    assert (layout.blocks, layout.grid) == ((grid[0] * grid[1],), grid)
    with torch.no_grad():
        assert config.build()(items(config, [picture])).layouts == (layout,)


@pytest.mark.parametrize("model", [Siglip2VisionModel, QWEN2_5])
def test_frames_of_a_video_are_read_at_their_own_size_too(tmp_path: Path, model: Any) -> None:
    tower = NativeConfig(checkpoint=str(tiny_native(tmp_path, model)))
    config = FramesConfig(encoder=tower, frames=FramesSpec(count=3))
    clip = video.Clip.of(np.stack([np.asarray(picture) for picture in pictures([(120, 80)] * 6)]), fps=2.0)
    with torch.no_grad():
        found = config.build()(items(config, [clip, clip]))
        alone = tower.build()(items(tower, list(clip.frames(config.frames.times_s(clip)))))
    assert found.layouts[0].times_s == (0.5, 1.5, 2.5) and found.layouts[0].grid == alone.layouts[0].grid
    assert torch.equal(found.values, torch.cat([alone.values, alone.values]))
    check_encoder(config, [clip, clip], from_files=False)


def test_a_tower_is_found_in_a_whole_models_checkpoint(tmp_path: Path) -> None:
    text = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 4, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    towers = {model: model.from_pretrained(tiny_native(tmp_path / model.__name__, model)) for model in TOWERS}
    qwen = Qwen2_5_VLConfig(
        vision_config=towers[QWEN2_5].config.to_dict(), text_config={**text, "num_key_value_heads": 2}
    )
    siglip = Siglip2Config(vision_config=towers[Siglip2VisionModel].config.to_dict(), text_config=text)
    for whole, place in (
        (Qwen2_5_VLForConditionalGeneration(qwen), "model.visual"),
        (Siglip2Model(siglip), "vision_model"),
    ):
        folder = tmp_path / place
        whole.save_pretrained(folder)
        expected = whole.get_submodule(place).state_dict()
        found = NativeConfig(checkpoint=str(folder)).build().tower.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("checkpoint", "parameters", "size", "tokens", "dim"),
    [
        ("google/siglip2-base-patch16-naflex", 92_930_304, (1024, 768), 252, 768),
        ("google/siglip2-so400m-patch16-naflex", 427_888_064, (1000, 1000), 256, 1152),
        ("Qwen/Qwen2-VL-7B-Instruct", 675_759_104, (448, 448), 256, 3584),
        ("Qwen/Qwen2.5-VL-3B-Instruct", 668_684_288, (1092, 1092), 1521, 2048),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 676_550_144, (5000, 5000), 16_384 - 255, 3584),
    ],
)
def test_published_towers_build_without_network_or_memory(
    checkpoint: str, parameters: int, size: tuple[int, int], tokens: int, dim: int
) -> None:
    """Whole models, whose sizes are published, are counted in `tests/hub/test_architectures.py`."""
    config = NativeConfig(checkpoint=checkpoint)
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
    layout = config.preprocessor().layout(Image.new("L", size))
    assert (encoder.layout(layout).tokens, encoder.dim) == (tokens, dim)


def test_settings_that_leave_no_size_are_refused_in_words(tmp_path: Path) -> None:
    naflex, qwen = (str(tiny_native(tmp_path / model.__name__, model)) for model in (Siglip2VisionModel, QWEN2_5))
    with pytest.raises(PartError, match="NaFlex enlarges every image as far as max_pixels allows; leave out min_pix"):
        NativeConfig(checkpoint=naflex, min_pixels=1000).preprocessor()
    with pytest.raises(PartError, match=r"found images of 0 patches, needed 1 to .*; set max_pixels"):
        NativeConfig(checkpoint=naflex, max_pixels=255).preprocessor()
    for limits in ({"max_pixels": 783}, {"min_pixels": 5000, "max_pixels": 4000}, {"min_pixels": 2**26}):
        with pytest.raises(PartError, match="needed at least one square of 28 px"):
            NativeConfig(checkpoint=qwen, **limits).preprocessor()


def test_towers_of_other_kinds_are_told_which_kind_reads_them(tmp_path: Path) -> None:
    native, clip = str(tiny_native(tmp_path / "native", QWEN2_5)), str(tiny_clip_vision(tmp_path / "clip"))
    with pytest.raises(PartError, match=r"'qwen2_5_vl_vision', which reads images at their own size; set kind: native"):
        VisionConfig(checkpoint=native).build()
    with pytest.raises(PartError, match=r"found a checkpoint of type 'clip_vision_model', .*kind: vision reads others"):
        NativeConfig(checkpoint=clip).build()
    assert parse("modalink.encoders", {"kind": "native", "checkpoint": clip}) == NativeConfig(checkpoint=clip)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"patch_size": 8}, "has the patch_size 8, its tower 14; make them one"),
        ({"patch_size": None}, "has the patch_size nothing, its tower 14"),
        ({"merge_size": 10**9}, "has the merge_size 1000000000, its tower 2"),
        ({"size": {"shortest_edge": 1, "longest_edge": 10**12}}, "needed at least one square of 28 px"),
        ({"size": {"shortest_edge": "a", "longest_edge": 2}}, "needed at least one square|cannot be read"),
        ({"image_processor_type": "ViTImageProcessor"}, "needed Qwen2VLImageProcessor for this tower"),
    ],
)
def test_processors_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    folder = tiny_native(tmp_path, QWEN2_5)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(PartError, match=reason):
        NativeConfig(checkpoint=str(folder)).preprocessor()


@pytest.mark.parametrize("model", [Siglip2VisionModel, QWEN2_5])
@pytest.mark.parametrize(
    "settings",
    [{"patch_size": n} for n in (0, -8, 10**9, [14, 14], "a")] + [{"hidden_size": n} for n in (0, 10**9)],
)
def test_monstrous_settings_are_refused_in_words(tmp_path: Path, model: Any, settings: dict[str, Any]) -> None:
    file = tiny_native(tmp_path, model) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(PartError), torch.device("meta"):
        NativeConfig(checkpoint=str(tmp_path)).build(weights=False)


class Transposed(NativeEncoder):
    """Tokens column by column, of which only looking tells."""

    def forward(self, items: Ragged) -> Ragged:
        tokens = super().forward(items)
        moved = [
            one.unflatten(0, layout.grid or ()).transpose(0, 1).flatten(0, 1)
            for one, layout in zip(tokens, tokens.layouts, strict=True)
        ]
        return tokens.with_values(torch.cat(moved), tokens.layouts)


class Leaking(NativeEncoder):
    """Images that see each other."""

    def forward(self, items: Ragged) -> Ragged:
        tokens = super().forward(items)
        mixed: Tensor = tokens.values + tokens.values.mean(0)
        return tokens.with_values(mixed, tokens.layouts)


@pytest.mark.parametrize(
    ("kind", "reason"), [(Transposed, "do not look at their places|swapped"), (Leaking, "an item gives other tokens")]
)
def test_packed_tokens_are_tried_at_their_places(tmp_path: Path, kind: type[NativeEncoder], reason: str) -> None:
    config = NativeConfig(checkpoint=str(tiny_native(tmp_path)))
    found = probe(kind(config.build().tower), config.typical())
    assert found.verdict == "refused"
    assert re.search(reason, found.reason)


def test_units_without_rows_and_columns_are_refused(tmp_path: Path) -> None:
    encoder = NativeConfig(checkpoint=str(tiny_native(tmp_path))).build()
    with pytest.raises(PartError, match="needed images with rows and columns"):
        encoder.layout(Layout.of_units(3))
