"""`query` and `response`: ms-swift's, with `history`, `system` and media."""

from typing import Any, ClassVar, Literal

from modalink.conversation import Conversation
from modalink.data import formats
from modalink.data.writers import _marked
from modalink.data.writers._chat import ChatWriterConfig
from modalink.data.writers._rounds import rounds_of


class QueryResponseWriterConfig(ChatWriterConfig):
    """Settings of the writer of ms-swift's queries and responses."""

    kind: Literal["query_response"] = "query_response"
    name: ClassVar[formats.Name] = "query_response"

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record; the last round is the query and its response, those before the history."""
        said = rounds_of(conversation, self.kind)
        (query, response), history = said.rounds[-1], [*map(list, said.rounds[:-1])]
        beside = {"system": said.system, "history": history}
        columns = _marked.columns(conversation, self.kind)
        return columns | {"query": query, "response": response} | {k: v for k, v in beside.items() if v}
