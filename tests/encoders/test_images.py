import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from transformers import AutoImageProcessor, CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from modalink.encoders._images import ImagePreprocessor
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.testing.checkpoints import tiny_clip_vision, tiny_siglip_vision, tiny_timm
from modalink.testing.requirements import examples


def test_numbers_are_those_of_the_checkpoints_own_processor(tmp_path: Path) -> None:
    preprocess = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path))).preprocessor()
    reference = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    for image in examples({"image"}):
        assert torch.equal(preprocess(image), reference(image, return_tensors="pt")["pixel_values"])


@pytest.mark.parametrize("factory", [tiny_clip_vision, tiny_siglip_vision])
def test_without_a_file_the_familys_published_processor_serves(tmp_path: Path, factory: Any) -> None:
    config = VisionConfig(checkpoint=str(factory(tmp_path)))
    with_file = config.preprocessor().to_dict()
    (tmp_path / "preprocessor_config.json").unlink()
    assert config.preprocessor().to_dict() == with_file


def test_an_unknown_family_needs_a_file(tmp_path: Path) -> None:
    tiny_clip_vision(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    config = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "vit_mae"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(PartError, match=r"no preprocessor_config\.json, and know none for 'vit_mae'"):
        VisionConfig(checkpoint=str(tmp_path)).preprocessor()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tiny_clip_vision(tmp_path) / "preprocessor_config.json").write_text("{")
    with pytest.raises(PartError, match=r"preprocessor_config\.json: is no JSON"):
        VisionConfig(checkpoint=str(tmp_path)).preprocessor()


@pytest.mark.parametrize(
    ("reference", "size", "crop", "mean"),
    [
        ("openai/clip-vit-large-patch14-336", {"shortest_edge": 336}, 336, 0.48145466),
        ("facebook/dinov2-base", {"shortest_edge": 256}, 224, 0.485),
        ("google/siglip-so400m-patch14-384", {"height": 384, "width": 384}, None, 0.5),
        ("Salesforce/blip2-opt-2.7b", {"height": 224, "width": 224}, None, 0.48145466),
        ("timm/nfnet_l0.ra2_in1k", {"shortest_edge": 248}, 224, 0.485),
    ],
)
def test_published_processors(reference: str, size: dict[str, int], crop: int | None, mean: float) -> None:
    settings = VisionConfig(checkpoint=reference).preprocessor().to_dict()["processor"]
    found = {edge: px for edge, px in settings["size"].items() if px}
    assert (found, settings["image_mean"][0]) == (size, mean)
    if crop is not None:
        assert settings["crop_size"]["height"] == crop


def test_another_side_keeps_the_margin_that_is_cut() -> None:
    settings = VisionConfig(checkpoint="facebook/dinov2-base", image_size=448).preprocessor().to_dict()["processor"]
    assert settings["size"]["shortest_edge"] == 512
    assert settings["crop_size"]["height"] == settings["crop_size"]["width"] == 448


def test_padding_keeps_the_whole_image_on_the_mean_colour(tmp_path: Path) -> None:
    """A white image, twice as wide as high: nothing is cut, and the bands above and below normalise to about zero."""
    config = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path)), pad_to_square=True)
    (values,) = config.preprocessor()(Image.new("RGB", (64, 32), "white"))
    assert values.shape == (3, 32, 32)
    assert values[:, :6].abs().max() < 0.02 and values[:, 26:].abs().max() < 0.02
    assert values[:, 10:22].min() > 1.5
    square = examples({"image"}, 1)[0].resize((50, 50))
    assert torch.equal(config.preprocessor()(square), config.replace(pad_to_square=False).preprocessor()(square))


def test_the_description_tells_preprocessors_apart(tmp_path: Path) -> None:
    config = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path)))
    variants = [config, config.replace(image_size=48), config.replace(pad_to_square=True)]
    assert len({json.dumps(variant.preprocessor().to_dict()) for variant in variants}) == 3


def test_timm_images_are_those_of_timms_own_transform(tmp_path: Path) -> None:
    """timm resizes with torchvision on Pillow; measured difference 0.0 up to float rounding."""
    config = VisionConfig(checkpoint="timm/nfnet_l0.ra2_in1k", layer="output")
    facts = timm.get_pretrained_cfg("nfnet_l0.ra2_in1k").to_dict()
    transform = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=facts))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    assert torch.allclose(config.preprocessor()(image), transform(image), atol=1e-5)


def test_a_processor_without_a_fixed_side_needs_one(tmp_path: Path) -> None:
    folder = tiny_clip_vision(tmp_path)
    settings = json.loads((folder / "preprocessor_config.json").read_text()) | {"do_center_crop": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    config = VisionConfig(checkpoint=str(folder))
    with pytest.raises(PartError, match="no fixed side; set image_size"):
        config.preprocessor()
    assert config.replace(image_size=32).preprocessor()(examples({"image"}, 1)[0]).shape == (1, 3, 32, 32)


def test_a_bare_timm_folder_uses_imagenets_numbers(tmp_path: Path) -> None:
    config = VisionConfig(checkpoint=str(tiny_timm(tmp_path, img_size=32, depth=2)))
    preprocess = config.preprocessor()
    assert (preprocess.side, preprocess.to_dict()["processor"]["image_mean"][0]) == (32, 0.485)


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    preprocess = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path))).preprocessor()
    for mode in ("L", "RGBA", "P"):
        assert preprocess(Image.new(mode, (40, 40))).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("side", [10**6, 0, -1, "64", [64], None, True])
def test_a_side_that_no_image_has_is_refused(tmp_path: Path, side: Any) -> None:
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}}
    (tiny_clip_vision(tmp_path) / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(
        PartError, match=r"px, needed 1 to 16,384|sizes that cannot be read|cannot be read from|fixed side"
    ):
        VisionConfig(checkpoint=str(tmp_path)).preprocessor()


@pytest.mark.parametrize("tiling", [{"image_grid_pinpoints": [[336, 672]]}, {"crop_to_patches": True}])
def test_a_processor_that_cuts_tiles_gives_the_whole_image(tiling: dict[str, Any]) -> None:
    """As LLaVA-NeXT's and InternVL's checkpoints have them: tiles are said in the recipe."""
    side = {"height": 28, "width": 28}
    if "crop_to_patches" in tiling:
        theirs: Any = GotOcr2ImageProcessorPil(size=side, **tiling)
        plain = GotOcr2ImageProcessorPil(size=side)
    else:
        theirs = LlavaNextImageProcessorPil(size={"shortest_edge": 28}, crop_size=side, **tiling)
        plain = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=side)
    (image,) = examples({"image"}, 1)
    assert torch.equal(ImagePreprocessor(theirs)(image), plain(image, return_tensors="pt")["pixel_values"])
