"""Prompts with replies of which one is better, or each of which is good or bad, in the formats that people have."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from modalink.data import preference_formats
from modalink.data.formats import Place
from modalink.data.origin import OriginConfig
from modalink.data.preference import Preference
from modalink.data.records import RecordSource
from modalink.data.sources.tiny_world_preferences import TinyWorldPreferencesConfig
from modalink.errors import SampleError, UnknownNameError


class PreferencesConfig(OriginConfig):
    """Settings of preference data; either `path` or `dataset` is given."""

    kind: Literal["preferences"] = "preferences"
    format: str = "auto"
    """How a record is written; by default told by its columns."""
    place: Place = "marker"
    """Where media of columns such as `images` or `image` stand: at their markers (`<image>`) or blocks. `first` puts
    those of a record without markers before the first words of the user. Some formats tell it themselves."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns that the format calls otherwise, for example `{prompt: question, chosen: better, rejected: worse}`."""

    @field_validator("format")
    @classmethod
    def _known(cls, name: str) -> str:
        known = ["auto", *preference_formats.formats()]
        if name not in known:
            raise ValueError(str(UnknownNameError("format of preferences", name, known)))
        return name

    @model_validator(mode="after")
    def _learned_whole(self) -> Self:
        if self.prefix:
            raise ValueError("found prefix: true; replies that are compared are learned whole, leave it out")
        return self

    def tiny(self) -> TinyWorldPreferencesConfig:
        """Those of the tiny world."""
        return TinyWorldPreferencesConfig()

    def open(self) -> RecordSource:
        """Find the records."""
        needed = " or ".join(format.NEEDED for format in preference_formats.formats().values())
        return self.records(self._fits, needed, self._read)

    def _named(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record, its columns called as its format calls them."""
        taken = {name: record[own] for name, own in self.columns.items() if own in record}
        return {**{name: value for name, value in record.items() if name not in self.columns.values()}, **taken}

    def _format(self, record: dict[str, Any]) -> str | None:
        return preference_formats.recognise(record) if self.format == "auto" else self.format

    def _fits(self, record: dict[str, Any]) -> bool:
        name = self._format(named := self._named(record))
        return name is not None and preference_formats.find(name).fits(named)

    def _read(self, record: dict[str, Any], id: str, *, folder: Path) -> Preference:
        name = self._format(named := self._named(record))
        if name is None:
            raise SampleError(id, "bad_record", f"fits no format of preferences; it has {', '.join(map(str, named))}")
        return preference_formats.read(named, id, name, folder=folder, place=self.place)
