"""Prompt tokens where placeholders stand in the LLM's embedded input, as LLaVA and most systems have it.

Source: survey arXiv 2401.13601, section 2.2; learned vectors behind an item: mPLUG-Owl (arXiv 2304.14178), around it:
CogVLM (arXiv 2311.03079); media before all text: BLIP-2 (arXiv 2301.12597).
"""

from collections.abc import Sequence
from typing import Literal

from transformers import PreTrainedModel

from modalink.llms.joins._spliced import Spliced, SplicedConfig
from modalink.llms.joins._vectors import Vectors


class SpliceConfig(SplicedConfig):
    """Prompt tokens in the place of placeholders."""

    kind: Literal["splice"] = "splice"

    def tiny(self) -> "SpliceConfig":
        """The same."""
        return self

    def build(self, llm: PreTrainedModel, modalities: Sequence[str]) -> Spliced:
        """A join with the vectors that the settings ask for."""
        return Spliced(Vectors.of(llm, modalities, begin=self.begin, end=self.end))
