"""ImageBind: pictures, videos, sounds, words and more in one space, each through its own tower (arXiv 2305.05665).

One encoder serves several modalities of a system (`use: image`), as in PandaGPT and NExT-GPT: it holds one copy of each
tower that is needed, and pictures and videos share theirs.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from modalink import hub, json_files, modalities
from modalink.encoders import _clips, _sensors, _sentences
from modalink.encoders._imagebind import (
    CLIP_FRAMES,
    MEL_BINS,
    MEL_FRAMES,
    NAMES,
    SERIES,
    SIDE,
    STEPS,
    VOCABULARY,
    WORDS,
    Architecture,
    Tower,
    towers,
)
from modalink.errors import PartError, RecipeError, shown
from modalink.kinds import Count
from modalink.ragged import Layout, Ragged
from modalink.roles import BlockEncoder, EncoderConfig, Preprocessor

Modality = Literal["image", "video", "audio", "sentence", "depth", "thermal", "imu"]
TOWERS: dict[str, str] = {
    "image": "vision",
    "video": "vision",
    "audio": "audio",
    "sentence": "text",
    "depth": "depth",
    "thermal": "thermal",
    "imu": "imu",
}
"""The tower that reads a modality."""
_HUGE = ("nielsr/imagebind-huge",)
"""Hub ids of ImageBind-Huge, whose architecture needs no network."""
_TOKENIZER = "openai/clip-vit-base-patch32"
"""CLIP's tokenizer, with which the tower of words was trained."""
_IN_THE_ZOO = ("image", "video", "audio")
"""Modalities of which the zoo's unified encoder has a tower."""
_SMALL = {"embed_dim": 32, "num_blocks": 2, "num_heads": 4}


