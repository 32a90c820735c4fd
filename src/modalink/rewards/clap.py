"""How well a sound and words fit, by CLAP or an encoder of its kind."""

from typing import ClassVar, Literal

from modalink.rewards._similarity import SimilarityConfig


class ClapConfig(SimilarityConfig):
    """Cosine of the last sound and the words in the encoder's space. Where words or media are lacking it is 0 or, where
    nothing was shown, says nothing."""

    modality: ClassVar[str] = "audio"

    kind: Literal["clap"] = "clap"

    def value(self, cosine: float) -> float:
        """The cosine as it is."""
        return cosine
