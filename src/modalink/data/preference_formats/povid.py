"""POVID's: conversations, and the same with worse replies.

Source: YiyangAiLab/POVID_preference_data_for_VLLMs on the hub.
"""

from typing import Any

from modalink.data.formats import sharegpt
from modalink.data.preference_formats import Judged, Reply
from modalink.errors import SampleError

NEEDED = "conversations and rejected_conversations"


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds conversations twice."""
    return {"conversations", "rejected_conversations"} <= record.keys()


def read(record: dict[str, Any], id: str) -> Judged:
    """All turns before the last are the prompt, and are the same in both."""
    better = sharegpt.messages(record, id)
    worse = sharegpt.messages({"conversations": record["rejected_conversations"]}, id)
    if len(better) < 2 or len(worse) != len(better):
        found = f"found {len(better)} and {len(worse)} turns"
        raise SampleError(id, "bad_record", f"{found}, needed as many in both, the last of them the replies")
    return Judged(better[:-1], [Reply(better[-1:]), Reply(worse[-1:])], "first")