class ImageBindConfig(EncoderConfig):
    """Settings of ImageBind."""

    kind: Literal["imagebind"] = "imagebind"
    modalities: tuple[Modality, ...] = Field(default=("image", "video", "audio"), min_length=1)
    """What it reads: only the towers of these are loaded. The first is the one that it reads unless asked for another,
    best the one that has it in the recipe. `depth`, `thermal` and `imu` are modalities of your own, see
    docs/encoders.md; words are read as `sentence`, and have an embedding alone."""
    features: Literal["pooled", "class", "trunk"] = "pooled"
    """`pooled`: the embedding of the shared space (of ImageBind-Huge 1,024 wide), normalised, times the factor of the
    tower where it has one; `class`: the class token behind the tower's last block, as wide as the tower (BuboGPT);
    `trunk`: all tokens of that block."""
    average: bool = True
    """Whether the clips of a video or sound have one embedding or class token, their mean (PandaGPT, NExT-GPT); else
    one each (Video-LLaMA, BuboGPT). Of `trunk`, the tokens of all clips stand one behind the other."""
    keep_cls: bool = True
    """Whether the class token stays in front of the others, of `trunk`."""
    video_clips: Count = 5
    """Clips of two seconds, evenly over a video; of each the first and the last frame are read."""
    video_crops: Literal[1, 3] = 3
    """Squares of each clip: the middle one, or also those at both ends of the long side."""
    audio_clips: Count = 3
    """Clips of two seconds, evenly over a sound."""
    depth_disparity: float = Field(default=38.9, gt=0, le=1e6)
    """Disparity in pixels of what is one metre away: focal length in pixels times the distance of the cameras in
    metres; by default that of a Kinect (518.9 px, 0.075 m)."""

    tokenizer: str | None = None
    """Folder or hub id of the tokenizer of sentences, CLIP's; None: that in the checkpoint's folder, or else
    openai/clip-vit-base-patch32's."""

    @model_validator(mode="after")
    def _sentences_have_an_embedding_alone(self) -> "ImageBindConfig":
        if "sentence" in self.modalities and self.features != "pooled":
            raise ValueError(
                f"found features: {self.features} and sentences, which have an embedding alone; set features: pooled, "
                "or leave sentence out of modalities"
            )
        return self

    def reads(self) -> frozenset[str]:
        """Those that are set."""
        return frozenset(self.modalities)

    def reading_all(self) -> "ImageBindConfig":
        """The same with a tower for everything that ImageBind reads."""
        return self.replace(modalities=tuple(TOWERS), features="pooled")

    def tiny(self) -> EncoderConfig:
        """The zoo's unified encoder, of the modalities that it reads: all tokens of one clip, where this one may give a
        vector, which would tell too little of so small an encoder.

        Raises:
            RecipeError: It reads none of them.
        """
        read = tuple(modality for modality in self.modalities if modality in _IN_THE_ZOO)
        if self.modalities[0] not in read:
            raise RecipeError(f"the zoo has no encoder of {self.modalities[0]}; leave that input out")
        one = {"video_clips": 1, "video_crops": 1, "audio_clips": 1}
        return self.from_zoo("unified", modalities=read, features="trunk", keep_cls=False, **one)

    def for_modality(self, modality: str) -> "ImageBindConfig":
        """The same for one modality, whose tower alone it has.

        Raises:
            PartError: It does not read it.
        """
        return self.replace(modalities=(_read_as(modality, self.modalities),))

    def build(self, *, weights: bool = True) -> "ImageBindEncoder":
        """The towers, with the checkpoint's weights or only their architecture.

        Raises:
            PartError: The checkpoint is none of ImageBind.
        """
        architecture = self._architecture()
        if not weights:
            encoder = self._built(architecture)
            return encoder if self.dtype == "auto" else encoder.to(getattr(torch, self.dtype))
        others = architecture.forms().keys() - self._towers()
        return hub.load_original(
            lambda: self._built(architecture),
            self.checkpoint,
            revision=self.revision,
            dtype=self.dtype,
            names=NAMES,
            allow_unexpected=(rf"^towers\.({'|'.join(sorted(others))})\.",),
        )

    def describe(self) -> dict[str, Any]:
        """The architecture, and what is read of it."""
        own = self.model_dump(mode="json", include={"modalities", "features", "average", "keep_cls"})
        return own | {"architecture": self._architecture().model_dump(mode="json")}

    def miniature(self) -> "ImageBindEncoder":
        """The same towers with two narrow blocks."""
        full = self._architecture()
        small = {key: _SMALL[last] for key in type(full).model_fields for last in _SMALL if key.endswith(last)}
        return self._built(full.replace(**small))

    def typical(self) -> Layout:
        """As many clips as are read of a video or sound, one a second."""
        clips = {"video": self.video_clips * self.video_crops, "audio": self.audio_clips}.get(self.modalities[0])
        if clips is None:
            return Layout.of_units(1)
        return Layout.of_units(clips, times_s=tuple(map(float, range(clips))))

    def preprocessor(self) -> Preprocessor:
        """What the first of its modalities goes through."""
        match self.modalities[0]:
            case "video":
                return _clips.VideoPreprocessor(SIDE, self.video_clips, self.video_crops)
            case "audio":
                return _clips.SoundClipsPreprocessor(self.audio_clips, MEL_BINS, MEL_FRAMES)
            case "depth":
                return _sensors.DepthPreprocessor(SIDE, self.depth_disparity)
            case "thermal":
                return _sensors.ThermalPreprocessor(SIDE)
            case "imu":
                return _sensors.SeriesPreprocessor(SERIES, STEPS)
            case "sentence":
                return _sentences.SentencePreprocessor(*self._tokenizer(), WORDS, VOCABULARY)
            case _:
                return _clips.PicturePreprocessor(SIDE)

    def _tokenizer(self) -> tuple[str, str | None]:
        """Where the tokenizer is, and its revision."""
        if self.tokenizer is not None:
            return self.tokenizer, None
        own = hub.locate(self.checkpoint, self.revision, weights=False)
        return (self.checkpoint, self.revision) if _sentences.has_tokenizer(own) else (_TOKENIZER, None)

    def _towers(self) -> set[str]:
        return {TOWERS[modality] for modality in self.modalities}

    def _built(self, architecture: Architecture) -> "ImageBindEncoder":
        return ImageBindEncoder(towers(architecture, self._towers()), self)

    def _architecture(self) -> Architecture:
        if self.checkpoint in _HUGE:
            return Architecture()
        return _architecture(hub.locate(self.checkpoint, self.revision, weights=False), self.checkpoint)


