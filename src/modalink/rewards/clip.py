"""How well a picture and words fit, by CLIP or an encoder of its kind.

Source: CLIPScore (arXiv 2104.08718, eq. 1).
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from modalink.rewards import RewardConfig
from modalink.rewards._similarity import SimilarityConfig
from modalink.rewards.compressibility import CompressibilityConfig
from modalink.scoring.metrics.clip_score import WEIGHT


class ClipConfig(SimilarityConfig):
    """CLIPScore of the last picture: 2.5 times the cosine, not below 0. Where words or media are lacking it is 0 or,
    where nothing was shown, says nothing."""

    modality: ClassVar[str] = "image"

    kind: Literal["clip"] = "clip"

    def tiny(self) -> RewardConfig:
        """How well pictures that were made compress stands for it: what ships embeds no words and media in one space.

        Raises:
            RecipeError: It judges pictures that were shown.
        """
        return CompressibilityConfig(weight=self.weight) if self.of == "made" else super().tiny()

    def value(self, cosine: float) -> float:
        """2.5 · max(cosine, 0)."""
        return WEIGHT * max(cosine, 0.0)

    def values(self, cosines: Float[Tensor, " i"]) -> Float[Tensor, " i"]:
        """2.5 · cosine."""
        return WEIGHT * cosines
