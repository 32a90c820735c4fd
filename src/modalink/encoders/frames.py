"""Any image encoder, frame by frame: a video becomes the tokens of its frames, one block a frame."""

from typing import Annotated, Any, Literal

from modalink.encoders._sampling import FramesPreprocessor, FramesSpec
from modalink.ragged import Layout
from modalink.recipe.kind_field import Kinds
from modalink.roles import Encoder, EncoderConfig


class FramesConfig(EncoderConfig):
    """Settings of an image encoder that reads videos frame by frame; images are read as its own encoder reads them."""

    kind: Literal["frames"] = "frames"
    checkpoint: Literal["none"] = "none"
    """None of its own: its encoder has one."""
    encoder: Annotated[EncoderConfig, Kinds("modalink.encoders", inside="frames", without=("video", "tiles"))]
    """What reads each frame: one encoder, or several side by side (`kind: several`)."""
    frames: FramesSpec = FramesSpec()
    """Which frames are read."""

    def reads(self) -> frozenset[str]:
        """Videos, and what its encoder reads: a system may use it for images, too (`use: video`)."""
        return self._each.reads() | {"video"}

    def tiny(self) -> "FramesConfig":
        """The tiny form of its encoder, on fewer frames."""
        frames = self.frames.replace(count=min(4, self.frames.count))
        return self.model_copy(update={"encoder": self.encoder.tiny(), "frames": frames})

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """Its encoder's checkpoints."""
        return self.encoder.checkpoints()

    def build(self, *, weights: bool = True) -> Encoder:
        """Its encoder, which takes frames for images; each frame is encoded by itself."""
        return self._each.build(weights=weights)

    def side_px(self) -> int | None:
        """Its encoder's."""
        return self._each.side_px()

    def sized(self, side_px: int) -> "FramesConfig":
        """The same with its encoder for frames of another side."""
        return self.model_copy(update={"encoder": self.encoder.sized(side_px)})

    def adapted(self, encoder: Encoder) -> Encoder:
        """As its encoder's."""
        return self._each.adapted(encoder)

    def describe(self) -> dict[str, Any]:
        """What decides how its encoder's outputs lie: which frames are read decides nothing here."""
        return {"encoder": self._each.describe()}

    def miniature(self) -> Encoder | None:
        """Its encoder's miniature."""
        return self._each.miniature()

    def preprocessor(self) -> FramesPreprocessor:
        """What frames of a video go through, and images."""
        return FramesPreprocessor(self.frames, self._each.preprocessor())

    def typical(self) -> Layout:
        """A few frames, one a second."""
        count = min(4, self.frames.count)
        return self._each.typical().repeated([float(second) for second in range(count)])

    @property
    def _each(self) -> EncoderConfig:
        """What reads a frame, of an encoder that reads more than images."""
        return self.encoder.for_modality("image")
