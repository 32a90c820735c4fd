"""In what scripts samples are written, and letters that were decoded wrongly."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample

# UTF-8 that was read as Latin-1 or Windows-1252: the first byte of two or three, and a second that no text has there.
_MISREAD = re.compile(r"[ÂÃ][\u0080-\u00bf]|â(?:€[\u0080-\u00bf\u2018-\u2122œžš™]|[\u0080-\u00bf]{2})|\ufffd")
_JAPANESE = frozenset({"hiragana", "katakana"})


class LanguagesConfig(CheckConfig):
    """Settings of the check of languages; a script is called as Unicode calls it, for example `latin` or `cjk`.

    Chinese is `cjk`; where kana stand, all is `japanese`.
    """

    kind: Literal["languages"] = "languages"
    scripts: tuple[str, ...] = ()
    """Scripts of which most letters of a sample must be; none: all are right, and only counted."""

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Languages(frozenset(script.lower() for script in self.scripts))


class _Languages(Check):
    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._samples: Counter[str] = Counter()

    def look(self, sample: Sample) -> Iterator[Fault]:
        if sample.conversation is None:
            return
        said = sample.said()
        script = main_script(said)
        self._samples[script] += 1
        if self._wanted and script not in self._wanted and script != "none":
            yield Fault.of(
                sample, "other_script", f"is written in {script}, needed {' or '.join(sorted(self._wanted))}"
            )
        if found := _MISREAD.search(said):
            shown = said[max(0, found.start() - 20) : found.end() + 20]
            yield Fault.of(sample, "misread_letters", f"found {shown!r}, letters that were decoded wrongly")

    def facts(self) -> dict[str, Any]:
        """Samples by the script of most of their letters; `none` has no letters."""
        return {"scripts": dict(self._samples.most_common())}


def main_script(text: str) -> str:
    """The script of most letters of a text; `none` where there are no letters."""
    counts = Counter(script for letter in text if letter.isalpha() for script in (_script(letter),))
    if kana := sum(counts[script] for script in _JAPANESE):
        counts["japanese"] = kana + counts.pop("cjk", 0)
    return max(counts, key=lambda script: counts[script], default="none")


@lru_cache(2**16)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "unknown").split()[0].split("-")[0].lower()
