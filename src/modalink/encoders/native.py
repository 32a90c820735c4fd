"""Towers that read images at their own size and proportions: SigLIP 2 NaFlex, Qwen2-VL's, Qwen2.5-VL's, Qwen3-VL's.

The patches of all images lie packed, one image after the other; an image has as many tokens as its size asks for.
NaFlex: arXiv 2502.14786, after NaViT (2307.06304); Qwen2-VL: 2409.12191; Qwen2.5-VL: 2502.13923.
"""

from math import prod
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, Qwen3VLVisionModel, Siglip2VisionModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from modalink import hub
from modalink.devices import to_device
from modalink.encoders import _towers
from modalink.encoders._patches import LARGEST, MergedPreprocessor, NaflexPreprocessor, own_processor
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError, shown
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder, EncoderConfig, Preprocessor

_CLASSES: dict[str, type[PreTrainedModel]] = dict(
    zip(
        _towers.NATIVE,
        (
            Siglip2VisionModel,
            Qwen2VisionTransformerPretrainedModel,
            Qwen2_5_VisionTransformerPretrainedModel,
            Qwen3VLVisionModel,
        ),
        strict=True,
    )
)
_TYPICAL = (6, 8)
"""Rows and columns of an ordinary image's tokens; not as many, so that swapped ones are seen."""
_SMALL: dict[str, dict[str, Any]] = {
    "siglip2_vision_model": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_patches": 64},
    "qwen2_vl_vision": {"embed_dim": 64, "hidden_size": 64, "depth": 2},
    # One block that sees windows, one that sees the whole image.
    "qwen2_5_vl_vision": {"hidden_size": 64, "intermediate_size": 128, "out_hidden_size": 64, "depth": 2}
    | {"fullatt_block_indexes": [1]},
    "qwen3_vl_vision": {"hidden_size": 64, "intermediate_size": 128, "out_hidden_size": 64, "depth": 2}
    | {"deepstack_visual_indexes": [0], "num_position_embeddings": 64},
}
_MOST = {"patch_size": 256, "spatial_merge_size": 16, "temporal_patch_size": 16, "num_channels": 3, "in_channels": 3}
_REST = (r"^model\.(layers|embed_tokens|norm)\.",)
_UNREAD = ("head.", "deepstack_merger_list.")
"""A pooling head, and what Qwen3-VL gives to the first blocks of its LLM."""
# Limits that Qwen2-VL and Qwen2.5-VL were published with.
_PUBLISHED = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 16384}


