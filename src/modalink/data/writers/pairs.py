"""A table of media and captions, which asks in words of its own; the request of a conversation is not kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from modalink import modalities
from modalink.conversation import Conversation, Medium
from modalink.data.pairing import TablePairs
from modalink.data.sources.pairs import PairsConfig, PairSource
from modalink.data.writer import WriterConfig, cannot_carry


class PairsWriterConfig(WriterConfig):
    """Settings of the writer of captions.

    It takes a request to describe one medium with its description, or one to make it (`direction: draw`), in words
    that the source `pairs` chooses itself.
    """

    kind: Literal["pairs"] = "pairs"
    modality: str = modalities.DEFAULT
    """What the media are."""
    direction: Literal["caption", "draw"] = "caption"
    """Whether media are described or made."""
    prompts: tuple[str, ...] | None = None
    """Requests to describe that the source is given, where they are not the modality's."""
    requests: tuple[str, ...] | None = None
    """Requests to make that the source is given, where they are not the modality's."""
    seed: int = 0
    """What decides, in the source, which request a sample gets."""
    any_request: bool = False
    """Whether requests in all words are taken, which are lost: the source asks in words of its own."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        modalities.get(self.modality)
        return self

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record: `id`, the modality's column and `caption`."""
        media = [medium for _, medium in conversation.media()]
        if len(media) != 1 or media[0].modality != self.modality or len(conversation.turns) != 2:
            raise cannot_carry(conversation, self.kind, f"needed a request and its answer about one {self.modality}")
        return {"id": conversation.id, self.modality: media[0].source, "caption": self._caption(conversation, media[0])}

    def carried(self, conversation: Conversation, folder: Path) -> dict[str, Any]:
        """The record, proven; with `any_request` in whatever words is asked."""
        if self.any_request:
            asked = self.read(self.record(conversation), conversation.id, folder).turns[0]
            media = [piece for piece in conversation.turns[0].content if isinstance(piece, Medium)]
            words = [piece for piece in asked.content if not isinstance(piece, Medium)]
            asked = replace(conversation.turns[0], content=(*media, *words))
            conversation = replace(conversation, turns=(asked, *conversation.turns[1:]))
        return super().carried(conversation, folder)

    def _caption(self, conversation: Conversation, medium: Medium) -> str:
        if self.direction == "caption":
            return conversation.turns[1].text
        if medium.caption is None:
            raise cannot_carry(conversation, self.kind, "its medium has no caption, from which it would be made")
        return medium.caption

    def read(self, record: dict[str, Any], id: str, folder: Path) -> Conversation:
        """What the source `pairs` makes of a record."""
        config = PairsConfig.model_validate({"path": str(folder), **self._settings()})
        return PairSource(config, TablePairs(_One(record, id), folder, self.modality, "caption"))[0]

    def source(self, path: Path) -> dict[str, Any]:
        """The source `pairs`."""
        return {"source": "pairs", "path": str(path.parent), "captions": path.name, **self._settings()}

    def _settings(self) -> dict[str, Any]:
        fields = ("modality", "direction", "prompts", "requests", "seed")
        return {name: getattr(self, name) for name in fields if name in self.model_fields_set}


class _One:
    """One record."""

    def __init__(self, record: dict[str, Any], id: str) -> None:
        self._record, self._id = record, id

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._record

    def where(self, index: int) -> str:
        return self._id
