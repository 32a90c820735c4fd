"""Greedy replies to many conversations at once, for evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList

from modalink.conversation import Conversation
from modalink.inference.endings import Endings, longest
from modalink.inference.sampling import GREEDY
from modalink.inference.scores import Numbers, WholeRuns
from modalink.inference.text import StopStrings
from modalink.model import Prepared, System
from modalink.model.arguments import pack
from modalink.model.items import Item, ragged, texts

_BATCH = 64


@dataclass(frozen=True)
class Reply:
    """What a system answers.

    Args:
        text: The words, without special tokens.
        conditions: Modality -> `[l, d_gen]` conditions of the first medium that the reply asks for.
    """

    text: str
    conditions: dict[str, Tensor] = field(default_factory=dict)


def replies(
    system: System, conversations: Sequence[Conversation], *, max_new_tokens: int = 64, batch: int = _BATCH
) -> Iterator[Reply]:
    """Greedy replies, in order.

    Args:
        system: The model and its processor; the model stays on its device.
        conversations: What is said so far; the user speaks last.
        max_new_tokens: Longest reply.
        batch: Conversations that are answered together.
    """
    system.model.eval()
    for start in range(0, len(conversations), batch):
        prepared = [system.processor.prepare(c, reply=True) for c in conversations[start : start + batch]]
        yield from _answered(system, prepared, max_new_tokens)


@torch.no_grad()
def _answered(system: System, prepared: list[Prepared], max_new_tokens: int) -> list[Reply]:
    model, tokenizer = system.model, system.processor.tokenizer
    device = next(model.parameters()).device
    prompts = [sample.input_ids for sample in prepared]
    ids, mask = _padded(prompts, tokenizer.pad_token_id, device)
    ends = Endings.of(system)
    items: dict[str, list[Item]] = {}
    for sample in prepared:
        for modality, found in sample.media.items():
            items.setdefault(modality, []).extend(found)
    said_beside = {m: said for m, own in items.items() if (said := texts(own)) is not None}
    media = pack({m: ragged(own).to(device) for m, own in items.items()}, said_beside)
    start = 0 if model.config.is_encoder_decoder else ids.shape[1]
    length = longest(system, ids.shape[1], max_new_tokens)
    runs = WholeRuns(model.config.signals, start + length)
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        **GREEDY,
        max_new_tokens=length,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=sorted(ends.tokens) or None,
        logits_processor=LogitsProcessorList([Numbers(), runs]),
        stopping_criteria=StoppingCriteriaList([StopStrings(tokenizer, ends.strings, start)] if ends.strings else []),
        **media,
    )
    said = output[:, start:]
    written = tokenizer.batch_decode(said, skip_special_tokens=True)
    conditions = _conditions(system, ids, mask, said, media)
    return [Reply(ends.cut(text), found) for text, found in zip(written, conditions, strict=True)]


def _padded(rows: list[list[int]], pad: int, device: torch.device) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """Prompts padded on the left, so that every reply continues right where its prompt ends."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def _conditions(
    system: System, ids: Tensor, mask: Tensor, said: Tensor, media: dict[str, Any]
) -> list[dict[str, Float[Tensor, "l d_gen"]]]:
    """Conditions for each row's first whole run of signal tokens, from one pass over prompts and replies."""
    model = system.model
    found: list[dict[str, Tensor]] = [{} for _ in said]
    runs = {m: _first_runs(said, signals) for m, signals in model.config.signals.items()}
    if not any(runs.values()):
        return found
    states = _states(system, ids, mask, said, media)
    for modality, starts in runs.items():
        if not starts:
            continue
        length = len(model.config.signals[modality])
        chosen = torch.stack([states[row, start : start + length] for row, start in starts.items()])
        projector = model.output_projectors[modality]
        made = projector(chosen.to(next(projector.parameters()).dtype))
        for row, conditions in zip(starts, made, strict=True):
            found[row][modality] = conditions
    return found


def _states(
    system: System, ids: Tensor, mask: Tensor, said: Tensor, media: dict[str, Any]
) -> Float[Tensor, "b t d_llm"]:
    """The LLM's last hidden states at what was said."""
    model = system.model
    if model.config.is_encoder_decoder:
        output = model(input_ids=ids, attention_mask=mask, decoder_input_ids=said, output_hidden_states=True, **media)
        return output.hidden_states[-1]
    whole = torch.cat([ids, said], 1)
    seen = torch.cat([mask, torch.ones_like(said)], 1)
    places = (seen.cumsum(1) - 1).clamp(min=0)
    output = model(
        input_ids=whole, attention_mask=seen, position_ids=places, use_cache=False, output_hidden_states=True, **media
    )
    return output.hidden_states[-1][:, ids.shape[1] :]


def _first_runs(said: Int[Tensor, "b t"], signals: list[int]) -> dict[int, int]:
    """Row -> where its first whole run of signal tokens begins; rows without one are left out."""
    if said.shape[1] < len(signals):
        return {}
    windows = said.unfold(1, len(signals), 1) == torch.tensor(signals, device=said.device)
    whole = windows.all(-1)
    return {row: int(whole[row].int().argmax()) for row in torch.nonzero(whole.any(1)).flatten().tolist()}