class NativeConfig(EncoderConfig):
    """Settings of a tower that reads images at their own size, read at its end."""

    kind: Literal["native"] = "native"
    min_pixels: int | None = Field(default=None, ge=1, le=LARGEST)
    """Least pixels of an image, if not the checkpoint's own: smaller ones are enlarged. NaFlex enlarges every image to
    `max_pixels`, and has no such limit."""
    max_pixels: int | None = Field(default=None, ge=1, le=LARGEST)
    """Most pixels of an image, if not the checkpoint's own: larger ones are made smaller."""

    def reads(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> VisionConfig:
        """The zoo's encoder of pictures, a CLIP tower."""
        return VisionConfig(checkpoint="zoo:vision", layer=-1)

    def build(self, *, weights: bool = True) -> "NativeEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint has no tower of that kind, or its weights do not fit.
        """
        config = self._tower_config()
        kind = _tower_class(config)
        if weights:
            tower = _towers.load_tower(kind, config, self.checkpoint, self.revision, self.dtype, rest=_REST)
        else:
            tower = _towers.random_tower(kind, config, self.dtype)
        return NativeEncoder(tower)

    def describe(self) -> dict[str, Any]:
        """The tower's own configuration: weights and limits decide nothing here."""
        return {"architecture": {k: v for k, v in self._tower_config().to_dict().items() if k != "_name_or_path"}}

    def miniature(self) -> "NativeEncoder":
        """The tower's own class and configuration, with few, narrow blocks."""
        full = self._tower_config()
        data = {key: value for key, value in full.to_dict().items() if key not in ("model_type", "architectures")}
        heads = {key: 4 for key in ("num_attention_heads", "num_heads") if key in data}
        small = type(full)(**(data | heads | _SMALL[full.model_type]))
        with hub.building(f"{self.checkpoint}: its architecture cannot be built"):
            return NativeEncoder(_tower_class(full)(small))

    def typical(self) -> Layout:
        """A small image."""
        return Layout(prod(_TYPICAL), (prod(_TYPICAL),), grid=_TYPICAL)

    def preprocessor(self) -> Preprocessor:
        """What the checkpoint's images go through; for well-known hub ids without a network.

        Raises:
            PartError: Its image processor is of another kind, or the limits leave no size.
        """
        config = self._tower_config()
        known = hub.is_known(self.checkpoint)
        folder = None if known else hub.locate(self.checkpoint, self.revision, weights=False)
        if config.model_type == "siglip2_vision_model":
            if self.min_pixels is not None:
                raise PartError("NaFlex enlarges every image as far as max_pixels allows; leave out min_pixels")
            processor = own_processor(Siglip2ImageProcessorPil, folder, patch_size=config.patch_size)
            return NaflexPreprocessor(processor, config.patch_size, self.max_pixels)
        sizes = {"patch_size": config.patch_size, "merge_size": config.spatial_merge_size}
        sizes["temporal_patch_size"] = config.temporal_patch_size
        processor = own_processor(Qwen2VLImageProcessorPil, folder, **sizes, **_PUBLISHED)
        return MergedPreprocessor(processor, sizes, self.min_pixels, self.max_pixels)

    def _tower_config(self) -> PreTrainedConfig:
        config = _towers.tower_config(hub.architecture(self.checkpoint, self.revision))
        _tower_class(config)
        for name, most in _MOST.items():
            found = getattr(config, name, 1)
            if type(found) is not int or not 1 <= found <= most:
                raise PartError(f"{self.checkpoint}: found the {name} {shown(found)}, needed 1 to {most}")
        return config


class NativeEncoder(Encoder):
    """Packed patches to tokens, one for each unit; an item is one image, or several of one size, a block each.

    Args:
        tower: A tower of transformers.
    """

    def __init__(self, tower: PreTrainedModel) -> None:
        super().__init__()
        self.tower = tower
        config = tower.config
        patch = config.patch_size
        if config.model_type == "siglip2_vision_model":
            self.dim: int = config.hidden_size
            self.unit_shape = (patch, patch, config.num_channels)
        else:
            self.dim = config.hidden_size if config.model_type == "qwen2_vl_vision" else config.out_hidden_size
            self.unit_shape = (config.spatial_merge_size**2, config.in_channels, patch, patch)
        self.unread = frozenset(f"tower.{n}" for n, _ in tower.named_parameters() if n.startswith(_UNREAD))

    def layout(self, item: Layout) -> Layout:
        """A token for each unit.

        Raises:
            PartError: The item's units lie on no grid.
        """
        if item.grid is None or sum(item.blocks) != item.units:
            raise PartError(f"found {item.units} units in blocks of {item.blocks}, needed images with rows and columns")
        return item

    def forward(self, items: Ragged) -> Ragged:
        """The tokens of all items, their images encoded together; none sees another."""
        layouts = [self.layout(item) for item in items.layouts]
        grids = [item.grid for item in layouts for _ in item.blocks if item.grid is not None]
        return items.with_values(_tokens(self.tower, items.values.to(self.tower.dtype), grids), layouts)


def _tower_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    if config.model_type not in _CLASSES:
        known = ", ".join(name.partition("_vision")[0] for name in _CLASSES)
        raise PartError(
            f"found a checkpoint of type {config.model_type!r}, needed one that reads images at their own size "
            f"({known}); kind: vision reads others"
        )
    return _CLASSES[config.model_type]


def _tokens(tower: PreTrainedModel, units: Tensor, grids: list[tuple[int, int]]) -> Float[Tensor, "rows d"]:
    """The tokens of images whose units lie one image after the other, by the rows and columns of each."""
    if tower.config.model_type == "siglip2_vision_model":
        return _padded(tower, units.flatten(1), grids)
    return _merged(tower, units, grids)


def _padded(tower: PreTrainedModel, patches: Float[Tensor, "rows n"], grids: list[tuple[int, int]]) -> Tensor:
    """Of a tower that reads images side by side, each filled up to the longest."""
    lengths = [prod(grid) for grid in grids]
    images = Ragged(patches, tuple(lengths), tuple(Layout.of_units(1) for _ in grids))
    values, mask = images.padded()
    # Sizes stay on the host: nobody waits for a device to know them.
    shapes = torch.tensor(grids)
    state = tower(values, None if images.is_even else mask, shapes).last_hidden_state
    return torch.cat([tokens[:length] for tokens, length in zip(state, lengths, strict=True)])


def _merged(tower: PreTrainedModel, units: Float[Tensor, "rows m c p p"], grids: list[tuple[int, int]]) -> Tensor:
    """Of a tower that reads packed images, and makes each square of patches one token."""
    config = tower.config
    frames = units[:, :, :, None].expand(-1, -1, -1, config.temporal_patch_size, -1, -1)
    merge = config.spatial_merge_size
    sizes = to_device(torch.tensor([[1, rows * merge, columns * merge] for rows, columns in grids]), units.device)
    tokens: Tensor = tower(frames.flatten(2).flatten(0, 1), grid_thw=sizes).pooler_output
    return tokens
