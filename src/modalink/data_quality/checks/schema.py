"""Records that are no conversations: broken lines, columns that are missing, markers and media that do not match."""

from collections.abc import Iterator
from typing import Literal

from modalink.conversation import Conversation
from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.errors import reason_of


class SchemaConfig(CheckConfig):
    """Settings of the check of records: what the source itself refuses, by its reasons."""

    kind: Literal["schema"] = "schema"

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Schema()


class _Schema(Check):
    def look(self, sample: Sample) -> Iterator[Fault]:
        error = sample.found
        if not isinstance(error, Conversation):
            yield Fault.of(sample, reason_of(error, sample.id)[1], str(error).removeprefix(f"{sample.id}: "))
