"""Any vision tower of transformers (CLIP, SigLIP, ViT, DINOv2, BEiT, EVA-g of BLIP-2) or timm, read at one layer."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from modalink import hub
from modalink.encoders import _towers
from modalink.encoders._images import ImagePreprocessor, image_processor
from modalink.errors import PartError
from modalink.kinds import Width
from modalink.roles import BlockEncoder, EncoderConfig


class VisionConfig(EncoderConfig):
    """Settings of a vision tower."""

    kind: Literal["vision"] = "vision"
    layer: int | Literal["output"] = -2
    """Hidden state that is read: -1 is the last block's, -2 the one before, 0 the embeddings; `output` is the tower's
    own result after its final norm, and the only choice for convolutional towers."""
    keep_cls: bool = False
    """Whether the class token stays, in front of the patches."""
    image_size: Width | None = None
    """Side of the images in pixels, if not the checkpoint's own; learned positions are interpolated."""
    pad_to_square: bool = False
    """Whether images are filled to squares with the mean colour, instead of cropped or squashed."""

    def reads(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> "VisionConfig":
        """The zoo's tower, read at its last layer."""
        return self.from_zoo("vision", layer=-1, image_size=None)

    def build(self, *, weights: bool = True) -> "VisionEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The tower lacks that layer, a class token, or a way to read images of that side.
        """
        config, side = self._tower_config(), self.preprocessor().side
        if self.image_size is not None:
            config = _towers.resizable(config)
        if weights:
            tower = _towers.load_tower(config, self.checkpoint, self.revision, self.dtype)
        else:
            with hub.foreign(PartError, f"{self.checkpoint}: its architecture cannot be built"):
                tower = _towers.tower_class(config)(config)
            tower = tower if self.dtype == "auto" else tower.to(getattr(torch, self.dtype))
        return VisionEncoder(tower, layer=self.layer, keep_cls=self.keep_cls, side=side, name=self.checkpoint)

    def preprocessor(self) -> ImagePreprocessor:
        """What the checkpoint's images go through; for well-known hub ids without a network."""
        config = self._tower_config()
        known = hub.is_known(self.checkpoint)
        folder = None if known else hub.locate(self.checkpoint, self.revision, weights=False)
        return ImagePreprocessor(image_processor(folder, config), self.image_size, pad_to_square=self.pad_to_square)

    def _tower_config(self) -> PreTrainedConfig:
        config = _towers.tower_config(hub.architecture(self.checkpoint, self.revision))
        _towers.tower_class(config)
        return config


class VisionEncoder(BlockEncoder):
    """Images to the tokens of one layer of a vision tower.

    Args:
        tower: A tower of transformers, or timm's in its wrapper.
        layer: Hidden state that is read.
        keep_cls: Whether the class token stays.
        side: Side of the images in pixels.
        name: What errors call the tower.
    """

    def __init__(
        self, tower: PreTrainedModel, *, layer: _towers.Layer, keep_cls: bool, side: int, name: str = "vision"
    ) -> None:
        super().__init__()
        self.tower = tower
        self.layer = _state_index(tower, layer, name)
        self.keep_cls = keep_cls
        self.side, self.unit_shape = side, (3, side, side)
        self.interpolate = side != getattr(tower.config, "image_size", side)
        state, unread = self._probe(name)
        self.unread = frozenset(f"tower.{parameter}" for parameter in unread)
        self.prefix = 0 if state.ndim == 4 else _towers.prefix_tokens(tower, state.shape[1], side)
        if keep_cls and not self.prefix:
            raise PartError(f"{name}: keep_cls is set, but this tower has no class token; set keep_cls: false")
        self.tokens_per_block, self.dim = self._select(state).shape[1:]
        self.grid = None if keep_cls else _grid(state, self.tokens_per_block)

    def encode(self, units: Float[Tensor, "u c h w"]) -> Float[Tensor, "u p {self.dim}"]:
        """Encode normalised images, in the precision of the tower.

        Raises:
            PartError: The images have another side.
        """
        if units.shape[-2:] != (self.side, self.side):
            raise PartError(f"found images of {tuple(units.shape[-2:])} px, needed ({self.side}, {self.side})")
        state = _towers.hidden_state(self.tower, units.to(self.tower.dtype), self.layer, interpolate=self.interpolate)
        return self._select(state)

    def _select(self, state: Tensor) -> Tensor:
        if state.ndim == 4:
            return state.flatten(2).mT
        patches = state[:, self.prefix :]
        # Of several prefix tokens (registers, distillation) only the first is the class token.
        return torch.cat([state[:, :1], patches], dim=1) if self.keep_cls else patches

    def _probe(self, name: str) -> tuple[Tensor, frozenset[str]]:
        """The hidden state of one image and what it does not depend on, on the meta device: no weights, no work."""
        # A part may be built where gradients are off.
        with torch.inference_mode(False), torch.enable_grad(), torch.device("meta"):
            twin = type(self.tower)(self.tower.config).train(False)
            image = torch.empty(1, 3, self.side, self.side)
            try:
                state = _towers.hidden_state(twin, image, self.layer, interpolate=self.interpolate)
            except (AssertionError, RuntimeError, TypeError, ValueError) as error:
                cause = hub.first_line(error)
                raise PartError(f"{name}: this tower cannot read images of {self.side} px: {cause}") from error
            return state.detach(), _towers.unread(twin, state)


def _state_index(tower: PreTrainedModel, layer: _towers.Layer, name: str) -> _towers.Layer:
    """The layer counted from the embeddings, checked."""
    depth = _towers.depth(tower)
    if layer == "output":
        return layer
    if depth is None:
        raise PartError(f"{name}: layer {layer} is set, but only the last feature map can be read; set layer: output")
    index = layer if layer >= 0 else depth + 1 + layer
    first = _towers.first_state(tower)
    if not first <= index <= depth:
        raise PartError(
            f"{name}: found layer {layer}, needed {first} to {depth}, or {first - depth - 1} to -1 from the end, "
            f"or output: the tower has {depth} blocks"
        )
    return index


def _grid(state: Tensor, tokens: int) -> tuple[int, int] | None:
    if state.ndim == 4:
        return (state.shape[2], state.shape[3])
    rows = math.isqrt(tokens)
    return (rows, rows) if rows * rows == tokens else None
