"""TRL's: `prompt`, `chosen` and `rejected`, of text or of messages, or no prompt but one in both; or a `label`.

Source: huggingface/trl, docs/source/dataset_formats.md.
"""

from typing import Any

from modalink.data.preference_formats import Judged, Messages, Reply, said
from modalink.errors import SampleError

NEEDED = "prompt, chosen and rejected (or prompt, completion and label)"
ORDER = 9


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds two replies, with a prompt of their own or in front of both."""
    if {"prompt", "completion"} <= record.keys():
        return isinstance(record.get("label"), bool)
    both = isinstance(record.get("chosen"), list) and isinstance(record.get("rejected"), list)
    return {"chosen", "rejected"} <= record.keys() and ("prompt" in record or both)


def read(record: dict[str, Any], id: str) -> Judged:
    """The prompt with its two replies, or with the one that was judged."""
    if "completion" in record:
        completion = said(record["completion"], "assistant", "completion", id)
        return Judged(said(record["prompt"], "user", "prompt", id), [Reply(completion, label=record["label"])])
    chosen, rejected = (said(record[column], "assistant", column, id) for column in ("chosen", "rejected"))
    if record.get("prompt") is not None:
        prompt = said(record["prompt"], "user", "prompt", id)
    else:
        prompt, chosen, rejected = _parted(chosen, rejected, id)
    return Judged(prompt, [Reply(chosen, _score(record, "chosen")), Reply(rejected, _score(record, "rejected"))])


def _parted(chosen: Messages, rejected: Messages, id: str) -> tuple[Messages, Messages, Messages]:
    """What both begin with, and how they go on."""
    pairs = zip(chosen, rejected, strict=False)
    same = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(chosen), len(rejected)))
    if not same:
        raise SampleError(id, "bad_messages", "found no prompt, and chosen and rejected begin with different messages")
    return chosen[:same], chosen[same:], rejected[same:]


def _score(record: dict[str, Any], side: str) -> float | None:
    value = record.get(f"score_{side}", record.get(f"{side}_score"))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
