"""One answer in the making: tokens, then the media that they ask for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList

from modalink.conversation import Content, Medium
from modalink.inference.endings import Endings, longest
from modalink.inference.making import sample
from modalink.inference.sampling import GREEDY, Sampling
from modalink.inference.scores import Numbers, WholeRuns
from modalink.inference.text import Reader, StopStrings, Watch
from modalink.model import System

Give = Callable[[str], object]


class Draft:
    """Draws one answer.

    Args:
        system: The system that answers.
        inputs: What its processor made of the conversation: one row.
        sampling: How to draw.
    """

    def __init__(self, system: System, inputs: dict[str, Tensor], sampling: Sampling) -> None:
        self.model, self.system, self.inputs, self.sampling = system.model, system, inputs, sampling
        self.ends = Endings.of(system)
        self.reader = Reader(system.processor.tokenizer, self.ends.strings, self.model.config.signals)
        self.complete = False

    @torch.no_grad()
    def write(self, give: Give) -> tuple[Content, ...]:
        """Draw the answer.

        Args:
            give: Takes each piece of text as soon as it is certain.

        Returns:
            Text and media in their order.

        Raises:
            GenerationError: The conversation is too long for the LLM, or its scores are no numbers.
        """
        with _seeded(self.sampling.seed, self.model.device):
            sequence = self._draw(give)
        return self.reader.content(self._media(sequence))

    def _draw(self, give: Give) -> Tensor:
        # An encoder-decoder's answer stands after its own start token, a decoder's after the prompt.
        start = 1 if self.model.config.is_encoder_decoder else self.inputs["input_ids"].shape[1]
        length = longest(self.system, start, self.sampling.max_new_tokens)
        tokenizer = self.system.processor.tokenizer
        watch = Watch(self.reader, start, give)
        over = watch if self.sampling.beams == 1 else StopStrings(tokenizer, self.ends.strings, start)
        sequence: Tensor = self.model.generate(
            **self.inputs,
            **self._choices(),
            max_new_tokens=length,
            eos_token_id=sorted(self.ends.tokens) or None,
            pad_token_id=tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList([Numbers(), WholeRuns(self.model.config.signals, start + length)]),
            stopping_criteria=StoppingCriteriaList([over]),
        )[:1]
        give(self.reader.feed(sequence[0, watch.read :].tolist()))
        self.complete = self.reader.stopped or not self.ends.tokens.isdisjoint(sequence[0, start:].tolist())
        give(self.reader.finish())
        return sequence

    def _choices(self) -> dict[str, Any]:
        given: dict[str, Any] = {"num_beams": self.sampling.beams}
        if self.sampling.temperature > 0:
            given |= {"do_sample": True, "top_k": 0}
            given |= {"temperature": self.sampling.temperature, "top_p": self.sampling.top_p}
        return GREEDY | given

    def _media(self, sequence: Tensor) -> list[Medium]:
        wanted = [modality for _, modality in self.reader.marks]
        if not wanted:
            return []
        conditions = self._conditions(sequence)
        made = {m: iter(self._sample(m, conditions[m][-wanted.count(m) :])) for m in dict.fromkeys(wanted)}
        return [Medium(modality, next(made[modality])) for modality in wanted]

    def _conditions(self, sequence: Tensor) -> dict[str, Tensor]:
        """One pass over prompt and answer; conditions of all runs, those of earlier turns first."""
        if self.model.config.is_encoder_decoder:
            inputs = self.inputs | {"decoder_input_ids": sequence}
        else:
            inputs = self.inputs | {"input_ids": sequence, "attention_mask": torch.ones_like(sequence)}
        conditions: dict[str, Tensor] = self.model(
            **inputs, return_conditions=True, logits_to_keep=1, use_cache=False
        ).conditions
        return conditions

    def _sample(self, modality: str, conditions: Tensor) -> list[Any]:
        seeds = range(self.sampling.seed, self.sampling.seed + len(conditions))
        rng = [torch.Generator().manual_seed(seed) for seed in seeds]
        return sample(self.system, modality, conditions, rng, self.sampling)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Known random states inside, the caller's own after."""
    with torch.random.fork_rng(devices=[device] if device.type != "cpu" else [], device_type=device.type):
        torch.manual_seed(seed)
        yield
