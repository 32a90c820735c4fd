"""Settings of records that stand in files or in a hub data set, for all sources that read either."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import model_validator

from modalink.conversation import Conversation
from modalink.data.arrow import ArrowRecords, load_dataset
from modalink.data.lookalike import check_fits, open_fitting
from modalink.data.records import SUFFIXES, RecordSource
from modalink.data.source import SourceConfig, files_of, media_folder

Fits = Callable[[dict[str, Any]], bool]


class OriginConfig(SourceConfig):
    """Base of settings of which either `path` or `dataset` is given."""

    suffixes: ClassVar[Sequence[str]] = SUFFIXES
    """Names of files that hold its records."""

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

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError(f"found path={self.path!r} and dataset={self.dataset!r}, needed exactly one of the two")
        return self

    @property
    def name(self) -> str:
        """Kind and origin."""
        return f"{self.kind} {self.path or self.dataset}"

    def files(self) -> list[Path]:
        """Those under `path`, or of a data set in a local folder."""
        return files_of(str(self.path or self.dataset))

    def media_folder(self) -> Path:
        """The folder that relative paths hang against."""
        return Path(self.media or "").expanduser() if self.path is None else media_folder(self.media, self.path)

    def hub_data(self, *, streaming: bool = False) -> Any:
        """What `datasets` loads; arguments and errors as for `load_dataset`."""
        return load_dataset(
            str(self.dataset), subset=self.subset, split=self.split, revision=self.revision, streaming=streaming
        )

    def records(self, fits: Fits, needed: str, read: Callable[..., Conversation]) -> RecordSource:
        """The records of files or of a hub data set, at random.

        Args:
            fits: Whether a record is one of this source's.
            needed: What such a record is, for errors.
            read: Makes a conversation of a record; it is given the record, its name, and by `folder` the folder that
                relative paths hang against.

        Raises:
            DataError: There are none, or the first fits no format.
        """
        read = partial(read, folder=self.media_folder())
        if self.path is not None:
            return RecordSource(open_fitting(self.path, fits, needed, self.suffixes), read)
        records = ArrowRecords(self.hub_data(), str(self.dataset))
        check_fits(records, fits, needed, str(self.dataset))
        return RecordSource(records, read)
