"""ms-swift's: messages whose last is the better reply, with worse ones or other pictures beside it, or with a label.

Source: modelscope/ms-swift, docs/source_en/Customization/Custom-dataset.md.
"""

from typing import Any

from modalink.data.formats import openai
from modalink.data.preference_formats import Judged, Messages, Reply, said
from modalink.data.preference_formats.llama_factory import tagged
from modalink.errors import SampleError

NEEDED = "messages with rejected_response, rejected_messages, rejected_images or label"
_WORSE = ("rejected_response", "rejected_messages", "rejected_images")


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds messages and what is worse, or a label of yes or no."""
    return "messages" in record and (any(record.get(name) for name in _WORSE) or _is_judged(record.get("label")))


def read(record: dict[str, Any], id: str) -> Judged:
    """The messages' last reply is better than the rejected one, or than itself about other pictures."""
    messages = openai.messages(record, id)
    if not any(record.get(name) for name in _WORSE):
        return tagged(messages, bool(record["label"]), id)
    if len(messages) < 2:
        raise SampleError(id, "bad_record", f"found {len(messages)} messages, needed a question and its better reply")
    prompt, better = messages[:-1], messages[-1:]
    media = {"images": record["rejected_images"]} if record.get("rejected_images") else None
    return Judged(prompt, [Reply(better), *(Reply(worse, media=media) for worse in _worse(record, better, id))])


def _worse(record: dict[str, Any], better: Messages, id: str) -> list[Messages]:
    if several := record.get("rejected_response"):
        return [
            said(one, "assistant", "rejected_response", id) for one in (several if _is_list(several) else [several])
        ]
    if whole := record.get("rejected_messages"):
        return [said(whole, "assistant", "rejected_messages", id)[-1:]]
    return [better]


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_judged(label: Any) -> bool:
    return isinstance(label, bool)
