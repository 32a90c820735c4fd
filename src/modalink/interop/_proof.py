"""That an exported folder says what the run says: the same tokens, and the same logits, of the same conversations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoProcessor, PreTrainedModel, ProcessorMixin

from modalink import hub, modalities
from modalink.errors import CheckpointError, PromptError
from modalink.model import System

Messages = list[dict[str, Any]]
_CLOSE = {torch.float32: 1e-4, torch.float64: 1e-4}
_HALF = 0.1
"""How far logits may be apart, as a share of the largest."""


@dataclass
class Proof:
    """What a system makes of some conversations.

    Args:
        ids: Of each conversation, its tokens.
        logits: Of the first, its logits; None where they are not compared.
    """

    conversations: list[Messages] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)
    logits: Tensor | None = None

    @classmethod
    def of(cls, system: System, *, logits: bool) -> "Proof":
        """Ask a system.

        Args:
            system: The system.
            logits: Whether its logits are wanted, too.
        """
        found = cls()
        for messages in _conversations():
            try:
                inputs = system.processor(messages)
            except PromptError:  # its template has no such conversations
                continue
            found.conversations.append(messages)
            found.ids.append(inputs["input_ids"][0].tolist())
            if logits and found.logits is None:
                with torch.no_grad():
                    found.logits = system.model.eval()(**inputs).logits[0]
        return found

    def fitting(self, processors: list[ProcessorMixin]) -> ProcessorMixin:
        """The first of some processors that reads all conversations as the system does.

        Raises:
            PromptError: None does.
        """
        reasons = []
        for processor in processors:
            if (reason := self._differs(processor)) is None:
                return processor
            reasons.append(reason)
        raise PromptError(
            f"the exported processor reads a conversation as other tokens than the run does: {reasons[0]}; choose a "
            "prompt template, and marks, whose words the tokenizer does not join with what stands beside them"
        )

    def check(self, folder: Path, kind: type[PreTrainedModel], adapter: str) -> None:
        """Load a written folder by transformers alone, and compare.

        Args:
            folder: The folder.
            kind: The class that reads it.
            adapter: Folder in it of adapters of peft, where there are some.

        Raises:
            CheckpointError: Its logits are others.
            PromptError: Its tokens are others.
        """
        if self.logits is None:
            return
        with hub.without_bars(), hub.foreign(CheckpointError, f"{folder}: what was written cannot be loaded"):
            model: Any = kind.from_pretrained(folder, local_files_only=True).eval()
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
            if (folder / adapter).is_dir():
                model = PeftModel.from_pretrained(model, folder / adapter)
        self.fitting([processor])
        with torch.no_grad():
            inputs = _read(processor, self.conversations[0]).to(dtype=model.dtype)
            logits = model(**inputs).logits[0, :, : self.logits.shape[-1]]
        dtypes = {logits.dtype, self.logits.dtype}
        allowed = max(_CLOSE.get(dtype, _HALF) for dtype in dtypes) * max(1.0, self.logits.abs().max().item())
        apart = (logits.float() - self.logits.float()).abs().max().item()
        if not apart <= allowed:
            raise CheckpointError(
                f"what was written gives other logits than the run, {apart:.2g} apart, needed {allowed:.2g} at most; "
                "nothing was kept"
            )

    def _differs(self, processor: ProcessorMixin) -> str | None:
        for messages, wanted in zip(self.conversations, self.ids, strict=True):
            found = _read(processor, messages)["input_ids"][0].tolist()
            if found != wanted:
                pairs = enumerate(zip(found, wanted, strict=False))
                at = next((n for n, (a, b) in pairs if a != b), min(len(found), len(wanted)))
                tell = processor.tokenizer.convert_ids_to_tokens
                return (
                    f"token {at} is {tell(found[at : at + 3])}, needed {tell(wanted[at : at + 3])} "
                    f"({len(found)} and {len(wanted)} tokens)"
                )
        return None


def _read(processor: Any, messages: Messages) -> Any:
    return processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )


def _conversations() -> list[Messages]:
    """Conversations with images where people put them."""
    example = modalities.get("image").example
    images = [{"type": "image", "image": example(number)} for number in range(4)]
    ask, more, say = (
        {"type": "text", "text": text}
        for text in ("What is in the picture?", "And what is left of it, in one word?", "A small red cube.")
    )
    system = {"role": "system", "content": [{"type": "text", "text": "Answer briefly."}]}
    user = [{"role": "user", "content": content} for content in ([images[0], ask], [more])]
    answer = {"role": "assistant", "content": [say]}
    return [
        [user[0]],
        [user[0], answer, user[1]],
        [system, user[0]],
        [{"role": "user", "content": [ask, images[1], more]}],
        [{"role": "user", "content": [images[2], images[3], ask]}],
        [user[1], answer, user[0]],
    ]
