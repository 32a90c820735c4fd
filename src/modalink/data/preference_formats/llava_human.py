"""LLaVA-RLHF's human preferences: conversations, two outputs, and which of them is preferred (1 or 2).

Source: zhiqings/LLaVA-Human-Preference-10K on the hub; llava-rlhf, RLHF/data_utils/data_utils_rm.py.
"""

from typing import Any

from modalink.data.formats import sharegpt
from modalink.data.preference_formats import Judged, Reply, said
from modalink.errors import SampleError, shown

NEEDED = "conversations, output_1, output_2 and preference"


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds two outputs and which of them is preferred."""
    return {"output_1", "output_2", "preference"} <= record.keys()


def read(record: dict[str, Any], id: str) -> Judged:
    """The preferred output first; a picture that no marker places stands before the first question."""
    if record["preference"] not in (1, 2) or isinstance(record["preference"], bool):
        found = shown(record["preference"])
        raise SampleError(id, "bad_record", f"found the preference {found}, needed 1 or 2")
    outputs = [said(_text(record[name]), "assistant", name, id) for name in ("output_1", "output_2")]
    best = record["preference"] - 1
    return Judged(sharegpt.messages(record, id), [Reply(outputs[best]), Reply(outputs[1 - best])], "first")


def _text(output: Any) -> Any:
    """What an output says; who says it is the name of a model."""
    return output.get("value") if isinstance(output, dict) else output
