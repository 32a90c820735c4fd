"""Questions with options: how they are asked and how files name the right one."""

from collections.abc import Mapping
from typing import Any

from modalink.errors import DataError
from modalink.scoring.benchmarks._base import Question
from modalink.scoring.metrics.choice import LETTERS

LETTER = "Answer with the option's letter from the given choices directly."


def lettered(choices: tuple[str, ...]) -> str:
    """The options, one a line, with their letters."""
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))


def letter_prompt(question: Question) -> str:
    """The question, its options, and LLaVA's line that asks for a letter."""
    return f"{question.text}\n{lettered(question.choices)}\n{LETTER}"


def letter_of(answer: Any, where: str) -> str:
    """The letter of a right answer that a file gives as letter or as index from 0.

    Raises:
        DataError: It is neither.
    """
    if isinstance(answer, str) and len(answer) == 1 and answer in LETTERS:
        return answer
    if isinstance(answer, int | str) and not isinstance(answer, bool) and str(answer).isdecimal() and int(answer) < 26:
        return LETTERS[int(answer)]
    raise DataError(f"{where}: found {answer!r:.60} as right answer, needed a letter or an index from 0")


def option_columns(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of a table row with columns A, B, C, ...; as the official reader does, blanks and "nan" are none."""
    # pandas reads these cells as missing values, and so does everyone's count of the options.
    missing = {"", "NaN", "nan", "NA", "N/A", "n/a", "NULL", "null", "<NA>", "#N/A", "None"}
    found = [str(fields[letter]) for letter in LETTERS if letter in fields]
    while found and found[-1] in missing:
        found.pop()
    return tuple("" if text in missing else text for text in found)
