"""Images to packed patches: as large as limits allow, in their own proportions, by a checkpoint's own processor."""

import json
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor
from transformers import AutoImageProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    Siglip2ImageProcessorPil,
    get_image_size_for_max_num_patches,
)

from modalink import hub
from modalink.errors import PartError, shown
from modalink.ragged import Layout
from modalink.roles import Preprocessor

LARGEST = 2**26
"""Most pixels of an image."""


class NaflexPreprocessor(Preprocessor):
    """SigLIP 2's: an image as large as a number of patches allows; a unit is a patch, `[patch patch channels]`.

    Args:
        processor: The checkpoint's image processor.
        patch: Side of a patch in pixels, as the tower reads it.
        max_pixels: Most pixels of an image after resizing; None for the processor's own number of patches.

    Raises:
        PartError: The processor has other patches, or no whole one is allowed.
    """

    def __init__(self, processor: Any, patch: int, max_pixels: int | None = None) -> None:
        settings = _settings(processor, Siglip2ImageProcessorPil, {"patch_size": patch})
        most = settings["max_num_patches"] if max_pixels is None else max_pixels // patch**2
        if type(most) is not int or not 1 <= most <= LARGEST // patch**2:
            raise PartError(
                f"found images of {shown(most)} patches, needed 1 to {LARGEST // patch**2:,}; set max_pixels"
            )
        self.patch, self.most = patch, most
        self.processor = type(processor).from_dict(settings | {"max_num_patches": most})

    def layout(self, medium: Any) -> Layout:
        """One block of patches, row by row, from the image's size."""
        width, height = medium.size
        with hub.foreign(PartError, f"an image of {width} x {height} px"):
            sides = get_image_size_for_max_num_patches(height, width, self.patch, self.most)
        return _block(*(side // self.patch for side in sides))

    def __call__(self, medium: Any) -> Float[Tensor, "u p p c"]:
        """The patches of an image, normalised, float32."""
        values: Tensor = self.processor(medium.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return values[: self.layout(medium).units].unflatten(1, (self.patch, self.patch, -1))

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return _described(self.processor)


class MergedPreprocessor(Preprocessor):
    """Qwen2-VL's and its heirs': an image near its own size; a unit is a square of patches that become one token.

    Args:
        processor: The checkpoint's image processor.
        sizes: Settings of patches that it must have, as the tower reads them: `patch_size`, `merge_size`,
            `temporal_patch_size`.
        min_pixels: Least pixels of an image after resizing; None for the processor's own.
        max_pixels: Most.

    Raises:
        PartError: The processor has other patches, or the limits leave no size.
    """

    def __init__(
        self, processor: Any, sizes: dict[str, int], min_pixels: int | None = None, max_pixels: int | None = None
    ) -> None:
        settings = _settings(processor, Qwen2VLImageProcessorPil, sizes)
        self.sizes, self.side = sizes, sizes["patch_size"] * sizes["merge_size"]
        own = settings["size"] or {}
        given = (min_pixels or own.get("shortest_edge"), max_pixels or own.get("longest_edge"))
        least, most = given
        if type(least) is not int or type(most) is not int or not 1 <= least <= most <= LARGEST or most < self.side**2:
            needed = f"at least one square of {self.side} px, at most {LARGEST:,} px, and min_pixels the smaller"
            raise PartError(f"found images of {shown(least)} to {shown(most)} px, needed {needed}")
        self.least, self.most = least, most
        size = {"shortest_edge": least, "longest_edge": most}
        self.processor = type(processor).from_dict(settings | {"size": size})

    def layout(self, medium: Any) -> Layout:
        """One block of squares of patches, row by row, from the image's size."""
        width, height = medium.size
        with hub.foreign(PartError, f"an image of {width} x {height} px"):
            sides = smart_resize(height, width, self.side, self.least, self.most)
        return _block(*(side // self.side for side in sides))

    def __call__(self, medium: Any) -> Float[Tensor, "u m c p p"]:
        """The squares of patches of an image, normalised, float32."""
        patch, merge = self.sizes["patch_size"], self.sizes["merge_size"]
        values: Tensor = self.processor(medium.convert("RGB"), return_tensors="pt")["pixel_values"]
        squares = values.reshape(-1, merge**2, values.shape[1] // (patch**2 * self._frames), self._frames, patch, patch)
        return squares[:, :, :, 0].contiguous()  # an image stands in all frames of its patches

    @property
    def _frames(self) -> int:
        return self.sizes["temporal_patch_size"]

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return _described(self.processor)


def own_processor(kind: Any, folder: Path | None, **published: Any) -> Any:
    """The processor in a checkpoint's folder, or, without one, the one that its family was published with.

    Raises:
        PartError: The folder has none that can be read.
    """
    if folder is None or not (folder / "preprocessor_config.json").is_file():
        return kind(**published)
    return hub.read(AutoImageProcessor, folder, backend="pil")


def _settings(processor: Any, kind: Any, sizes: dict[str, int]) -> dict[str, Any]:
    """A processor's settings, which must be of a class and have sizes that fit the tower."""
    name = type(processor).__name__
    if not isinstance(processor, kind):
        raise PartError(f"found the image processor {name}, needed {kind.__name__.removesuffix('Pil')} for this tower")
    with hub.foreign(PartError, f"{name} has settings that cannot be read"):
        settings: dict[str, Any] = processor.to_dict()
    for key, needed in sizes.items():
        if settings.get(key) != needed:
            raise PartError(f"{name} has the {key} {shown(settings.get(key))}, its tower {needed}; make them one")
    return settings


def _block(rows: int, columns: int) -> Layout:
    return Layout(rows * columns, (rows * columns,), grid=(rows, columns))


def _described(processor: Any) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(processor.to_dict()))
    return {"processor": settings, "backend": "pil"}
