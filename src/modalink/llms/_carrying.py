"""Whether an LLM family carries a join, found out with a tiny LLM of its own class and a tiny join in its layers.

What the tiny LLM says with the join to one sample alone is compared with what it says to the same sample in a batch, in
a packed stream, and behind its cache; and without the join it must say what it said before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel

from modalink.errors import PartError
from modalink.llms._calls import Decoded, decode, select_rows
from modalink.llms._meetings import keep_meeting, meeting_before
from modalink.llms._probe import Fit, apart, built, fit_of, forms_of, said, words
from modalink.llms._segments import Segments
from modalink.llms._trial import TOLERANCE, difference
from modalink.ragged import Layout, Ragged
from modalink.roles import Join, JoinConfig, Placed, Rows
from modalink.verdicts import Verdict, remembered

_TEXTS = ((2, 3, 5), (9,), (0, 7))
"""Of each sample the tokens of text before, between and behind its items."""
_PROMPT, _SAID = 3, 3
"""Prompt tokens of an item, and tokens at the end of each sample that are said one by one."""


def why_not(llm: PreTrainedModel, config: JoinConfig) -> str:
    """Why an LLM's family cannot carry a join, in words; empty where it can.

    Args:
        llm: The LLM, without the join.
        config: The join; only one that is in the LLM's layers is tried.
    """
    return carried(type(llm), llm.config, fit_of(llm), config) if config.in_layers else ""


def carried(family: type[PreTrainedModel], architecture: PreTrainedConfig, fit: Fit, config: JoinConfig) -> str:
    """Why a family cannot carry a join, in words; empty where it can.

    Args:
        family: The LLM's class.
        architecture: Its configuration, of any size.
        fit: How it is run.
        config: The join, which is tried at the size of its own `trial`.
    """
    forms = [form for form in forms_of(architecture) if not isinstance(form, Exception)]
    if not forms:
        return "its configuration has no tiny form"
    small, room = config.trial(), __package__ or ""
    names = ("_carrying", "_layers", "_calls", "_attention", "_segments", "_probe", "_tiny")
    joins = ("_sight", "_spliced", "_vectors")
    verdict = remembered(
        {"class": f"{family.__module__}.{family.__qualname__}", "form": said(forms[0]), "join": small.model_dump()},
        lambda: _tried(family, forms, fit, small),
        libraries=("torch", "transformers"),
        code=[
            *(f"{room}.{name}" for name in names),
            *(f"{config.room}.{name}" for name in joins),
            type(config).__module__,
        ],
    )
    return verdict.reason


def _tried(family: type[PreTrainedModel], forms: Sequence[Any], fit: Fit, config: JoinConfig) -> Verdict:
    first = ""  # what went wrong in the smallest form: later ones may be refused for their size alone
    with apart():
        for form in forms:
            try:
                llm = built(family, form)
                if fit.attention is not None:
                    llm.set_attn_implementation(fit.attention)
                reason = _wrong(llm, fit, config)
            except Exception as error:  # whatever the class or the join raises
                if isinstance(error, _CannotCarry):  # which no larger form changes
                    return Verdict("refused", words(error))
                first = first or words(error)
                continue
            return Verdict("refused" if reason else "right", reason)
    return Verdict("refused", first)


class _CannotCarry(PartError):
    """A join that cannot be built for a family."""


def _wrong(llm: PreTrainedModel, fit: Fit, config: JoinConfig) -> str:
    """What is wrong with a join in a tiny LLM; empty if nothing is."""
    try:
        join = config.build(llm, ("item",)).requires_grad_(False)
    except PartError as error:
        raise _CannotCarry(str(error)) from error
    for parameter in join.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.5 if parameter.ndim < 2 else parameter.shape[-1] ** -0.5)
    samples = [_Sample.drawn(join, llm, texts) for texts in _TEXTS]
    plain = _Joined(llm, join, fit, samples)
    bare = [plain.bare(sample) for sample in samples]
    join.put_into(llm)
    alone = [plain.read([sample]).logits[0] for sample in samples]
    if difference(alone[0], bare[0]) < TOLERANCE:
        return "its layers do not compute with what the join puts into them"
    expected = torch.cat(alone)
    ways = {"a padded batch": plain.read(samples).logits[plain.mask(samples).bool()]}
    if fit.packs:
        ways["a packed stream"] = plain.packed()[0]
    for what, found in ways.items():
        if (worst := difference(found, expected)) > TOLERANCE:
            return f"what it says to a sample in {what} is not what it says to it alone (by {worst:.1g})"
    if (worst := plain.behind(alone)) > TOLERANCE:
        return f"what it says behind its cache is not what it says without (by {worst:.1g})"
    join.take_out()
    same = all(torch.equal(plain.bare(sample), own) for sample, own in zip(samples, bare, strict=True))
    return "" if same else "it does not say what it said before when the join is taken out"


@dataclass(frozen=True)
class _Sample:
    """A sample as embedded text, and the places of its items.

    Args:
        embeds: Text, and zeros where items are.
        places: Places of each item.
        prompts: Prompt tokens of each item.
    """

    embeds: Float[Tensor, "t d"]
    places: tuple[range, ...]
    prompts: tuple[Tensor, ...]

    @classmethod
    def drawn(cls, join: Join, llm: PreTrainedModel, texts: Sequence[int]) -> "_Sample":
        width = llm.get_input_embeddings().embedding_dim
        prompts = tuple(torch.randn(_PROMPT, width) for _ in texts[1:])
        (length,) = join.lengths(_ragged(prompts[:1])) if prompts else (0,)
        pieces, places, start = [], [], 0
        for number, count in enumerate(texts):
            pieces.append(llm.get_input_embeddings()(torch.randint(16, 80, (count,))))
            start += count
            if number < len(prompts):
                pieces.append(torch.zeros(length, width))
                places.append(range(start, start + length))
                start += length
        return cls(torch.cat(pieces), tuple(places), prompts)

    def __len__(self) -> int:
        return len(self.embeds)


def _ragged(prompts: Sequence[Tensor]) -> Ragged:
    return Ragged.of(prompts, [Layout(1, (len(prompt),)) for prompt in prompts])


@dataclass(frozen=True)
class _Joined:
    """A tiny LLM with a join, and samples for both."""

    llm: PreTrainedModel
    join: Join
    fit: Fit
    samples: Sequence[_Sample]

    def bare(self, sample: _Sample) -> Float[Tensor, "t v"]:
        """What the LLM says to a sample without items."""
        mask = torch.ones(1, len(sample), dtype=torch.long)
        options: dict[str, Any] = {"attention_mask": mask, "use_cache": False}
        return decode(self.llm, inputs_embeds=sample.embeds[None], **options).logits[0]

    def mask(self, samples: Sequence[_Sample], *, left: bool = False) -> Tensor:
        """1 for tokens and 0 for padding."""
        rows = [torch.ones(len(sample), dtype=torch.long) for sample in samples]
        return pad_sequence(rows, batch_first=True, padding_side="left" if left else "right")

    def read(
        self, samples: Sequence[_Sample], *, left: bool = False, cache: Any = None, cached: bool = False
    ) -> Decoded:
        """A pass over samples as rows."""
        mask = self.mask(samples, left=left)
        embeds = pad_sequence(
            [sample.embeds for sample in samples], batch_first=True, padding_side="left" if left else "right"
        )
        width = embeds.shape[1]
        starts = [row * width + (width - len(sample) if left else 0) for row, sample in enumerate(samples)]
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return self._passed(embeds, mask, positions, self._placed(samples, starts), cache, cached)

    def packed(self) -> Float[Tensor, "1 t v"]:
        """A pass over all samples as one stream."""
        segments = Segments.of(map(len, self.samples))
        embeds = torch.cat([sample.embeds for sample in self.samples])[None]
        starts = segments.cumulative[:-1].tolist()
        items = self._placed(self.samples, starts)
        return self._passed(embeds, segments.mask(), segments.positions, items, None, False, segments.lengths).logits

    def behind(self, alone: Sequence[Tensor]) -> float:
        """The last tokens one by one behind the cache of prompts side by side, of which rows are chosen on the way."""
        together = [[*range(len(self.samples))]] if self.fit.pads else [[number] for number in range(len(self.samples))]
        return max(self._group_behind(numbers, alone) for numbers in together)

    def _group_behind(self, numbers: Sequence[int], alone: Sequence[Tensor]) -> float:
        prompts = [_cut(self.samples[number]) for number in numbers]
        mask, cache = self.mask(prompts, left=True), DynamicCache() if self.fit.packs else None
        passed, worst, chosen = self.read(prompts, left=True, cache=cache, cached=True), 0.0, [*numbers]
        for step in range(_SAID):
            kept = passed.cache
            if step == 1:
                chosen, rows = chosen[::-1], torch.arange(len(chosen)).flip(0)
                kept, mask = select_rows(kept, rows), mask[rows]
            place = step - _SAID
            embeds = torch.stack([self.samples[number].embeds[place][None] for number in chosen])
            mask = torch.cat([mask, torch.ones(len(chosen), 1, dtype=torch.long)], 1)
            passed = self._passed(embeds, mask, (mask.cumsum(1) - 1)[:, -1:], (), kept, True)
            worst = max(worst, difference(passed.logits[:, -1], torch.stack([alone[n][place] for n in chosen])))
        return worst

    def _placed(self, samples: Sequence[_Sample], starts: Sequence[int]) -> tuple[Placed, ...]:
        found = [
            (prompt, [start + place for place in places])
            for start, sample in zip(starts, samples, strict=True)
            for prompt, places in zip(sample.prompts, sample.places, strict=True)
        ]
        if not found:
            return ()
        index = torch.tensor([*chain.from_iterable(places for _, places in found)])
        lengths, firsts = zip(*((len(places), places[0]) for _, places in found), strict=True)
        return (Placed("item", _ragged([prompt for prompt, _ in found]), index, lengths, firsts),)

    def _passed(
        self,
        embeds: Tensor,
        mask: Tensor,
        positions: Tensor,
        items: Sequence[Placed],
        cache: Any,
        cached: bool,
        segments: Sequence[int] | None = None,
    ) -> Decoded:
        embeds = self.join.embed(embeds, items)
        met = self.join.meet(Rows.of(embeds, segments), items, meeting_before(cache))
        places = positions if met is None else met.positions(positions)
        options: dict[str, Any] = {"attention_mask": mask, "position_ids": places, "use_cache": cached}
        with self.join.told(met):
            found = decode(self.llm, inputs_embeds=embeds, cache=cache, **options)
        keep_meeting(met, found.cache)
        return found


def _cut(sample: _Sample) -> _Sample:
    """A sample without the tokens that are said one by one."""
    return _Sample(sample.embeds[:-_SAID], sample.places, sample.prompts)
