"""What a tiny LLM says by itself, to one sample after another, and whether it says the same in our hands.

Every way is compared with the class's own forward: token ids alone, its own eager attention, no cache, no padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import EncoderDecoderCache

from modalink.llms._calls import decode, encoded, select_rows
from modalink.llms._segments import Segments

TOLERANCE = 2e-4
"""Largest difference of logits that is rounding, as a share of the largest logit; tiny families stay below 4e-5."""

# Beyond the narrowest window of a tiny form, and of two lengths that are one; the last tokens are said one by one.
_LENGTHS = (13, 5, 9, 13)
_SAID = 4


@dataclass(frozen=True)
class Trial:
    """A tiny LLM, samples, and what it says to each alone.

    Args:
        llm: The LLM, its attention as the class has it.
        rows: Token ids of each sample, `[t]`.
        replies: What an encoder-decoder's decoder reads beside them, `[u]`; None for a decoder.
        expected: The logits of each sample, `[t, v]` or `[u, v]`.
    """

    llm: PreTrainedModel
    rows: tuple[Tensor, ...]
    replies: tuple[Tensor, ...] | None
    expected: tuple[Tensor, ...]

    @classmethod
    def of(cls, llm: PreTrainedModel, seed: int = 0) -> "Trial":
        """A trial of an LLM, whose attention is set to its own eager one."""
        random = torch.Generator().manual_seed(seed)

        def draw(length: int) -> Tensor:
            return torch.randint(16, 80, (length,), generator=random)

        rows = tuple(draw(length + _SAID) for length in _LENGTHS)
        replies = tuple(draw(length) for length in (6, 8, 7, 6)) if llm.config.is_encoder_decoder else None
        llm.set_attn_implementation("eager")
        if replies is None:
            expected = tuple(llm(input_ids=row[None], use_cache=False).logits[0] for row in rows)
        else:
            pairs = zip(rows, replies, strict=True)
            expected = tuple(
                llm(input_ids=row[None], decoder_input_ids=reply[None], use_cache=False).logits[0]
                for row, reply in pairs
            )
        return cls(llm, rows, replies, expected)

    def as_generated(self) -> "Trial":
        """The same prompts, followed by what the class's own `generate` says to each alone, with its own cache."""
        rows, expected = [], []
        for row, own in zip(self.rows, self.expected, strict=True):
            prompt, count = row[None, :-_SAID], _SAID + 1
            length: dict[str, Any] = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
            told: dict[str, Any] = {"output_logits": True, "return_dict_in_generate": True, "pad_token_id": 0}
            output = self.llm.generate(prompt, attention_mask=torch.ones_like(prompt), **length, **told)
            rows.append(output.sequences[0, :-1])
            expected.append(torch.cat([own[: prompt.shape[1] - 1], *output.logits]))
        return Trial(self.llm, tuple(rows), None, tuple(expected))

    def foresight(self) -> float:
        """How much the logits of earlier tokens change with later ones: nothing, if the LLM can write."""
        if self.replies is None:
            cut = [self.llm(input_ids=row[None, :-_SAID], use_cache=False).logits[0] for row in self.rows]
        else:
            cut = [
                self.llm(input_ids=row[None], decoder_input_ids=reply[None, :-2], use_cache=False).logits[0]
                for row, reply in zip(self.rows, self.replies, strict=True)
            ]
        return max(difference(found, own[: len(found)]) for found, own in zip(cut, self.expected, strict=True))

    def embedded(self) -> float:
        """Embedded input instead of token ids, each sample alone."""
        if self.replies is not None:
            return max(self._read([number]) for number in range(len(self.rows)))
        found = [
            decode(self.llm, inputs_embeds=self._embeds(row[None]), use_cache=False).logits[0] for row in self.rows
        ]
        return max(map(difference, found, self.expected))

    def training(self) -> float:
        """Rows padded on the right, logits where they are labelled, as in a batch of training."""
        if self.replies is not None:
            return self._read(range(len(self.rows)))
        ids, mask = _right(self.rows), _right([torch.ones_like(row) for row in self.rows])
        positions = _right([torch.arange(len(row)) for row in self.rows])
        options: dict[str, Any] = {"position_ids": positions, "logits_to_keep": mask.bool(), "use_cache": False}
        found = decode(self.llm, inputs_embeds=self._embeds(ids), attention_mask=mask, **options).logits
        return difference(found, torch.cat(self.expected))

    def packed(self) -> float:
        """All samples as one stream."""
        segments = Segments.of(len(row) for row in self.rows)
        found = decode(
            self.llm,
            inputs_embeds=self._embeds(torch.cat(self.rows)[None]),
            attention_mask=segments.mask(),
            position_ids=segments.positions,
            logits_to_keep=torch.arange(len(segments.positions[0])),
            use_cache=False,
        ).logits
        return difference(found[0], torch.cat(self.expected))

    def decoding(self, *, packs: bool, numbers: Sequence[int], steps: Sequence[int]) -> float:
        """Prompts side by side, padded on the left, then tokens behind a cache, of which rows are chosen on the way.

        Args:
            packs: Whether the LLM packs, which decides its cache.
            numbers: The samples; those of one length need no padding.
            steps: How many tokens are said at once in each pass, before and after rows are chosen.
        """
        started = self._begin(numbers, packs=packs)
        worst, (before, *after) = started.worst, steps
        started = started.extended(before)
        # Two choices of one group, one after the other: neither may change what the other keeps.
        for chosen in ([0], list(range(1, len(numbers)))):
            group = started.chosen(chosen)
            for count in after:
                group = group.extended(count)
            worst = max(worst, group.worst)
        return max(worst, started.worst)

    def _begin(self, numbers: Sequence[int], *, packs: bool) -> "_Group":
        if self.replies is not None:
            ids, mask = self._prompts(numbers)
            encoded = self.llm.get_encoder()(inputs_embeds=self._embeds(ids), attention_mask=mask).last_hidden_state
            empty = EncoderDecoderCache(DynamicCache(), DynamicCache())
            return _Group(self, tuple(numbers), (0,) * len(numbers), mask, empty, encoded).extended(1)
        rows = [self.rows[number][:-_SAID] for number in numbers]
        ids, mask = _left(rows), _left([torch.ones_like(row) for row in rows])
        cache = DynamicCache() if packs else None
        group = _Group(self, tuple(numbers), tuple(map(len, rows)), mask, cache)
        return group.passed(ids, (mask.cumsum(1) - 1).clamp(min=0), keep=1)

    def _read(self, numbers: Sequence[int]) -> float:
        """An encoder-decoder's pass of training over some samples."""
        assert self.replies is not None
        ids, mask = self._prompts(numbers)
        spoken = _right([self.replies[number] for number in numbers])
        options: dict[str, Any] = {"attention_mask": mask, "decoder_input_ids": spoken, "use_cache": False}
        found = self.llm(inputs_embeds=self._embeds(ids), past_key_values=None, **options).logits
        return max(difference(row[: len(own)], own) for row, own in zip(found, self._own(numbers), strict=True))

    def _prompts(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        rows = [self.rows[number] for number in numbers]
        return _right(rows), _right([torch.ones_like(row) for row in rows])

    def _own(self, numbers: Sequence[int]) -> list[Tensor]:
        return [self.expected[number] for number in numbers]

    def _embeds(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        embeds: Tensor = self.llm.get_input_embeddings()(ids)
        return embeds


@dataclass(frozen=True)
class _Group:
    """Samples that are read side by side, as far as they are."""

    trial: Trial
    numbers: tuple[int, ...]
    read: tuple[int, ...]
    mask: Tensor
    cache: Any
    encoded: Tensor | None = None
    worst: float = 0.0

    def chosen(self, index: Sequence[int]) -> "_Group":
        rows = torch.tensor(list(index))
        numbers, read = [self.numbers[i] for i in index], [self.read[i] for i in index]
        encoded = None if self.encoded is None else self.encoded[rows]
        cache = select_rows(self.cache, rows)
        return _Group(self.trial, tuple(numbers), tuple(read), self.mask[rows], cache, encoded, self.worst)

    def extended(self, count: int) -> "_Group":
        """The same samples, so many tokens further in one pass."""
        spoken = self.trial.rows if self.trial.replies is None else self.trial.replies
        ids = torch.stack([spoken[n][start : start + count] for n, start in zip(self.numbers, self.read, strict=True)])
        read = tuple(start + count for start in self.read)
        if self.encoded is not None:
            return _Group(self.trial, self.numbers, read, self.mask, self.cache, self.encoded, self.worst)._said(ids)
        mask = torch.cat([self.mask, torch.ones_like(ids)], 1)
        group = _Group(self.trial, self.numbers, read, mask, self.cache, None, self.worst)
        return group.passed(ids, (mask.cumsum(1) - 1)[:, -count:], keep=count)

    def passed(self, ids: Int[Tensor, "b n"], positions: Int[Tensor, "b n"], *, keep: int) -> "_Group":
        """A decoder's pass over further tokens, of which the last ones are compared."""
        embeds = self.trial.llm.get_input_embeddings()(ids)
        options: dict[str, Any] = {"attention_mask": self.mask, "position_ids": positions, "use_cache": True}
        found = decode(self.trial.llm, inputs_embeds=embeds, cache=self.cache, logits_to_keep=keep, **options)
        return self._compared(found.logits, found.cache)

    def _said(self, ids: Int[Tensor, "b n"]) -> "_Group":
        """A pass of an encoder-decoder's decoder over further tokens."""
        output = self.trial.llm(
            encoder_outputs=encoded(self.encoded),
            attention_mask=self.mask,
            decoder_input_ids=ids,
            past_key_values=self.cache,
            use_cache=True,
        )
        return self._compared(output.logits, output.past_key_values)

    def _compared(self, logits: Float[Tensor, "b n v"], cache: Any) -> "_Group":
        count = logits.shape[1]
        ends = zip(self.trial._own(self.numbers), self.read, strict=True)
        worst = max(self.worst, difference(logits, torch.stack([own[end - count : end] for own, end in ends])))
        return _Group(self.trial, self.numbers, self.read, self.mask, cache, self.encoded, worst)


def difference(found: Float[Tensor, "*b v"], own: Float[Tensor, "*b v"]) -> float:
    """The largest difference as a share of the largest logit; of what is no number, infinite."""
    if not found.isfinite().all():
        return float("inf")
    return (found.float() - own.float()).abs().max().item() / max(1.0, own.float().abs().max().item())


def _right(rows: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(rows), batch_first=True)


def _left(rows: Sequence[Tensor]) -> Tensor:
    width = max(map(len, rows))
    return torch.stack([functional.pad(row, (width - len(row), 0)) for row in rows])
