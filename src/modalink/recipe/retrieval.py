"""What is looked up in an index before a question is read."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from modalink.kinds import Count, Settings
from modalink.recipe.kind_field import Kinds
from modalink.roles.retriever import RetrieverConfig

Score = Annotated[float, Field(ge=-1, le=1)]


class RetrievalSpec(Settings):
    """What is looked up before a question is read, and where it is put."""

    retriever: Annotated[RetrieverConfig, Kinds("modalink.retrievers")]
    """Finds entries of an index that lie near to the last thing that the user says or shows."""
    neighbours: Count = 1
    """How many entries are shown, at most; they stand before the question, the nearest last."""
    show: Literal["both", "media", "text", "nothing"] = "both"
    """What of an entry is shown; media only of modalities that the system reads. `nothing` where entries stand beside
    the states of output projectors alone (`outputs.*.states.neighbours`)."""
    text: str = "[{source}] {text}\n"
    """How an entry's words are written, behind its media: `{number}` counts what is shown from 1, `{source}` is where
    the entry comes from."""
    at_least: Score = -1.0
    """Entries that are less near are not shown; the nearest possible is 1."""
    answer_at: Score | None = None
    """From this nearness on the nearest entry is the answer itself, and the LLM is not asked; never if not set."""
    leave_out_at: Score | None = None
    """In training, entries that are at least so near are left out, too, such as copies in other pixels. The sample
    itself always is."""

    @field_validator("text")
    @classmethod
    def _can_be_filled(cls, text: str) -> str:
        try:
            text.format(number=1, source="", text="")
        except (LookupError, ValueError, AttributeError) as error:
            raise ValueError(f"found {text!r}, needed text with {{number}}, {{source}} and {{text}} at most") from error
        return text
