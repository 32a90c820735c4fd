"""LLaMA-Factory's: conversations, messages or an instruction with `chosen` and `rejected`, or judged by `kto_tag`.

Source: hiyouga/LLaMA-Factory, data/README.md.
"""

from typing import Any

from modalink.data.formats import instruction, openai, sharegpt
from modalink.data.preference_formats import Judged, Messages, Reply, said
from modalink.errors import SampleError, shown

NEEDED = "conversations (or instruction) with chosen and rejected, or with kto_tag"


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds a prompt of one of its kinds with two replies, or a conversation with a tag."""
    asks = bool({"conversations", "messages", "instruction"} & record.keys())
    return asks and ({"chosen", "rejected"} <= record.keys() or "kto_tag" in record)


def read(record: dict[str, Any], id: str) -> Judged:
    """The prompt with its replies; a tagged conversation's last message is its reply."""
    if "kto_tag" in record:
        if not isinstance(tag := record["kto_tag"], bool):
            raise SampleError(id, "bad_record", f"found the kto_tag {shown(tag)}, needed true or false")
        return tagged(_asked(record, id), tag, id)
    replies = [said(record[column], "assistant", column, id) for column in ("chosen", "rejected")]
    return Judged(_asked(record, id), [Reply(reply) for reply in replies])


def tagged(messages: Messages, label: bool, id: str) -> Judged:
    """A conversation whose last message was judged alone."""
    if len(messages) < 2:
        raise SampleError(id, "bad_record", f"found {len(messages)} messages, needed a question and a judged reply")
    return Judged(messages[:-1], [Reply(messages[-1:], label=label)])


def _asked(record: dict[str, Any], id: str) -> Messages:
    if "conversations" in record:
        return sharegpt.messages(record, id)
    if "messages" in record:
        return openai.messages(record, id)
    messages = instruction.alpaca({"output": "", **record}, id)
    return messages if record.get("output") else messages[:-1]
