"""Replies of language models as data, refused where they are not what was asked for."""

import re
from collections.abc import Sequence
from typing import Any

from modalink import json_files, modalities
from modalink.data_making.maker import Known
from modalink.errors import SampleError, shown

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
# Who writes from captions must not say so: the system that learns sees media, and no captions.
_TELLS = re.compile(
    r"\b(?:the|this|these|given|provided) (?:caption|captions|description|descriptions|bounding box\w*|coordinates)\b",
    re.IGNORECASE,
)


def bad(known: Sequence[Known], detail: str) -> SampleError:
    """The error about a reply."""
    return SampleError(known[0].id, "bad_reply", detail)


def nothing_known(known: Sequence[Known]) -> SampleError:
    """The error about a sample that tells too little."""
    return SampleError(known[0].id, "nothing_known", "tells nothing of its media, needed a caption, an answer or boxes")


def listed(reply: str, key: str, known: Sequence[Known], least: int, most: int) -> list[dict[str, Any]]:
    """The mappings that a reply lists under a key of one JSON object.

    Raises:
        SampleError: It is no such JSON, or lists fewer or more than were asked for.
    """
    fenced = _FENCE.search(reply)
    text = (fenced[1] if fenced else reply).strip()
    start, end = text.find("{"), text.rfind("}")
    if not 0 <= start < end:
        raise bad(known, f"found {shown(reply)}, needed a JSON object")
    found = json_files.parse(text[start : end + 1], lambda detail: bad(known, f"its JSON {detail}"), dict[str, Any])
    rows = found.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise bad(known, f"found {shown(rows)} under {key!r}, needed a list of mappings")
    if not least <= len(rows) <= most:
        raise bad(known, f"found {len(rows)} {key}, needed {least} to {most}")
    return rows


def words_of(row: dict[str, Any], key: str, known: Sequence[Known]) -> str:
    """The text under a key.

    Raises:
        SampleError: There is none, it spells a marker, or it speaks of captions that nobody sees.
    """
    text = row.get(key)
    if not isinstance(text, str) or not text.strip():
        raise bad(known, f"found {shown(text)} under {key!r}, needed text")
    if marker := next((r.placeholder for r in modalities.records() if r.placeholder in text), None):
        raise bad(known, f"found {marker} in {shown(text)}, needed words alone")
    if found := _TELLS.search(text):
        raise bad(known, f"speaks of {found[0]!r}, which whoever sees the medium does not know: {shown(text)}")
    return text.strip()
