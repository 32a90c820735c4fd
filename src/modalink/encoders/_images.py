"""Images to encoder input: a checkpoint's own image processor, or its family's published one, on Pillow."""

import json
from pathlib import Path
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    BitImageProcessorPil,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    PreTrainedConfig,
    SiglipImageProcessorPil,
    ViTImageProcessorPil,
)
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from modalink import hub, json_files
from modalink.encoders._pixels import read_pixels
from modalink.errors import PartError, shown
from modalink.roles import ReadsPixels, SquarePreprocessor, Window

_RESAMPLE = {"bilinear": 2, "bicubic": 3, "nearest": 0, "lanczos": 1}


class ImagePreprocessor(SquarePreprocessor, ReadsPixels):
    """Resizes, crops and normalises one image to a square of `side` pixels; the same numbers on every machine.

    Args:
        processor: An image processor of transformers on Pillow (a `...Pil` class), whose numbers are the checkpoint's.
        side: Side of the result in pixels; None for the processor's own.
        pad_to_square: Whether the short side is first filled with the mean colour, so that nothing is cropped
            (LLaVA-1.5).

    Raises:
        PartError: The processor keeps the image's own proportions and no side is given.
    """

    def __init__(self, processor: Any, side: int | None = None, *, pad_to_square: bool = False) -> None:
        name, processor = type(processor).__name__, _of_one_unit(processor)
        with hub.foreign(PartError, f"{name} has sizes that cannot be read"):
            settings = processor.to_dict()
            native = _side(settings)
            if side is None and native is None:
                raise PartError(f"{name} gives images of no fixed side; set image_size")
            self.side: int = side or native or 0
            if type(self.side) is not int or not 1 <= self.side <= hub.LARGEST_SIDE:
                raise PartError(f"{name} gives images of {shown(self.side)} px, needed 1 to {hub.LARGEST_SIDE:,}")
            self.pad_to_square = pad_to_square
            self.processor = type(processor).from_dict(settings | _sizes(settings, native, self.side))
            if settings.get("resample") is not None:
                self.resample = Image.Resampling(int(settings["resample"]))

    def __call__(self, medium: Image.Image) -> Float[Tensor, "1 c side side"]:
        """The image as one unit, float32 [1 c h w], normalised."""
        image = medium.convert("RGB")
        if self.pad_to_square:
            colour = tuple(int(255 * mean) for mean in self.processor.image_mean)
            image = _padded(image, colour)
        return self._values(image)

    def window_of(self, size: tuple[int, int]) -> Window:
        """The picture as it is stretched, padded or cropped."""
        width, height = size
        across = down = 0
        if self.pad_to_square:
            width = height = max(size)
            across, down = (width - size[0]) // 2, (height - size[1]) // 2
        left, top, right, bottom = _cropped(self.processor.to_dict(), width, height)
        return left - across, top - down, right - across, bottom - down

    def exact(self, square: Image.Image) -> Float[Tensor, "1 c side side"]:
        """An image of the right sides as one unit, normalised alone."""
        return self._values(square, do_resize=False, do_center_crop=False)

    def of_pixels(self, pixels: Float[Tensor, "i 3 h w"]) -> Float[Tensor, "i 1 c side side"]:
        """The units of pictures with colours from 0 to 1, with gradients."""
        return read_pixels(pixels, self.processor.to_dict(), pad_to_square=self.pad_to_square)[:, None]

    def padded(self) -> "ImagePreprocessor":
        """The same, whose images are filled with the mean colour."""
        return ImagePreprocessor(self.processor, self.side, pad_to_square=True)

    def _values(self, image: Image.Image, **options: bool) -> Float[Tensor, "1 c side side"]:
        values: Tensor = self.processor(image, return_tensors="pt", **options)["pixel_values"]
        return values.flatten(0, -4)  # a processor of videos takes an image for a video of one frame

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        settings: dict[str, Any] = json.loads(json.dumps(self.processor.to_dict()))
        return {"processor": settings, "backend": "pil", "pad_to_square": self.pad_to_square}


def image_processor(folder: Path | None, config: PreTrainedConfig) -> Any:
    """The processor in a checkpoint's folder, or the one that its family was published with.

    Raises:
        PartError: The folder has none that can be read, and the family is unknown.
    """
    if folder is not None and _says_how(folder):
        return hub.read(AutoImageProcessor, folder, backend="pil")
    if folder is not None and (frames := _frames(folder)) is not None:
        return frames
    if config.model_type == "timm_wrapper":
        return _timm_processor(config)
    size = {"height": config.image_size, "width": config.image_size} if hasattr(config, "image_size") else {}
    match config.model_type.removesuffix("_vision_model"):
        case "clip":
            return CLIPImageProcessorPil(size={"shortest_edge": size["height"]}, crop_size=size)
        case "siglip":
            return SiglipImageProcessorPil(size=size)
        case "vit" | "beit":
            return ViTImageProcessorPil(size=size)
        case "blip" | "blip_2" | "instructblip":
            return BlipImageProcessorPil(size=size)
        case "dinov2" | "dinov2_with_registers":
            # Published at 224 px, although its position table was learned at 518 px.
            return BitImageProcessorPil(
                size={"shortest_edge": 256}, image_mean=IMAGENET_DEFAULT_MEAN, image_std=IMAGENET_DEFAULT_STD
            )
    raise PartError(f"found no preprocessor_config.json, and know none for {config.model_type!r}; add that file")


