"""What sources share whose records are written in formats that are recognised by their columns."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from pydantic import Field, field_validator, model_validator

from modalink.conversation import Conversation
from modalink.data.facts import FactsConfig
from modalink.data.formats import Place
from modalink.data.records import RecordSource
from modalink.errors import SampleError, UnknownNameError


@runtime_checkable
class Recognised(Protocol):
    """One format."""

    @property
    def NEEDED(self) -> str:
        """Its columns, for people."""

    def fits(self, record: dict[str, Any]) -> bool:
        """Whether a record has them."""


class RecognisedConfig(FactsConfig):
    """Settings of such data; either `path` or `dataset` is given."""

    holds: ClassVar[str]
    """What the records are, for people."""

    format: str = "auto"
    """How a record is written; by default told by its columns."""
    place: Place = "marker"
    """Where media of columns such as `images` or `image` stand: at their markers (`<image>`) or blocks. `first` puts
    those of a record without markers before the first words of the user. Some formats tell it themselves."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns that the format calls otherwise, for example `{prompt: question, chosen: better, rejected: worse}`."""

    @classmethod
    @abstractmethod
    def formats(cls) -> Mapping[str, Recognised]:
        """The formats by name, in the order in which they are tried."""

    @abstractmethod
    def read(self, record: dict[str, Any], id: str, format: str, folder: Path) -> Conversation:
        """A record of a format as what is learned from.

        Raises:
            SampleError: It has another form.
        """

    @field_validator("format")
    @classmethod
    def _known(cls, name: str) -> str:
        known = ["auto", *cls.formats()]
        if name not in known:
            raise ValueError(str(UnknownNameError(f"format of {cls.holds}", name, known)))
        return name

    @model_validator(mode="after")
    def _learned_whole(self) -> Self:
        if self.prefix:
            raise ValueError("found prefix: true; replies that are judged are learned whole, leave it out")
        return self

    def open(self) -> RecordSource:
        """Find the records."""
        needed = " or ".join(format.NEEDED for format in self.formats().values())
        return self.records(self._fits, needed, self._read)

    def _named(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record, its columns called as its format calls them."""
        taken = {name: record[own] for name, own in self.columns.items() if own in record}
        return {**{name: value for name, value in record.items() if name not in self.columns.values()}, **taken}

    def _format(self, record: dict[str, Any]) -> str | None:
        if self.format != "auto":
            return self.format
        return next((name for name, format in self.formats().items() if format.fits(record)), None)

    def _fits(self, record: dict[str, Any]) -> bool:
        name = self._format(named := self._named(record))
        return name is not None and self.formats()[name].fits(named)

    def _read(self, record: dict[str, Any], id: str, *, folder: Path) -> Conversation:
        name = self._format(named := self._named(record))
        if name is None:
            raise SampleError(id, "bad_record", f"fits no format of {self.holds}; it has {', '.join(map(str, named))}")
        read = self.read(named, id, name, folder)
        return replace(read, facts={**read.facts, **self.told(record, read)})
