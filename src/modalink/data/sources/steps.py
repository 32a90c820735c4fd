"""Replies whose steps are judged one by one, in the formats that people have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from modalink.data.preference_formats import turns_of
from modalink.data.recognised import RecognisedConfig
from modalink.data.sources.tiny_world_steps import TinyWorldStepsConfig
from modalink.data.step_formats import FORMATS, StepFormat
from modalink.data.steps import Stepped


class StepsConfig(RecognisedConfig):
    """Settings of data for process rewards; either `path` or `dataset` is given."""

    holds: ClassVar[str] = "steps"
    kind: Literal["steps"] = "steps"
    separator: Annotated[str, Field(min_length=1)] = "\n\n"
    """What stands behind each step, where its worth is read; the reward that uses the model is told the same."""
    threshold: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    """A step whose worth is above it is right, another wrong (VisualPRM: 0, right where any continuation ended right);
    None learns the worth itself. Where there is only right and wrong nothing hangs on it."""

    def tiny(self) -> TinyWorldStepsConfig:
        """Those of the tiny world."""
        return TinyWorldStepsConfig(separator=self.separator)

    @classmethod
    def formats(cls) -> Mapping[str, StepFormat]:
        """The formats by name, in the order in which they are tried."""
        return FORMATS

    def read(self, record: dict[str, Any], id: str, format: str, folder: Path) -> Stepped:
        """A record of a format as a reply in steps."""
        found = FORMATS[format].read(record, id)
        prompt = turns_of(found.prompt, record, id, "first" if format == "visual_prm" else self.place, folder)
        return Stepped.of(prompt, found.steps, [self._judged(worth) for worth in found.worth], self.separator, id)

    def _judged(self, worth: float | None) -> float | None:
        return worth if worth is None or self.threshold is None else float(worth > self.threshold)