def _says_how(folder: Path) -> bool:
    """Whether a checkpoint tells what its images go through: by themselves, or, since transformers 5, with texts."""
    whole = folder / "processor_config.json"
    return (folder / "preprocessor_config.json").is_file() or (
        whole.is_file() and "image_processor" in json_files.read(whole, PartError, dict[str, Any])
    )


def _frames(folder: Path) -> CLIPImageProcessorPil | None:
    """What the frames of videos go through, where a checkpoint reads nothing else; on Pillow, as pictures do."""
    whole = folder / "processor_config.json"
    said = json_files.read(whole, PartError, dict[str, Any]).get("video_processor") if whole.is_file() else None
    if not isinstance(said, dict):
        return None
    with hub.foreign(PartError, f"{whole}: its video_processor cannot be read"):
        return _plain(said)


def _plain(settings: dict[str, Any]) -> CLIPImageProcessorPil:
    """What scales, crops and normalises as these settings say; what they do not say is not done."""
    told = {name: value for name, value in settings.items() if value is not None}
    return CLIPImageProcessorPil.from_dict({"do_center_crop": False} | told)


def _timm_processor(config: PreTrainedConfig) -> Any:
    """timm's evaluation transform as its `pretrained_cfg` describes it; ImageNet's numbers where it says nothing."""
    facts = getattr(config, "pretrained_cfg", None) or {}
    side = facts.get("input_size", (3, (config.model_args or {}).get("img_size", 224)))[-1]
    resized = int(side / (facts.get("crop_pct") or 1.0))
    squash = facts.get("crop_mode") == "squash"
    return CLIPImageProcessorPil(
        size={"height": resized, "width": resized} if squash else {"shortest_edge": resized},
        crop_size={"height": side, "width": side},
        resample=_RESAMPLE[facts.get("interpolation") or "bicubic"],
        image_mean=list(facts.get("mean") or IMAGENET_DEFAULT_MEAN),
        image_std=list(facts.get("std") or IMAGENET_DEFAULT_STD),
    )


def _of_one_unit(processor: Any) -> Any:
    """What a processor that cuts tiles, reads videos, or gives bare tensors does to one image; `kind: tiles` cuts."""
    bare = ("VideoLlavaImageProcessor", "IdeficsImageProcessorPil")
    if hasattr(processor, "image_grid_pinpoints") or type(processor).__name__ in bare:
        return _plain(processor.to_dict())
    if getattr(processor, "crop_to_patches", False):
        return type(processor).from_dict(processor.to_dict() | {"crop_to_patches": False})
    return processor


def _side(settings: dict[str, Any]) -> int | None:
    """Side of the squares that a processor makes, or None if they are not squares of one size."""
    size = settings["crop_size"] if settings.get("do_center_crop") else settings["size"]
    height: int | None = size.get("height")
    return height if height == size.get("width") else None


def _sizes(settings: dict[str, Any], native: int | None, side: int) -> dict[str, Any]:
    """The sizes for another side; what is resized in proportion before a crop stays in that proportion."""
    square = {"height": side, "width": side}
    if not settings.get("do_center_crop"):
        return {"size": square}
    scale = side / native if native else 1.0
    return {"size": {edge: round(px * scale) for edge, px in settings["size"].items() if px}, "crop_size": square}


def _cropped(settings: dict[str, Any], width: int, height: int) -> Window:
    """What a processor's square shows of an image: all of it where it is stretched, else its middle."""
    short, side = min(width, height), settings["size"].get("shortest_edge")
    if settings.get("do_resize", True) and side is None:
        return 0.0, 0.0, float(width), float(height)
    edges = []
    for length, crop in ((width, "width"), (height, "height")):
        # As transformers rounds: the long side down, and half of what is cut away or filled up.
        resized = length if not settings.get("do_resize", True) else int(side * length / short)
        kept = settings["crop_size"][crop] if settings.get("do_center_crop") else resized
        start = (resized - kept) // 2
        edges.append((start * length / resized, (start + kept) * length / resized))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _padded(image: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    side = max(image.size)
    if image.size == (side, side):
        return image
    square = Image.new("RGB", (side, side), colour)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
