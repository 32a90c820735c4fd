"""Towers that read a clip of frames at once: VideoMAE (arXiv 2203.12602), TimeSformer (2102.05095), ViViT (2103.15691).

A clip becomes a block of tokens for each of its slices in time, row by row: a frame, or as many as a tubelet is deep.
"""

from dataclasses import replace
from math import prod
from typing import Any, Literal

import torch
import transformers
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from modalink import hub
from modalink.encoders import _towers
from modalink.encoders._images import ImagePreprocessor, image_processor
from modalink.encoders._sampling import FramesPreprocessor, FramesSpec
from modalink.errors import PartError
from modalink.kinds import Count
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder, EncoderConfig

_FAMILIES = ("videomae", "timesformer", "vivit")
# What stands behind the tower in checkpoints for reconstruction and classification.
_HEADS = (r"^(decoder|encoder_to_decoder|mask_token|position_embeddings|classifier|fc_norm|pooler)(\.|$)",)
_SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_PATCHES = 6
"""Rows and columns of a miniature's patches."""


class VideoConfig(EncoderConfig):
    """Settings of a video tower, read at its last layer."""

    kind: Literal["video"] = "video"
    clips: Count = 1
    """How many clips are read, one after the other; each has as many frames as the tower takes."""
    sampling: Literal["uniform", "segments"] = "uniform"
    """Where the frames lie: in the middles of equal segments, or in training at a drawn place of each."""

    def reads(self) -> frozenset[str]:
        """Videos."""
        return frozenset({"video"})

    def tiny(self) -> "VideoConfig":
        """The zoo's tower."""
        return self.from_zoo("video").at_most(clips=2)

    def build(self, *, weights: bool = True) -> "VideoEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is no video tower, or its weights do not fit.
        """
        config = self._tower_config()
        kind = _tower_class(config)
        names = {"allow_missing": (r"^pooler\.",), "allow_unexpected": _HEADS}
        return VideoEncoder(_towers.own_tower(self, kind, config, weights=weights, **names))

    def describe(self) -> dict[str, Any]:
        """The tower's own configuration: weights and preprocessing decide nothing here."""
        architecture = {key: value for key, value in self._tower_config().to_dict().items() if key != "_name_or_path"}
        return {"architecture": architecture}

    def miniature(self) -> "VideoEncoder":
        """The tower's own class and configuration, with few, narrow blocks, few frames and small pictures."""
        full = self._tower_config()
        data = {key: value for key, value in full.to_dict().items() if key not in ("model_type", "architectures")}
        patch, depth = _patch(full)
        frames = depth if full.num_frames % (2 * depth) else 2 * depth
        small = _SMALL | {"image_size": patch * _PATCHES, "num_frames": frames}
        return VideoEncoder(_tower_class(full)(type(full)(**(data | small))))

    def preprocessor(self) -> FramesPreprocessor:
        """What the checkpoint's frames go through, as many as its clips have."""
        config = self._tower_config()
        folder = hub.locate(self.checkpoint, self.revision, weights=False)
        each = ImagePreprocessor(image_processor(folder, config), _side(config))
        count = self.clips * config.num_frames
        return FramesPreprocessor(FramesSpec(sampling=self.sampling, count=count), each)

    def typical(self) -> Layout:
        """One frame a second, of which clips of this tower and of its miniature can be made."""
        count = self.clips * self._tower_config().num_frames
        return Layout.of_units(count, times_s=tuple(map(float, range(count))))

    def _tower_config(self) -> PreTrainedConfig:
        config = hub.architecture(self.checkpoint, self.revision)
        _tower_class(config)
        return config


class VideoEncoder(Encoder):
    """Clips of frames to the tokens of their slices; a clip is encoded by itself, an item is one or several.

    Args:
        tower: A tower of transformers.
    """

    def __init__(self, tower: PreTrainedModel) -> None:
        super().__init__()
        self.tower = tower
        config = tower.config
        patch, self.depth = _patch(config)
        self.clip: int = config.num_frames
        self.dim: int = config.hidden_size
        side = _side(config)
        self.unit_shape = (config.num_channels, side, side)
        self.grid = (side // patch, side // patch)
        self.unread = _unread(tower, self.clip, self.unit_shape)

    def layout(self, item: Layout) -> Layout:
        """A block of tokens for each slice of each clip.

        Raises:
            PartError: Its frames are not those of whole clips.
        """
        if item.units % self.clip:
            raise PartError(f"found {item.units} frames, needed a multiple of {self.clip}: the tower reads whole clips")
        times_s = None if item.times_s is None else item.times_s[:: self.depth]
        blocks = (prod(self.grid),) * (item.units // self.depth)
        return replace(item, blocks=blocks, grid=self.grid, times_s=times_s)

    def forward(self, items: Ragged) -> Ragged:
        """The tokens of all items, their clips encoded together."""
        layouts = [self.layout(item) for item in items.layouts]
        clips = items.values.unflatten(0, (-1, self.clip)).to(self.tower.dtype)
        return items.with_values(self._tokens(clips).flatten(0, 1), layouts)

    def _tokens(self, clips: Float[Tensor, "i f c h w"]) -> Float[Tensor, "i p {self.dim}"]:
        state: Tensor = self.tower(pixel_values=clips).last_hidden_state
        slices, patches = self.clip // self.depth, prod(self.grid)
        tokens = state[:, state.shape[1] - slices * patches :]
        if self.tower.config.model_type == "timesformer":  # which keeps the frames of a patch together
            return tokens.unflatten(1, (patches, slices)).transpose(1, 2).flatten(1, 2)
        return tokens


def _tower_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    if config.model_type not in _FAMILIES:
        known = ", ".join(_FAMILIES)
        raise PartError(f"found a checkpoint of type {config.model_type!r}, needed a video tower: {known}")
    if getattr(config, "attention_type", None) == "space_only":
        raise PartError("found a TimeSformer whose frames do not see each other; needed one with attention over time")
    kind: type[PreTrainedModel] = getattr(transformers, type(config).__name__.removesuffix("Config") + "Model")
    return kind


def _patch(config: PreTrainedConfig) -> tuple[int, int]:
    """Side of a patch in pixels, and how many frames it is deep."""
    if config.model_type == "vivit":
        return config.tubelet_size[1], config.tubelet_size[0]
    side = config.patch_size
    return side if isinstance(side, int) else side[0], getattr(config, "tubelet_size", 1)


def _side(config: PreTrainedConfig) -> int:
    side = config.image_size
    return side if isinstance(side, int) else side[0]


def _unread(tower: PreTrainedModel, frames: int, shape: tuple[int, ...]) -> frozenset[str]:
    """Parameters that no token depends on, found without weights."""
    with torch.inference_mode(False), torch.enable_grad(), torch.device("meta"):
        bare = type(tower)(tower.config)
        state = bare(pixel_values=torch.empty(1, frames, *shape)).last_hidden_state
        return frozenset(f"tower.{name}" for name in _towers.unread(bare, state))
