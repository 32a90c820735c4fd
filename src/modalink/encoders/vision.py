"""Any vision tower of transformers (CLIP, SigLIP, ViT, DINOv2, BEiT, EVA-g of BLIP-2) or timm, read at one layer."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from modalink import hub
from modalink.encoders import _miniature, _towers
from modalink.encoders._images import ImagePreprocessor, image_processor
from modalink.encoders._probing import verify
from modalink.encoders._reading import Reading, UnreadableError, find
from modalink.errors import PartError
from modalink.kinds import Width
from modalink.roles import BlockEncoder, Encoder, EncoderConfig


class VisionConfig(EncoderConfig):
    """Settings of a vision tower."""

    kind: Literal["vision"] = "vision"
    layer: int | Literal["output"] | Annotated[tuple[int, ...], Field(min_length=2, max_length=64)] = -2
    """Hidden state that is read: -1 is the last block's, -2 the one before, 0 the embeddings; `output` is the tower's
    own result after its final norm, and the only choice for convolutional towers. Of several, such as `[-2, -1]`, each
    token holds one behind the other along its width."""
    keep_cls: bool = False
    """Whether the class token stays, in front of the patches."""
    image_size: Width | None = None
    """Side of the images in pixels, if not the checkpoint's own; learned positions are interpolated."""
    prefix: str | None = None
    """How the names of the tower's tensors begin in the checkpoint of a whole model with several, such as
    `video_tower.`; if not set, as in whole models that are known."""
    pad_to_square: bool = False
    """Whether images are filled to squares with the mean colour, instead of cropped or squashed."""

    def reads(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> "VisionConfig":
        """The zoo's tower, read at its last layer, or its last two where several are read."""
        layer = (-2, -1) if isinstance(self.layer, tuple) else -1
        return self.from_zoo("vision", layer=layer, image_size=None, prefix=None)

    def build(self, *, weights: bool = True) -> "VisionEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The tower lacks that layer, a class token, or a way to read images of that side.
        """
        config, side = self._form()
        kind = _towers.tower_class(config)
        trace = Trace.of(kind, config, self.layer, side, self.checkpoint)
        found = verify(self)
        if not found.facts:
            raise PartError(f"{self.checkpoint}: how its hidden states lie is not known: {found.reason}")
        if weights:
            tower = _towers.load_tower(kind, config, self.checkpoint, self.revision, self.dtype, prefix=self.prefix)
        else:
            tower = _towers.random_tower(kind, config, self.dtype)
        return VisionEncoder(
            tower, Reading(**found.facts), trace, keep_cls=self.keep_cls, side=side, name=self.checkpoint
        )

    def side_px(self) -> int:
        """The checkpoint's own, or what is set."""
        return self.preprocessor().side

    def sized(self, side_px: int) -> "VisionConfig":
        """The same tower for images of another side; its table of positions stays, and is interpolated."""
        return self.replace(image_size=side_px)

    def adapted(self, encoder: Encoder) -> "VisionEncoder":
        """The same tower, which reads images of this side.

        Raises:
            PartError: It cannot.
        """
        assert isinstance(encoder, VisionEncoder)
        config, side = self._form()
        if _towers.is_fixed(encoder.tower, config):
            raise PartError(
                f"{self.checkpoint}: timm must be told that images may have other sides; set image_size: "
                f"{encoder.side} in the encoder's settings, too"
            )
        trace = Trace.of(_towers.tower_class(config), config, self.layer, side, self.checkpoint)
        return VisionEncoder(
            encoder.tower, encoder.reading, trace, keep_cls=self.keep_cls, side=side, name=self.checkpoint
        )

    def describe(self) -> dict[str, Any]:
        """The layer, and the tower's own configuration: weights and preprocessing decide nothing here."""
        config, side = self._form()
        architecture = {key: value for key, value in config.to_dict().items() if key != "_name_or_path"}
        return {"layer": self.layer, "side": side, "architecture": architecture}

    def miniature(self) -> "VisionEncoder | None":
        """The tower's own class and configuration, with few, narrow blocks and small images.

        Raises:
            PartError: The tower lacks that layer.
            UnreadableError: How its hidden states lie cannot be told for sure.
        """
        config, side = self._form()
        kind = _towers.tower_class(config)
        with torch.device("meta"), hub.building(f"{self.checkpoint}: its architecture cannot be built"):
            full = kind(config)
        index, depth = _state_index(full, self.layer, self.checkpoint), _towers.depth(full) or 0

        def smaller(state: int, blocks: int) -> int:
            # The same layer counted from the end, or, near the beginning, from there.
            return state if state <= 1 else max(1, blocks - (depth - state))

        def small_index(tower: PreTrainedModel) -> _towers.Layers:
            blocks = _towers.depth(tower) or 0
            if isinstance(index, tuple):
                return tuple(smaller(each, blocks) for each in index)
            return index if index == "output" else smaller(index, blocks)

        def run(tower: PreTrainedModel, images: Tensor) -> Tensor:
            return _towers.hidden_state(tower, images, small_index(tower), interpolate=False)

        small = _miniature.miniature(kind, config, side, run)
        if small is None:
            return None
        tower, layer = small.tower, small_index(small.tower)
        if not _towers.is_blocks_output(tower, torch.randn(1, 3, small.side, small.side), layer):
            raise UnreadableError(f"its hidden state {index} is not what its block {index} gives; set layer: output")
        reasons = []
        for _ in _miniature.redraws(small):
            try:
                reading = find(small.encode, small.side, small.cells)
                break
            except UnreadableError as error:
                reasons.append(error)
        else:
            raise reasons[0]
        trace = Trace.of(kind, tower.config, layer, small.side, self.checkpoint)
        return VisionEncoder(tower, reading, trace, keep_cls=False, side=small.side, name=self.checkpoint)

    def preprocessor(self) -> ImagePreprocessor:
        """What the checkpoint's images go through; for well-known hub ids without a network."""
        config = self._tower_config()
        known = hub.is_known(self.checkpoint)
        folder = None if known else hub.locate(self.checkpoint, self.revision, weights=False)
        return ImagePreprocessor(image_processor(folder, config), self.image_size, pad_to_square=self.pad_to_square)

    def _form(self) -> tuple[PreTrainedConfig, int]:
        """The tower's configuration, and the side of its images in pixels."""
        config, side = self._tower_config(), self.preprocessor().side
        return (config if self.image_size is None else _towers.resizable(config)), side

    def _tower_config(self) -> PreTrainedConfig:
        config = _towers.tower_config(hub.architecture(self.checkpoint, self.revision))
        _towers.tower_class(config)
        return config


class Trace(NamedTuple):
    """One image through a tower on the meta device: no weights, no work."""

    layer: _towers.Layers
    """Number of the hidden state that is read, or of several; 0 is the embeddings."""
    state: Tensor
    """The hidden state."""
    unread: frozenset[str]
    """Parameters that it does not depend on."""

    @classmethod
    def of(
        cls, kind: type[PreTrainedModel], config: PreTrainedConfig, layer: _towers.Layers, side: int, name: str
    ) -> "Trace":
        """Trace one image.

        Raises:
            PartError: The tower lacks that layer, or a way to read images of that side.
        """
        # A part may be built where gradients are off.
        with torch.inference_mode(False), torch.enable_grad(), torch.device("meta"):
            with hub.building(f"{name}: its architecture cannot be built"):
                tower = kind(config).train(False)
            index = _state_index(tower, layer, name)
            image = torch.empty(1, 3, side, side)
            try:
                with hub.foreign(PartError, f"{name}: this tower cannot read images of {side} px"):
                    state = _towers.hidden_state(tower, image, index, interpolate=_interpolates(config, side))
            except UnreadableError as error:
                raise PartError(f"{name}: {error}") from error
            return cls(index, state.detach(), _towers.unread(tower, state))


class VisionEncoder(BlockEncoder):
    """Images to the tokens of one layer of a vision tower.

    Args:
        tower: A tower of transformers, or timm's in its wrapper.
        reading: How its hidden state lies.
        trace: Which state is read, and what it depends on.
        keep_cls: Whether the class token stays.
        side: Side of the images in pixels.
        name: What errors call the tower.
    """

    def __init__(
        self, tower: PreTrainedModel, reading: Reading, trace: Trace, *, keep_cls: bool, side: int, name: str
    ) -> None:
        super().__init__()
        self.tower, self.reading, self.layer, self.keep_cls = tower, reading, trace.layer, keep_cls
        self.facts = asdict(reading)
        self.side, self.unit_shape = side, (3, side, side)
        self.interpolate = _interpolates(tower.config, side)
        self.unread = frozenset(f"tower.{parameter}" for parameter in trace.unread)
        if keep_cls and not _towers.has_class_token(tower, reading.before):
            raise PartError(f"{name}: keep_cls is set, but this tower has no class token; set keep_cls: false")
        try:
            grid = reading.grid(trace.state, 1)
        except PartError as error:
            raise PartError(f"{name}: {error}") from error
        self.grid = None if keep_cls else grid
        self.tokens_per_block, self.dim = self._select(trace.state).shape[1:]

    def encode(self, units: Float[Tensor, "u c h w"]) -> Float[Tensor, "u p {self.dim}"]:
        """Encode normalised images, in the precision of the tower.

        Raises:
            PartError: The images have another side.
        """
        if units.shape[-2:] != (self.side, self.side):
            raise PartError(f"found images of {tuple(units.shape[-2:])} px, needed ({self.side}, {self.side})")
        state = _towers.hidden_state(self.tower, units.to(self.tower.dtype), self.layer, interpolate=self.interpolate)
        return self._select(state, len(units))

    def _select(self, state: Tensor, images: int = 1) -> Tensor:
        patches = self.reading.patches(state, images)
        # Of several tokens in front (registers, distillation) only the first is the class token.
        return torch.cat([self.reading.sequence(state, images)[:, :1], patches], dim=1) if self.keep_cls else patches


def _state_index(tower: PreTrainedModel, layer: _towers.Layers, name: str) -> _towers.Layers:
    """The layer counted from the embeddings, or each of several, checked."""
    if isinstance(layer, tuple):
        return tuple(_number(tower, each, name) for each in layer)
    return layer if layer == "output" else _number(tower, layer, name)


def _number(tower: PreTrainedModel, layer: int, name: str) -> int:
    depth = _towers.depth(tower)
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


def _interpolates(config: PreTrainedConfig, side: int) -> bool:
    """Whether images have another side than the position table."""
    known = getattr(config, "image_size", side)
    return side != (known if isinstance(known, int) else known[0])
