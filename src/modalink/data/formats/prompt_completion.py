"""`prompt` and `completion`: TRL's, of text or of messages.

Source: huggingface/trl, docs/source/dataset_formats.md.
"""

from typing import Any

from modalink.errors import SampleError, shown


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds a prompt and its completion."""
    return "prompt" in record and "completion" in record


def messages(record: dict[str, Any], id: str) -> list[dict[str, Any]]:
    """The prompt's messages, which are not learned, and the completion's."""
    asked, answered = _messages(record, "prompt", "user", id), _messages(record, "completion", "assistant", id)
    return [*({**message, "loss": False} for message in asked), *answered]


def _messages(record: dict[str, Any], column: str, role: str, id: str) -> list[dict[str, Any]]:
    value = record.get(column)
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, list) and value and all(isinstance(message, dict) for message in value):
        return value
    detail = f"found {'None' if value is None else shown(value)} under {column!r}, needed text or a list of messages"
    raise SampleError(id, "bad_messages", detail)
