"""VLFeedback's: a prompt, and completions of several models, each rated in three aspects from 1 to 5.

Source: MMInstruction/VLFeedback on the hub; arXiv 2312.10665. A reply's score is the mean of its ratings.
"""

from typing import Any

from modalink.data.preference_formats import Judged, Reply, ranked, said, text
from modalink.errors import SampleError

NEEDED = "prompt and completions with annotations"


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds completions with annotations, as a list of them or a list for each of their fields."""
    each = record.get("completions")
    first = each[0] if isinstance(each, list) and each else each
    return "prompt" in record and isinstance(first, dict) and {"annotations", "response"} <= first.keys()


def read(record: dict[str, Any], id: str) -> Judged:
    """The completions by the means of their ratings; those without one are left out."""
    each = record["completions"]
    if isinstance(each, dict):
        each = [dict(zip(each, values, strict=False)) for values in zip(*each.values(), strict=False)]
    scored = [(_mean(one.get("annotations")), one) for one in each]
    replies = [Reply(said(one.get("response"), "assistant", "response", id), s) for s, one in scored if s is not None]
    if not replies:
        raise SampleError(id, "bad_record", f"found no completion with ratings from 1 to 5 among {len(each)}")
    if len({reply.score for reply in replies}) < 2:
        raise SampleError(id, "no_difference", f"all its {len(replies)} rated completions are rated alike")
    return Judged(said(text(record, "prompt", id), "user", "prompt", id), ranked(replies), "first")


def _mean(annotations: Any) -> float | None:
    aspects = annotations.values() if isinstance(annotations, dict) else []
    ratings = [one.get("Rating") for one in aspects if isinstance(one, dict)]
    numbers = [float(text) for rating in ratings if (text := str(rating)) in ("1", "2", "3", "4", "5")]
    return sum(numbers) / len(numbers) if numbers and len(numbers) == len(ratings) else None
