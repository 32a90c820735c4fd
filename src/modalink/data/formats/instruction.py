"""A question and its answer in columns of their own: Alpaca's `instruction`, ms-swift's `query`, with their `history`.

Sources: hiyouga/LLaMA-Factory, data/README.md; modelscope/ms-swift, Custom-dataset.md.
"""

from typing import Any

from modalink.errors import SampleError, shown


def fits_alpaca(record: dict[str, Any]) -> bool:
    """Whether a record is one of Alpaca's."""
    return "instruction" in record and "output" in record


def alpaca(record: dict[str, Any], id: str) -> list[dict[str, Any]]:
    """`instruction` and `input`, a line each, are the user's; what is empty of the two is left out."""
    asked = [_text(record, column, id) for column in ("instruction", "input")]
    question = "\n".join(part for part in asked if part)
    return [*_history(record, id), *_round(question, _text(record, "output", id))]


def fits_query(record: dict[str, Any]) -> bool:
    """Whether a record is one of ms-swift's questions and answers."""
    return "query" in record and "response" in record


def query_response(record: dict[str, Any], id: str) -> list[dict[str, Any]]:
    """`query` is the user's, `response` the assistant's."""
    return [*_history(record, id), *_round(_text(record, "query", id), _text(record, "response", id))]


def _history(record: dict[str, Any], id: str) -> list[dict[str, Any]]:
    rounds = record.get("history") or []
    if not isinstance(rounds, list) or not all(_is_round(said) for said in rounds):
        raise SampleError(id, "bad_record", f"found history {shown(rounds)}, needed pairs of a question and an answer")
    return [message for question, answer in rounds for message in _round(question, answer)]


def _is_round(said: Any) -> bool:
    return isinstance(said, list) and len(said) == 2 and all(isinstance(text, str) for text in said)


def _round(question: str, answer: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _text(record: dict[str, Any], column: str, id: str) -> str:
    value = record.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SampleError(id, "bad_record", f"found {shown(value)} under {column!r}, needed text")
    return value
