"""`conversations` of `from` and `value`: ShareGPT, LLaVA, InternVL, Qwen-VL, LLaMA-Factory; ms-swift's `conversation`.

Sources: haotian-liu/LLaVA, docs/Finetune_Custom_Data.md; InternVL's documentation, chat data format; QwenLM/Qwen-VL and
QwenLM/Qwen3-VL, qwen-vl-finetune; hiyouga/LLaMA-Factory, data/README.md; modelscope/ms-swift, Custom-dataset.md.
"""

from typing import Any

from modalink.data.formats.turns import ROLES
from modalink.errors import SampleError, shown


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds conversations."""
    return "conversations" in record or "conversation" in record


def messages(record: dict[str, Any], id: str) -> list[dict[str, Any]]:
    """Each turn as a message, ms-swift's pairs of `human` and `assistant` as two."""
    said = record["conversations"] if "conversations" in record else record.get("conversation")
    if not isinstance(said, list) or not said:
        found = "None" if said is None else shown(said)
        raise SampleError(id, "bad_record", f"found conversations {found}, needed a list of turns")
    return [message for number, turn in enumerate(said) for message in _messages(turn, number, id)]


def _messages(turn: Any, number: int, id: str) -> list[dict[str, Any]]:
    if isinstance(turn, dict) and isinstance(turn.get("role"), str) and "content" in turn:
        return [turn]
    if isinstance(turn, dict) and isinstance(turn.get("human"), str) and isinstance(turn.get("assistant"), str):
        return [{"role": role, "content": turn[role]} for role in ("human", "assistant")]
    speaker, text = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
    if not isinstance(speaker, str) or speaker not in ROLES or not isinstance(text, str):
        needed = f"'from' (one of {', '.join(ROLES)}) and 'value' (text)"
        raise SampleError(id, "bad_record", f"turn {number}: found {shown(turn)}, needed {needed}")
    return [{**turn, "role": speaker, "content": text}]
