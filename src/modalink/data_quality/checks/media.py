"""Media that cannot be opened, or break where they are decoded."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.errors import MediumError


class MediaConfig(CheckConfig):
    """Settings of the check of media."""

    kind: Literal["media"] = "media"
    opened_only: tuple[str, ...] = ("video",)
    """Modalities whose media are opened and not decoded, since that takes long."""

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Media(self.opened_only)


class _Media(Check):
    def __init__(self, opened_only: tuple[str, ...]) -> None:
        self._opened_only = opened_only
        self._count: Counter[str] = Counter()

    def look(self, sample: Sample) -> Iterator[Fault]:
        for medium in sample.media:
            self._count[medium.modality] += 1
            result = medium.handle if medium.modality in self._opened_only else medium.decoded
            if isinstance(result, MediumError):
                yield Fault.of(sample, result.reason, str(result))

    def facts(self) -> dict[str, Any]:
        """How many media there are of each modality."""
        return {"media": dict(self._count.most_common())}
