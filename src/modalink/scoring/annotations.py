"""What the rows of annotation files hold, as several benchmarks read it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modalink.errors import DataError, shown
from modalink.scoring.metrics.choice import LETTERS
from modalink.scoring.predictions import as_text, first_of, names_of
from modalink.scoring.rows import Row, read_rows


def field_of(fields: Mapping[str, Any], names: tuple[str, ...], where: str, what: str) -> Any:
    """The first present field, of those that may hold something an annotation needs.

    Raises:
        DataError: There is none.
    """
    for name in names:
        if name in fields:
            return fields[name]
    raise DataError(f"{where}: found fields {names_of(fields)}, needed {what} under {' or '.join(map(repr, names))}")


def text_of(fields: Mapping[str, Any], *names: str) -> str:
    """The first present field as text, "" where there is none."""
    name = first_of(fields, names)
    return str(fields[name]) if name else ""


def groups_of(fields: Mapping[str, Any], *families: str) -> tuple[tuple[str, str], ...]:
    """The sub-scores that a row counts for: those of the fields that are there and not empty."""
    return tuple((family, str(fields[family])) for family in families if fields.get(family) not in (None, ""))


def list_of(fields: Mapping[str, Any], name: str, where: str) -> list[Any]:
    """The list under a name, empty where there is none.

    Raises:
        DataError: It is something else.
    """
    value = fields.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise DataError(f"{where}: found {shown(value)} under {name!r}, needed a list")
    return value


def mapping_of(fields: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """The mapping under a name, empty where there is none.

    Raises:
        DataError: It is something else.
    """
    value = fields.get(name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{where}: found {shown(value)} under {name!r}, needed a mapping")
    return value


def whole_number(value: Any, where: str, what: str, of: range = range(1 << 62)) -> int:
    """A whole number that a file gives as number or as text.

    Raises:
        DataError: It is none, or not of the range.
    """
    if (isinstance(value, float) and value.is_integer()) or (
        isinstance(value, str) and value.strip().isdecimal() and len(value) < 20
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in of:
        most = f"a whole number from {of.start} to {of.stop - 1}" if of.stop < 1 << 62 else "a whole number"
        raise DataError(f"{where}: found {shown(value)} as {what}, needed {most}")
    return value


def rows_if_there(path: Path) -> Iterator[Row]:
    """The rows of a file that may lie beside the annotations; none where it does not."""
    return read_rows(path) if path.is_file() else iter(())


def annotators_answers(row: Row, names: tuple[str, ...] = ("answer",)) -> tuple[str, ...]:
    """The annotators' answers of a row: texts, or objects that hold each text."""
    entries = field_of(row.fields, ("answers", "gt_answers", "references"), row.where, "the annotators' answers")
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{row.where}: found {shown(entries)}, needed a list of the annotators' answers")
    texts = (field_of(e, names, row.where, "an answer") if isinstance(e, dict) else e for e in entries)
    return tuple(as_text(text, row.where) for text in texts)


def letter_of(answer: Any, where: str) -> str:
    """The letter of a right answer that a file gives as letter or as index from 0.

    Raises:
        DataError: It is neither.
    """
    if isinstance(answer, str) and len(answer) == 1 and answer in LETTERS:
        return answer
    try:
        return LETTERS[whole_number(answer, where, "right answer", range(26))]
    except DataError:
        raise DataError(f"{where}: found {shown(answer)} as right answer, needed a letter or an index from 0") from None


def option_columns(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of a table row with columns A, B, C, ...; as the official reader does, blanks and "nan" are none."""
    # pandas reads these cells as missing values, and so does everyone's count of the options.
    missing = {"", "NaN", "nan", "NA", "N/A", "n/a", "NULL", "null", "<NA>", "#N/A", "None"}
    choices = [str(fields[letter]) for letter in LETTERS if letter in fields]
    while choices and choices[-1] in missing:
        choices.pop()
    return tuple("" if text in missing else text for text in choices)
