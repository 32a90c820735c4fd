"""Under which licences samples stand, by a column of their records."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample

_COLUMNS = ("license", "licence", "licenses", "licences", "license_name", "rights")
_UNKNOWN = "unknown"


class LicencesConfig(CheckConfig):
    """Settings of the check of licences."""

    kind: Literal["licences"] = "licences"
    column: str | None = None
    """Column of the licence; by default the first of those that are usually called so."""
    allowed: tuple[str, ...] = ()
    """Licences that may be used, in any case of letters; none: all may, and they are only counted."""

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Licences(self)


class _Licences(Check):
    def __init__(self, config: LicencesConfig) -> None:
        self._columns = _COLUMNS if config.column is None else (config.column,)
        self._allowed = {licence.casefold(): licence for licence in config.allowed}
        self._samples: Counter[str] = Counter()

    def look(self, sample: Sample) -> Iterator[Fault]:
        names = {str(name).lower(): name for name in sample.record}
        column = next((names[name.lower()] for name in self._columns if name.lower() in names), None)
        licence = str(sample.record[column]).strip() if column and sample.record[column] else _UNKNOWN
        self._samples[licence] += 1
        if self._allowed and licence.casefold() not in self._allowed:
            needed = " or ".join(self._allowed.values())
            yield Fault.of(sample, "licence", f"stands under the licence {licence:.60}, needed {needed}")

    def facts(self) -> dict[str, Any]:
        """Samples by licence."""
        return {"licences": dict(self._samples.most_common())}
