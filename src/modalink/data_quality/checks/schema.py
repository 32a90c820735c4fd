"""Records that are no conversations: broken lines, columns that are missing, markers and media that do not match."""

from collections.abc import Iterator
from typing import Literal

from modalink.conversation import Conversation
from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.errors import MediumError, SampleError


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
            reason = error.reason if isinstance(error, SampleError | MediumError) else "bad_record"
            yield Fault.of(sample, reason, str(error).removeprefix(f"{sample.id}: "))
