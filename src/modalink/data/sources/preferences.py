"""Prompts with replies of which one is better, or each of which is good or bad, in the formats that people have."""

from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from modalink.data import preference_formats
from modalink.data.arrow import ArrowRecords, load_dataset
from modalink.data.formats import Place
from modalink.data.lookalike import check_fits, open_fitting
from modalink.data.preference import Preference
from modalink.data.records import RecordSource
from modalink.data.source import SourceConfig, files_of, media_folder
from modalink.data.sources.tiny_world_preferences import TinyWorldPreferencesConfig
from modalink.errors import SampleError, UnknownNameError


class PreferencesConfig(SourceConfig):
    """Settings of preference data; either `path` or `dataset` is given."""

    kind: Literal["preferences"] = "preferences"
    path: str | None = None
    """jsonl, json, csv, tsv or parquet: a file, a folder or a pattern."""
    dataset: str | None = None
    """What `datasets.load_dataset` takes: a hub id or a local folder."""
    subset: str | None = None
    """Configuration of the hub data set."""
    split: str = "train"
    """Split of the hub data set."""
    revision: str | None = None
    """Commit or tag of the hub data set."""
    media: str | None = None
    """Folder that relative paths hang against; by default the file's own, for a data set the working folder."""
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
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError(f"found path={self.path!r} and dataset={self.dataset!r}, needed exactly one of the two")
        if self.prefix:
            raise ValueError("found prefix: true; replies that are compared are learned whole, leave it out")
        return self

    @property
    def name(self) -> str:
        """Kind and origin."""
        return f"{self.kind} {self.path or self.dataset}"

    def tiny(self) -> TinyWorldPreferencesConfig:
        """Those of the tiny world."""
        return TinyWorldPreferencesConfig()

    def files(self) -> list[Path]:
        """Those under `path`, or of a data set in a local folder."""
        return files_of(str(self.path or self.dataset))

    def open(self) -> RecordSource:
        """Find the records."""
        needed = " or ".join(format.NEEDED for format in preference_formats.formats().values())
        if self.path is not None:
            read = partial(self._read, folder=media_folder(self.media, self.path))
            return RecordSource(open_fitting(self.path, self._fits, needed), read)
        name = str(self.dataset)
        records = ArrowRecords(
            load_dataset(name, subset=self.subset, split=self.split, revision=self.revision, streaming=False), name
        )
        check_fits(records, self._fits, needed, name)
        return RecordSource(records, partial(self._read, folder=Path(self.media or "").expanduser()))

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
