"""Conversations in the formats that people have: JSON, CSV, parquet, or a hub data set, at random or streamed."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from modalink.conversation import Conversation, Medium, Turn, Use
from modalink.data import formats
from modalink.data.arrow import RecordStream
from modalink.data.facts import FactsConfig
from modalink.data.lookalike import seems
from modalink.data.records import RecordSource, converted
from modalink.errors import SampleError


class MessagesConfig(FactsConfig):
    """Settings of message data; either `path` or `dataset` is given."""

    kind: Literal["messages"] = "messages"
    streaming: bool = False
    """Read the data set as it comes, without keeping it."""
    window: int = Field(default=1000, ge=1)
    """How many records of a stream are shuffled at a time; 1 keeps their order."""
    seed: int = 0
    """Decides the order within a stream's windows."""
    format: Literal["auto"] | formats.Name = "auto"
    """How a record is written; by default told by its columns. `messages`: OpenAI's and Hugging Face's. `sharegpt`:
    also LLaVA's, InternVL's and Qwen-VL's. `alpaca`, `query_response`, `prompt_completion`: a column each."""
    place: formats.Place = "marker"
    """Where media of columns such as `images` or `image` stand: at their markers (`<image>`) or blocks. `first` puts
    those of a record without markers, or one that lacks its marker, before the first words of the user."""
    boxes: formats.Coordinates | None = None
    """How boxes of ms-swift's column `objects` are written: `thousand` (thousandths of the image's width and height),
    `unit` (shares of them), `pixel`; or `codec`, as the recipe's `prompt.coordinates` says, which knows what its
    encoder sees of a picture. By default records with boxes are refused."""
    column: str = "messages"
    """Column of the messages."""
    use: Use | None = None
    """What becomes of the assistant's media: `made`, `read`, or `both`: made, and read by what is said behind them. By
    default made where the system can make them, else read; what a medium says of itself (`use`) goes first."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns that the format calls otherwise, for example `{image: photo, prompt: question, completion: answer}`."""

    @model_validator(mode="after")
    def _streams_from_afar(self) -> Self:
        if self.streaming and self.dataset is None:
            raise ValueError("files under `path` are read in place; streaming needs `dataset`")
        return self

    def open(self) -> RecordSource | RecordStream:
        """Find the records, or begin the stream."""
        if not self.streaming:
            return self.records(self._fits, _NEEDED, self._read)
        convert = partial(converted, convert=partial(self._read, folder=self.media_folder()))
        return RecordStream(self.hub_data(streaming=True), convert, str(self.dataset), self.window, self.seed)

    def _named(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record, its columns called as its format calls them."""
        names = {"messages": self.column, **self.columns}
        taken = {name: record[own] for name, own in names.items() if own in record}
        return {**{name: value for name, value in record.items() if name not in names.values()}, **taken}

    def _format(self, record: dict[str, Any]) -> formats.Name | None:
        return formats.recognise(record) if self.format == "auto" else self.format

    def _fits(self, record: dict[str, Any]) -> bool:
        named = self._named(record)
        name = self._format(named)
        return name is not None and formats.FORMATS[name].fits(named) and not formats.is_preference(named)

    def _read(self, record: dict[str, Any], id: str, *, folder: Path) -> Conversation:
        named = self._named(record)
        name = self._format(named)
        if name is None or formats.is_preference(named):
            raise SampleError(id, "bad_messages", f"fits no format of conversations; {seems(named)}")
        conversation = formats.read(named, id, name, folder=folder, place=self.place, boxes=self.boxes)
        used = conversation if self.use is None else _used(conversation, self.use)
        return replace(used, facts=self.told(record, used))


def _used(conversation: Conversation, use: Use) -> Conversation:
    """The same conversation, the assistant's media used so where they say nothing themselves."""

    def one(turn: Turn) -> Turn:
        content = (replace(p, use=p.use or use) if isinstance(p, Medium) else p for p in turn.content)
        return replace(turn, content=tuple(content)) if turn.role == "assistant" else turn

    return replace(conversation, turns=tuple(map(one, conversation.turns)))


_NEEDED = (
    "of a conversation (messages, conversations, instruction and output, query and response, or prompt and completion)"
)
