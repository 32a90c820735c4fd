"""Prompts with replies of which one is better, or each of which is good or bad, in the formats that people have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from modalink.data import preference_formats
from modalink.data.preference import Preference
from modalink.data.recognised import RecognisedConfig
from modalink.data.sources.tiny_world_preferences import TinyWorldPreferencesConfig


class PreferencesConfig(RecognisedConfig):
    """Settings of preference data; either `path` or `dataset` is given."""

    holds: ClassVar[str] = "preferences"
    kind: Literal["preferences"] = "preferences"

    @classmethod
    def formats(cls) -> Mapping[str, preference_formats.Format]:
        """The formats by name, in the order in which they are tried."""
        return preference_formats.formats()

    def tiny(self) -> TinyWorldPreferencesConfig:
        """Those of the tiny world."""
        return TinyWorldPreferencesConfig()

    def read(self, record: dict[str, Any], id: str, format: str, folder: Path) -> Preference:
        """A record of a format as a preference."""
        return preference_formats.read(record, id, format, folder=folder, place=self.place)
