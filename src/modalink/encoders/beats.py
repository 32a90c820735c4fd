"""BEATs: sounds of all kinds, from filter banks (arXiv 2212.09058), as X-InstructBLIP reads them."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import Field, ValidationError
from torch import Tensor

from modalink import hub
from modalink.encoders._beats import BANDS, NAMES, REST, Architecture, Beats, beginning
from modalink.encoders._fbank import FRAME, HOP, RATE_HZ, fbank, frames
from modalink.encoders._sounds import SoundConfig, SoundPreprocessor, encoded
from modalink.encoders.whisper import WhisperConfig
from modalink.errors import PartError, shown
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder

_MEAN, _DEVIATION = 15.41663, 2 * 6.55582
"""Of the filter banks, on samples of 16 bits."""
_PATTERNS = {beginning(authors): ours.replace("*", r"\1") for authors, ours in NAMES.items()}
_SMALL = {"embed_dim": 32, "encoder_embed_dim": 64, "encoder_ffn_embed_dim": 128, "encoder_layers": 2}
_SMALL |= {"encoder_attention_heads": 4, "conv_pos_groups": 4}


class BeatsConfig(SoundConfig):
    """Settings of BEATs, read behind its last block.

    Its checkpoint is a folder, or a hub id, that holds one of the authors' files, such as `BEATs_iter3_plus_AS2M.pt`.
    """

    kind: Literal["beats"] = "beats"
    window_seconds: float = Field(default=10.24, ge=0.16, le=3600)
    """Longer sounds are cut in windows of this length, rounded down to whole patches (16 frames of 10 ms), each encoded
    by itself. Memory grows with its square."""
    sizes: Literal["checkpoint", "released"] = "checkpoint"
    """Where the network's sizes come from: the checkpoint's file, or `released`: all that were released have the same,
    so that a recipe can be built and counted without the file."""

    def tiny(self) -> WhisperConfig:
        """The zoo's encoder of sounds, which is Whisper's."""
        return WhisperConfig(checkpoint="zoo:audio", drop_padding=False)

    def build(self, *, weights: bool = True) -> "BeatsEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is none of BEATs.
        """
        form = self._architecture()
        if not weights:
            tower = Beats(form).eval()
            return BeatsEncoder(tower if self.dtype == "auto" else tower.to(getattr(torch, self.dtype)))
        tower = hub.load_original(
            lambda: Beats(form),
            self.checkpoint,
            names=_PATTERNS,
            revision=self.revision,
            dtype=self.dtype,
            within=("model",),
            allow_unexpected=REST,
        )
        return BeatsEncoder(tower)

    def describe(self) -> dict[str, Any]:
        """The architecture: weights and windows decide nothing here."""
        return {"architecture": self._architecture().model_dump(mode="json")}

    def miniature(self) -> "BeatsEncoder":
        """The same network with two narrow blocks."""
        return BeatsEncoder(Beats(self._architecture().replace(**_SMALL)))

    def typical(self) -> Layout:
        """A little more than a second of sound."""
        count = 8 * self._architecture().input_patch_size
        return Layout(count, (count,), times_s=(0.0,))

    def preprocessor(self) -> "BeatsPreprocessor":
        """The filter banks of a sound."""
        return BeatsPreprocessor(self._architecture().input_patch_size, self.window_seconds, self.max_seconds)

    def _architecture(self) -> Architecture:
        if self.sizes == "released":
            return Architecture()
        settings = hub.settings_beside(self.checkpoint, "cfg", revision=self.revision)
        try:
            return Architecture.model_validate(settings)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name, detail = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
            found = f"found cfg.{name} {shown(first['input'])}, of BEATs " if name else ""
            raise PartError(f"{self.checkpoint}: {found}{detail}") from None


class BeatsPreprocessor(SoundPreprocessor):
    """The filter bank of a sound, normalised; its last frames that fill no patch are left out, as the authors do.

    Args:
        side: Frames of a patch.
        window_seconds: Longer sounds are cut.
        max_seconds: Longer sounds are refused.
    """

    def __init__(self, side: int, window_seconds: float, max_seconds: float) -> None:
        facts = {"rate_hz": RATE_HZ, "bands": BANDS, "mean": _MEAN, "deviation": _DEVIATION, "side": side}
        super().__init__(RATE_HZ, FRAME + (side - 1) * HOP, max_seconds, facts)
        self.side = side
        self.window = max(1, round(window_seconds * RATE_HZ) // (HOP * side)) * side

    def laid(self, samples: int) -> Layout:
        """A row for each frame; a block for each window, of its frames."""
        count = self._frames(samples)
        starts = range(0, count, self.window)
        blocks = tuple(min(self.window, count - start) for start in starts)
        return Layout(count, blocks, times_s=tuple(start * HOP / RATE_HZ for start in starts))

    def made(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "u mel"]:
        """The frames."""
        found = fbank(samples * np.float32(2**15), BANDS, window="povey")[: self._frames(len(samples))]
        return (found - _MEAN) / _DEVIATION

    def _frames(self, samples: int) -> int:
        return frames(samples) // self.side * self.side


class BeatsEncoder(Encoder):
    """Frames to tokens: a row for each 160 ms, of eight tokens from low frequencies to high.

    Args:
        tower: The network.
    """

    def __init__(self, tower: Beats) -> None:
        super().__init__()
        self.tower = tower
        self.dim: int = tower.form.encoder_embed_dim
        self.unit_shape = (BANDS,)
        # Without a table of distances nothing asks how much they count.
        silent = tower.form.gru_rel_pos and not tower.form.relative_position_embedding
        names = [name for name, _ in tower.named_parameters()] if silent else []
        self.unread = frozenset(f"tower.{name}" for name in names if ".gate" in name)

    def layout(self, item: Layout) -> Layout:
        """The patches of each window; on a grid where all have as many."""
        rows = [count // self.tower.side for count in item.blocks]
        grid = (rows[0], self.tower.rows) if len({*rows}) == 1 else None
        return Layout(item.units, tuple(n * self.tower.rows for n in rows), grid, times_s=item.times_s)

    def forward(self, items: Ragged) -> Ragged:
        """Encode frames, in the precision of the tower."""
        layouts = [self.layout(layout) for layout in items.layouts]
        windows = items.values.to(self.tower.norm.weight.dtype).split(
            [count for layout in items.layouts for count in layout.blocks]
        )
        states = encoded(windows, self.tower, masked=True)
        counts = (count for layout in layouts for count in layout.blocks)
        return items.with_values(torch.cat([state[:n] for state, n in zip(states, counts, strict=True)]), layouts)