class ImageBindEncoder(BlockEncoder):
    """Units of one modality to tokens or embeddings; `for_modality` reads another with the same towers.

    Args:
        each: The towers by name; those that its modalities need.
        config: What is read, and what of it is given.
    """

    def __init__(self, each: nn.ModuleDict, config: ImageBindConfig) -> None:
        super().__init__()
        self.config, self.modality = config, config.modalities[0]
        names = {TOWERS[modality] for modality in config.modalities}
        self.towers = nn.ModuleDict({name: tower for name, tower in each.items() if name in names})
        form = self._tower.form
        trunk, drop_cls = config.features == "trunk", not config.keep_cls
        headless = config.features != "pooled"
        self.unit_shape = form.unit if self.modality != "image" else (form.unit[0], *form.unit[2:])
        self.dim = form.width if headless else self._tower.project.out_features
        self.tokens_per_block = form.tokens + (0 if drop_cls else 1) if trunk else 1
        self.grid = form.grid if trunk and drop_cls else None
        heads = ("norm.weight", "norm.bias", "project.weight")
        self.unread = frozenset(f"towers.{name}.{head}" for name in names for head in heads if headless)

    @property
    def _tower(self) -> Tower:
        tower = self.towers[TOWERS[self.modality]]
        assert isinstance(tower, Tower)
        return tower

    def for_modality(self, modality: str) -> "ImageBindEncoder":
        """The same tower as it reads one modality.

        Raises:
            PartError: It does not read it.
        """
        config = self.config.for_modality(modality)
        return self if config == self.config else ImageBindEncoder(self.towers, config)

    def layout(self, item: Layout) -> Layout:
        """One embedding for an item or for each of its clips, or a block of tokens for each."""
        if self.config.features != "trunk" and self.config.average:
            return Layout(item.units, (1,))
        return super().layout(item)

    def encode(self, units: Float[Tensor, "u ..."]) -> Float[Tensor, "u p {self.dim}"]:
        """The tokens, or the embedding, of each unit, in the precision of the tower."""
        tower = self._tower
        if self.modality == "sentence":
            ids = units.long().clamp(0, VOCABULARY - 1)
            return tower.embedded(tower(ids), ids.argmax(1))[:, None]  # the token that ends a text has the last number
        units = units.to(tower.positions.dtype)
        if self.modality == "image":  # a clip that stands still
            units = units[:, :, None].expand(-1, -1, CLIP_FRAMES, -1, -1)
        tokens = tower(units)
        if self.config.features == "pooled":
            return tower.embedded(tokens)[:, None]
        if self.config.features == "class":
            return tokens[:, :1]
        return tokens if self.config.keep_cls else tokens[:, 1:]

    def forward(self, items: Ragged) -> Ragged:
        """The tokens of all items, their units encoded together."""
        if self.config.features == "trunk" or not self.config.average:
            return super().forward(items)
        embeddings = self.encode(items.values).split(list(items.lengths))
        return items.with_values(torch.cat([each.mean(0) for each in embeddings]), [*map(self.layout, items.layouts)])


def _read_as(modality: str, among: tuple[str, ...]) -> Modality:
    found: Any = modality if modality in among else modalities.get(modality).taken_for(among)
    if found is None:
        raise PartError(f"found the modality {modality!r}; this ImageBind reads {', '.join(among)}: set modalities")
    return found


def _architecture(folder: Path, checkpoint: str) -> Architecture:
    """The sizes that a checkpoint's config.json tells; ImageBind-Huge's where there is none, as beside the original."""
    path = folder / "config.json"
    if not path.is_file():
        return Architecture()
    data: dict[str, Any] = json_files.read(path, lambda detail: PartError(f"{checkpoint}: {detail}"), dict[str, Any])
    if (found := data.get("model_type", "imagebind")) != "imagebind":
        raise PartError(f"{checkpoint}: found a checkpoint of type {shown(found)}, needed ImageBind's")
    try:
        return Architecture.model_validate({key: data[key] for key in Architecture.model_fields if key in data})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise PartError(f"{path}: {place + ': ' if place else ''}{first['msg']}") from None
