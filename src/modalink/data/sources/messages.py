"""Chat messages in the shape of Hugging Face and OpenAI: JSON, parquet, or a hub data set, at random or streamed."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from modalink import modalities
from modalink.conversation import Conversation, block_source
from modalink.data.arrow import ArrowRecords, RecordStream, load_dataset
from modalink.data.records import RecordSource, checked_messages, converted, open_records
from modalink.data.source import SourceConfig, media_folder, placed
from modalink.errors import SampleError


class MessagesConfig(SourceConfig):
    """Settings of message data; either `path` or `dataset` is given."""

    kind: Literal["messages"] = "messages"
    path: str | None = None
    """jsonl, json or parquet: a file, a folder or a pattern."""
    dataset: str | None = None
    """What `datasets.load_dataset` takes: a hub id or a local folder."""
    subset: str | None = None
    """Configuration of the hub data set."""
    split: str = "train"
    """Split of the hub data set."""
    revision: str | None = None
    """Commit or tag of the hub data set."""
    streaming: bool = False
    """Read the data set as it comes, without keeping it."""
    window: int = Field(default=1000, ge=1)
    """How many records of a stream are shuffled at a time; 1 keeps their order."""
    seed: int = 0
    """Decides the order within a stream's windows."""
    media: str | None = None
    """Folder that relative paths hang against; by default the file's own, for a data set the working folder."""
    column: str = "messages"
    """Column of the messages. Blocks of media without a source take theirs from columns such as `images` or `image`."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError(f"found path={self.path!r} and dataset={self.dataset!r}, needed exactly one of the two")
        if self.streaming and self.dataset is None:
            raise ValueError("files under `path` are read in place; streaming needs `dataset`")
        return self

    @property
    def name(self) -> str:
        """Kind and origin."""
        return f"{self.kind} {self.path or self.dataset}"

    def open(self) -> RecordSource | RecordStream:
        """Find the records, or begin the stream."""
        if self.path is not None:
            return RecordSource(open_records(self.path), self._reader(media_folder(self.media, self.path)))
        read = self._reader(Path(self.media or "").expanduser())
        name = str(self.dataset)
        found = load_dataset(
            name, subset=self.subset, split=self.split, revision=self.revision, streaming=self.streaming
        )
        if self.streaming:
            return RecordStream(found, partial(converted, convert=read), name, self.window, self.seed)
        return RecordSource(ArrowRecords(found, name), read)

    def _reader(self, folder: Path) -> partial[Conversation]:
        return partial(_read, column=self.column, folder=folder)


def _read(record: dict[str, Any], id: str, *, column: str, folder: Path) -> Conversation:
    messages = record.get(column)
    if not isinstance(messages, list):
        raise SampleError(id, "bad_messages", f"found {messages!r:.80} under {column!r}, needed a list of messages")
    conversation = checked_messages(_supplied(messages, record, id), id)
    return Conversation(tuple(replace(t, content=placed(t.content, folder)) for t in conversation.turns), id)


def _supplied(messages: list[Any], record: dict[str, Any], id: str) -> list[Any]:
    """The messages, with sources from the record's media columns put into the blocks that have none."""
    supply = {row.name: _column(record, row.columns) for row in modalities.records()}
    wanting = dict.fromkeys(supply, 0)

    def block(value: Any) -> Any:
        name = (
            modalities.of_block(value["type"])
            if isinstance(value, dict) and isinstance(value.get("type"), str)
            else None
        )
        if name not in supply or block_source(value) is not None:
            return value
        wanting[name] += 1
        sources = supply[name]
        return {**value, name: sources[wanting[name] - 1]} if wanting[name] <= len(sources) else value

    def message(value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("content"), list):
            return value
        return {**value, "content": [block(piece) for piece in value["content"]]}

    supplied = [message(value) for value in messages]
    for name, sources in supply.items():
        if wanting[name] != len(sources):
            detail = f"found {wanting[name]} {name} blocks without a source and {len(sources)} {name}s in columns"
            raise SampleError(id, "media_count", f"{detail}, needed as many of each")
    return supplied


def _column(record: dict[str, Any], columns: tuple[str, str]) -> list[Any]:
    value = next((record[name] for name in columns if record.get(name) is not None), None)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
