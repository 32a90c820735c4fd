"""RLHF-V's: a picture, and `text` as a line of JSON with question, chosen and rejected. RLAIF-V's and MMPR's: columns.

Sources: the cards of HaoyeZhang/RLHF-V-Dataset, openbmb/RLAIF-V-Dataset and OpenGVLab/MMPR on the hub.
"""

from typing import Any

from modalink import json_files
from modalink.data.preference_formats import Judged, Reply, said, text
from modalink.errors import SampleError

NEEDED = "question, chosen and rejected (or those as JSON under text)"
_COLUMNS = ("question", "chosen", "rejected")


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds a question with two answers, in columns or in one line of JSON."""
    return {*_COLUMNS} <= record.keys() or ("ds_name" in record and _is_packed(record.get("text")))


def read(record: dict[str, Any], id: str) -> Judged:
    """The question about the picture, which stands first unless a marker says otherwise."""
    columns = record if {*_COLUMNS} <= record.keys() else _unpacked(record, id)
    question, chosen, rejected = (text(columns, column, id) for column in _COLUMNS)
    replies = [Reply(said(reply, "assistant", "chosen", id)) for reply in (chosen, rejected)]
    return Judged(said(question, "user", "question", id), replies, "first")


def _is_packed(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and value.lstrip().startswith("{"))


def _unpacked(record: dict[str, Any], id: str) -> dict[str, Any]:
    value = record["text"]
    if isinstance(value, dict):
        return value
    return json_files.parse(value, lambda detail: SampleError(id, "bad_record", f"text {detail}"), dict[str, Any])
