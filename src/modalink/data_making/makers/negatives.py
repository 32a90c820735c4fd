"""Questions about what is not there, which cure the habit of saying yes: LRV-Instruction (arXiv 2306.14565)."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from modalink.data_making.maker import Known
from modalink.data_making.makers._rounds import RoundsConfig
from modalink.data_making.replies import bad, words_of
from modalink.data_quality.words import words

_AFFIRMS = re.compile(r"\W*(?:yes|yeah|yep|sure|indeed|right|correct)\b", re.IGNORECASE)


class NegativesMakerConfig(RoundsConfig):
    """Settings of questions about what is not there; each reply names the thing, to be looked for in what is known."""

    kind: Literal["negatives"] = "negatives"
    wanted: str = (
        "Write questions that take for granted a thing that is not there, or a wrong property of one that is, and "
        "answers that say so and what is there instead. Name under `absent` the thing or property that is not there."
    )
    least: int = 2
    most: int = 6

    @property
    def form(self) -> str:
        """With what is not there."""
        return '{"question": "...", "answer": "...", "absent": "..."}'

    def check(self, row: dict[str, Any], known: Sequence[Known]) -> None:
        """What is said to be absent must not be known of, must be asked about, and must not be affirmed."""
        absent = words_of(row, "absent", known)
        inside = f" {' '.join(words(absent))} "
        if inside in f" {' '.join(words(known[0].text))} ":
            raise bad(known, f"says that {absent!r} is not there, and what is known names it")
        if not {*words(absent)} & {*words(str(row.get("question")))}:
            raise bad(known, f"says that {absent!r} is not there, and does not ask about it")
        if _AFFIRMS.match(str(row.get("answer"))):
            raise bad(known, f"affirms {absent!r}, which is not there")
