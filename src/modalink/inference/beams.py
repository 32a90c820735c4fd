"""Answers followed side by side, of which the likeliest is kept: the search is transformers'."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList

from modalink.inference.decoding import Prompts
from modalink.inference.row import Row
from modalink.inference.sampling import GREEDY
from modalink.inference.scores import Numbers, WholeRuns
from modalink.inference.text import StopStrings
from modalink.model import System


def beam_search(system: System, row: Row, prompts: Prompts) -> list[int]:
    """The tokens of the likeliest answer to one row's prompt.

    Raises:
        GenerationError: The LLM's scores are no numbers.
    """
    model, tokenizer, sampling = system.model, system.processor.tokenizer, row.request.sampling
    read: dict[str, Any] = {} if model.config.is_encoder_decoder else {"read": prompts.read}
    start = 1 if model.config.is_encoder_decoder else prompts.ids.shape[1]
    options: dict[str, Any] = GREEDY | {"num_beams": sampling.beams}
    if sampling.draws:
        options |= {"do_sample": True, "top_k": 0, "temperature": sampling.temperature, "top_p": sampling.top_p}
    runs = WholeRuns(row.signals, start + row.length, start, sampling.max_media)
    with _seeded(sampling.seed, model.device):
        sequences: Tensor = model.generate(
            input_ids=prompts.ids,
            inputs_embeds=prompts.read.embeds,
            **read,
            attention_mask=prompts.mask,
            **options,
            max_new_tokens=row.length,
            eos_token_id=sorted(row.ends.tokens) or None,
            pad_token_id=tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList([Numbers(), runs]),
            stopping_criteria=StoppingCriteriaList([StopStrings(tokenizer, row.ends.strings, start)]),
        )
    ids: list[int] = sequences[0, start:].tolist()
    return ids


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Known random states inside, the caller's own after."""
    with torch.random.fork_rng(devices=[device] if device.type != "cpu" else [], device_type=device.type):
        torch.manual_seed(seed)
        yield
