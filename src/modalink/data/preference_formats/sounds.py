"""Two sounds of the same words, of which one is preferred: Audio-Alpaca's columns.

Source: declare-lab/audio-alpaca on the hub, the pairs of Tango 2 (arXiv 2404.09956): `prompt`, `chosen` and `rejected`,
the last two as sounds.
"""

from collections.abc import Mapping
from typing import Any

from modalink import modalities
from modalink.data.preference_formats import Judged, Reply, said

NEEDED = "prompt, and as sounds chosen and rejected"


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds words with two sounds, or the paths of two."""
    return "prompt" in record and all(_is_sound(record.get(side)) for side in ("chosen", "rejected"))


def _is_sound(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower().endswith(modalities.get("audio").suffixes)
    return isinstance(value, Mapping) and bool({"bytes", "path", "array"} & value.keys())


def read(record: dict[str, Any], id: str) -> Judged:
    """The words ask, sounds answer."""
    replies = [
        Reply([{"role": "assistant", "content": [{"type": "audio", "audio": record[side]}]}])
        for side in ("chosen", "rejected")
    ]
    return Judged(said(record["prompt"], "user", "prompt", id), replies)
