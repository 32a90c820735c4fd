"""What a model answered, as prediction files tell it: one reply for one question."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalink.errors import DataError, brief, shown
from modalink.scoring.rows import Row, read_rows

IDS = ("question_id", "questionId", "qid", "id", "pid", "index", "uid", "image_id", "image", "video_id", "video_name")
"""Names under which files of the field keep the id of a question, the likelier first."""
REPLIES = ("prediction", "pred", "text", "response", "reply", "output", "caption", "pred_answer", "answer", "value")
"""Names under which they keep the reply; `answer` late, because it often is the right one beside a prediction."""
INSIDE = ("results", "predictions")
"""Names under which an object may hold all replies."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One reply, not yet parsed, and the keys by which its question may be known."""

    where: str
    keys: tuple[str, ...]
    reply: Any
    field: str
    """The name under which the file kept the reply."""
    question: str = ""
    """The question's text, where the file repeats it."""
    answer_id: str = ""
    """What the file calls the reply, where it does, as LLaVA's files do."""
    part: str = ""
    """The part of the benchmark that it is of, where its file tells: one that is not annotated is left out."""


def identity(value: Any, where: str) -> str:
    """An id as text: 17, 17.0 and "17" are the same question.

    Raises:
        DataError: It is neither text nor a whole number.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{where}: found {shown(value)} as id, needed text or a whole number")
    return str(value)


def as_text(value: Any, where: str) -> str:
    """A reply as text; numbers are written out, for some models' answers are numbers.

    Raises:
        DataError: It is missing, not a number (NaN), or of a type that is no reply.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    raise DataError(f'{where}: found {shown(value)} as reply, needed text; an empty reply is written as ""')


def as_number(value: Any, where: str) -> float:
    """A reply as a finite number.

    Raises:
        DataError: It is no number, or NaN, or infinite.
    """
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: found {shown(value)}, needed a finite number")
    return number


def as_probability(value: Any, where: str) -> float:
    """A reply as a number from 0 to 1.

    Raises:
        DataError: It is no such number.
    """
    number = as_number(value, where)
    if not 0 <= number <= 1:
        raise DataError(f"{where}: found {number:g}, needed a probability from 0 to 1")
    return number


def first_of(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of the names that the fields have, "" if none."""
    return next((name for name in names if name in fields), "")


def row_id(row: Row, names: tuple[str, ...], named: str = "") -> str:
    """The id of a row, "" where it has none.

    Args:
        row: The row.
        names: Names of fields that may hold it, the likelier first.
        named: The name that a user gave, which every row needs to have.

    Raises:
        DataError: The field that the user named is not there, or holds no id.
    """
    if named and named not in row.fields:
        raise DataError(f"{row.where}: found {names_of(row.fields)}, needed {shown(named)}, the option id_field")
    if row.key is not None and not named:
        return row.key
    name = named or first_of(row.fields, names)
    return identity(row.fields[name], row.where) if name else ""


def names_of(fields: Mapping[str, Any]) -> str:
    """The names of a row's fields, as a message shows them."""
    few = ", ".join(map(shown, itertools.islice(fields, 12)))
    return few + (", ..." if len(fields) > 12 else "") or "nothing"


def read_predictions(
    path: Path,
    ids: tuple[str, ...] = IDS,
    replies: tuple[str, ...] = REPLIES,
    inside: tuple[str, ...] = INSIDE,
    content: tuple[str, ...] = (),
    id_field: str = "",
) -> Iterator[Prediction]:
    """The replies of a prediction file.

    Args:
        path: The file; see `read_rows` for its formats.
        ids: Names that may hold the id, the likelier first.
        replies: Names that may hold the reply, the likelier first.
        inside: Names under which an object may hold its rows.
        content: Names of fields that tell a question by its content, for rows without an id.
        id_field: The name that a user gave for the id.

    Raises:
        DataError: A row has no reply, or not the id that the user named.
    """
    for row in read_rows(path, inside):
        name = first_of(row.fields, replies)
        if not name:
            raise DataError(
                f"{row.where}: found {names_of(row.fields)}, needed a reply: {', '.join(map(brief, replies))}"
            )
        key = row_id(row, ids, id_field)
        if not key and content and all(name in row.fields for name in content):
            key = "\n".join(str(row.fields[name]) for name in content)
        prompt = row.fields.get("prompt") or row.fields.get("question") or ""
        answer_id = str(row.fields.get("answer_id") or "")
        yield Prediction(row.where, (key,) if key else (), row.fields[name], name, str(prompt), answer_id=answer_id)
