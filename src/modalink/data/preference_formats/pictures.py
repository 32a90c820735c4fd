"""Two pictures of the same words, of which one is preferred: Pick-a-Pic's columns, and others' by the source's names.

Source: yuvalkirstain/pickapic_v2 on the hub: `caption`, `jpg_0`, `jpg_1` and `label_0` (1, 0, or 0.5 of a tie).
"""

from typing import Any

from modalink.data.preference_formats import Judged, Reply, said, text
from modalink.errors import SampleError
from modalink.errors import shown as written

NEEDED = "caption, jpg_0, jpg_1 and label_0"


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds a caption with two pictures and the share of the first."""
    return {"caption", "jpg_0", "jpg_1", "label_0"} <= record.keys()


def read(record: dict[str, Any], id: str) -> Judged:
    """The caption asks, pictures answer; a tie is of no use, since none is better."""
    share = record["label_0"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise SampleError(id, "bad_record", f"found the label {written(share)}, needed a share from 0 to 1")
    if share == 0.5:
        raise SampleError(id, "no_difference", "none of its two pictures is preferred")
    pictures = [{"type": "image", "image": record[name]} for name in ("jpg_0", "jpg_1")]
    shown = [[{"role": "assistant", "content": [picture]}] for picture in pictures]
    replies = [Reply(shown[0], float(share)), Reply(shown[1], 1.0 - share)]
    first, second = replies if share > 0.5 else replies[::-1]
    return Judged(said(text(record, "caption", id), "user", "caption", id), [first, second])
