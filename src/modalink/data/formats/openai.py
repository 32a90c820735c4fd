"""`messages` of `role` and `content`: OpenAI's fine-tuning files, Hugging Face, TRL, ms-swift, LLaMA-Factory.

Sources: platform.openai.com, fine-tuning; huggingface/trl, docs/source/dataset_formats.md; modelscope/ms-swift,
docs/source_en/Customization/Custom-dataset.md; hiyouga/LLaMA-Factory, data/README.md.
"""

from typing import Any

from modalink.errors import SampleError, shown


def fits(record: dict[str, Any]) -> bool:
    """Whether a record holds messages."""
    return "messages" in record


def messages(record: dict[str, Any], id: str) -> list[dict[str, Any]]:
    """The messages as they stand."""
    said = record.get("messages")
    if not isinstance(said, list):
        detail = f"found {'None' if said is None else shown(said)} under 'messages', needed a list of messages"
        raise SampleError(id, "bad_messages", detail)
    if not all(isinstance(message, dict) for message in said):
        raise SampleError(id, "bad_messages", f"found messages {shown(said)}, needed a list of mappings")
    return said
