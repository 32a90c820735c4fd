"""What rewards and reward models know of a record beside its turns, for all sources that read records."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pydantic import Field

from modalink import files, json_files
from modalink.conversation import Conversation
from modalink.data.origin import Fits, OriginConfig
from modalink.data.records import RecordSource
from modalink.errors import DataError, SampleError


class FactsConfig(OriginConfig):
    """Base of settings of records that have facts; either `path` or `dataset` is given."""

    facts: dict[str, str] = Field(default_factory=dict)
    """What rewards know of a record beside its turns: the fact's name -> its column, for example `{answer: solution}`.
    A column `facts` that holds a mapping is read too."""
    captions: str | None = None
    """JSON file that tells what media show: an object of captions, or of lists of them, by the end of a medium's path,
    as `train2017/1.jpg` or `1.jpg`. They are the fact `captions` of records that have no other."""

    def records(self, fits: Fits, needed: str, read: Callable[..., Conversation]) -> RecordSource:
        if self.captions is not None:
            self._known_captions  # noqa: B018  at once, and not at the first record
        return super().records(fits, needed, read)

    def told(self, record: dict[str, Any], conversation: Conversation) -> dict[str, Any]:
        """The facts of a record.

        Args:
            record: What stands in the file.
            conversation: What was read of it.

        Raises:
            SampleError: It lacks a column that holds one.
            DataError: The file of captions cannot be read.
        """
        if missing := [column for column in self.facts.values() if column not in record]:
            raise SampleError(conversation.id, "no_fact", f"found no column {missing[0]!r}, which `facts` names")
        own = record.get("facts")
        told = {**own} if isinstance(own, dict) else {}
        told |= {fact: record[column] for fact, column in self.facts.items()}
        if self.captions is not None and "captions" not in told and (found := self._captions_of(conversation)):
            told["captions"] = found
        return told

    def _captions_of(self, conversation: Conversation) -> list[str]:
        """What the file says of the media that are asked about."""
        media = (medium.source for turn, medium in conversation.media() if turn.role != "assistant")
        found = [self._caption(Path(source)) for source in media if isinstance(source, str | Path)]
        return [text for own in found for text in own]

    def _caption(self, path: Path) -> list[str]:
        """What it says of a path, by the longest end of it that it knows."""
        ends = ("/".join(path.parts[start:]) for start in range(len(path.parts)))
        known = next((self._known_captions[end] for end in ends if end in self._known_captions), [])
        return [known] if isinstance(known, str) else known

    @cached_property
    def _known_captions(self) -> dict[str, str | list[str]]:
        path = files.named(str(self.captions), DataError)
        return cast(dict[str, str | list[str]], json_files.read(path, DataError, dict[str, str | list[str]]))
