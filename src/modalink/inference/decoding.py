"""Rows that are decoded side by side: what the LLM keeps of them, and the passes that make them longer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, EncoderDecoderCache

from modalink.inference.encoded import MediaFeatures
from modalink.inference.row import Row
from modalink.llms import encoded, keep_meeting, meeting_before, select_rows
from modalink.model import Prepared, System
from modalink.model.arguments import Given
from modalink.model.collating import placed
from modalink.model.input_side import Read
from modalink.model.items import Item, ragged, texts
from modalink.model.states import Earlier


@dataclass(frozen=True)
class Prompts:
    """Prompts side by side; media are encoded.

    A decoder's are padded on the left, so that every answer stands right behind its prompt; an encoder-decoder's on the
    right, so that each token stands at its own place.

    Args:
        ids: Token ids.
        mask: 1 for tokens and 0 for padding.
        read: What the LLM reads.
    """

    ids: Int[Tensor, "b t"]
    mask: Int[Tensor, "b t"]
    read: Read


@dataclass(frozen=True)
class Group:
    """Rows that go forward together.

    Args:
        rows: The rows.
        cache: What the LLM keeps of their tokens so far.
        mask: Which tokens of the cache, or for an encoder-decoder of its prompts, are no padding.
        scores: Logits of each row's next token.
        encoded: What an encoder-decoder's encoder made of the prompts.
        pads: Whether padding on the left changes nothing.
        heard: States of the tokens of the cache, by output modality whose projector reads what stands before.
    """

    rows: list[Row]
    cache: Any
    mask: Int[Tensor, "b t"]
    scores: Float[Tensor, "b v"]
    encoded: Float[Tensor, "b t d_llm"] | None = None
    pads: bool = True
    heard: Mapping[str, Float[Tensor, "b t d_llm"]] = field(default_factory=dict)

    def select(self, indices: Sequence[int]) -> "Group":
        """Some of the rows; the group stays as it is."""
        if len(indices) == len(self.rows):
            return self
        index = torch.tensor(indices, dtype=torch.long, device=self.mask.device)
        return Group(
            [self.rows[i] for i in indices],
            select_rows(self.cache, index),
            self.mask[index],
            self.scores[index],
            None if self.encoded is None else self.encoded[index],
            self.pads,
            {modality: states[index] for modality, states in self.heard.items()},
        )

    @property
    def earlier(self) -> dict[str, Earlier]:
        """What was read of the tokens of the cache, and which of them are no padding."""
        return {modality: Earlier(states, self.mask) for modality, states in self.heard.items()}

    @property
    def can_join(self) -> bool:
        """Whether other rows may be put beside these: padding on the left must change nothing."""
        layers = getattr(self.cache, "layers", [None])
        return self.pads and self.encoded is None and all(type(layer) is DynamicLayer for layer in layers)


@dataclass(frozen=True)
class Extended:
    """What a pass over further tokens gives.

    Args:
        group: The rows, these tokens behind them.
        logits: At all of the tokens where their states were asked for, else at the last.
        layers: The LLM's hidden states of every layer at the tokens, where they were asked for.
    """

    group: Group
    logits: Float[Tensor, "b n v"]
    layers: tuple[Float[Tensor, "b n d_llm"], ...] = ()


def join(groups: Sequence[Group]) -> list[Group]:
    """Groups as one, those that are shorter padded on the left; as they are where that cannot be."""
    if len(groups) == 1 or not all(group.can_join for group in groups):
        return list(groups)
    width = max(group.mask.shape[1] for group in groups)
    cache = DynamicCache()
    pads = [(0, 0, width - group.mask.shape[1], 0) for group in groups]
    for number, layers in enumerate(zip(*(group.cache.layers for group in groups), strict=True)):
        keys = torch.cat([functional.pad(layer.keys, pad) for layer, pad in zip(layers, pads, strict=True)])
        values = torch.cat([functional.pad(layer.values, pad) for layer, pad in zip(layers, pads, strict=True)])
        cache.update(keys, values, number)
    first, *others = [meeting_before(group.cache) for group in groups]
    keep_meeting(first and first.beside([met for met in others if met is not None]), cache)
    masks = [functional.pad(group.mask, (width - group.mask.shape[1], 0)) for group in groups]
    rows = [row for group in groups for row in group.rows]
    heard = {
        modality: torch.cat([functional.pad(g.heard[modality], pad) for g, pad in zip(groups, pads, strict=True)])
        for modality in groups[0].heard
    }
    return [Group(rows, cache, torch.cat(masks), torch.cat([group.scores for group in groups]), heard=heard)]


def embed_prompts(system: System, prompts: Sequence[Prepared], encoded: MediaFeatures | None = None) -> Prompts:
    """Prompts side by side; each encoder runs once over all their media, or over those that were not `encoded`."""
    device = system.model.device
    width = max(len(prompt.input_ids) for prompt in prompts)
    right = system.model.config.is_encoder_decoder
    before = [0 if right else width - len(prompt.input_ids) for prompt in prompts]
    ids = torch.full((len(prompts), width), system.processor.tokenizer.pad_token_id or 0)
    mask = torch.zeros_like(ids)
    for number, (start, prompt) in enumerate(zip(before, prompts, strict=True)):
        end = start + len(prompt.input_ids)
        ids[number, start:end], mask[number, start:end] = torch.tensor(prompt.input_ids), 1
    starts = [number * width + n for number, n in enumerate(before)]
    places = placed(starts, [(prompt.id, prompt.places) for prompt in prompts])
    items: dict[str, list[Item]] = {}
    for prompt in prompts:
        for modality, own in prompt.media.items():
            items.setdefault(modality, []).extend(own)
    beside = {m: said.to(device) for m, own in items.items() if (said := texts(own)) is not None}
    if encoded is None:
        given = Given({m: ragged(own).to(device) for m, own in items.items()}, texts=beside)
    else:
        given = Given(features=encoded.features(items), texts=beside)
    ids, mask = ids.to(device), mask.to(device)
    read = system.model.model.read(ids, given, {m: found.to(device) for m, found in places.items()})
    return Prompts(ids, mask, read)


class Decoder:
    """The passes of a decoder-only LLM."""

    def __init__(self, system: System) -> None:
        self.model = system.model
        self.listens = bool(system.model.listening)

    def begin(self, rows: list[Row], prompts: Prompts) -> Group:
        """The pass over the prompts."""
        # Without a configuration all layers of a cache are alike, and sliding windows are a matter of the mask.
        cache = DynamicCache() if self.model.packs else None
        output = self.model(
            inputs_embeds=prompts.read.embeds,
            read=prompts.read,
            attention_mask=prompts.mask,
            position_ids=(prompts.mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            output_hidden_states=self.listens,
        )
        heard = self.model.heard(output.hidden_states) if self.listens else {}
        scores = output.logits[:, -1]
        return Group(rows, output.past_key_values, prompts.mask, scores, pads=self.model.fit.pads, heard=heard)

    def extend(
        self,
        group: Group,
        ids: Int[Tensor, "b n"],
        *,
        states: bool = False,
        embeds: Float[Tensor, "b n d_llm"] | None = None,
    ) -> Extended:
        """A pass over further tokens, as many in each row.

        Args:
            group: The rows; their cache grows in place.
            ids: The tokens.
            states: Whether hidden states at the tokens are needed, and the logits at all of them.
            embeds: What is read of the tokens, where media are among them.
        """
        embeds = self.model.get_input_embeddings()(ids) if embeds is None else embeds
        if ids.shape[1] > 1 and not self.model.fit.spans:
            return self._extend_singly(group, ids, embeds, states=states)
        mask = torch.cat([group.mask, torch.ones_like(ids)], 1)
        output = self.model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1)[:, -ids.shape[1] :],
            past_key_values=group.cache,
            use_cache=True,
            logits_to_keep=0 if states else 1,
            output_hidden_states=states or self.listens,
        )
        new = self.model.heard(output.hidden_states) if self.listens else {}
        heard = {modality: torch.cat([group.heard[modality], found], 1) for modality, found in new.items()}
        group = replace(group, mask=mask, scores=output.logits[:, -1], cache=output.past_key_values, heard=heard)
        return Extended(group, output.logits, output.hidden_states if states else ())

    def _extend_singly(
        self, group: Group, ids: Int[Tensor, "b n"], embeds: Float[Tensor, "b n d_llm"], *, states: bool
    ) -> Extended:
        """A pass for each token, for an LLM that cannot read several behind its cache."""
        steps = []
        for token, read in zip(ids.split(1, 1), embeds.split(1, 1), strict=True):
            steps.append(self.extend(group, token, states=states, embeds=read))
            group = steps[-1].group
        if not states:
            return steps[-1]
        layers = tuple(torch.cat(each, 1) for each in zip(*(step.layers for step in steps), strict=True))
        return Extended(group, torch.cat([step.logits for step in steps], 1), layers)


class EncoderDecoder:
    """The passes of an encoder-decoder: its encoder reads the prompts once, its decoder speaks."""

    def __init__(self, system: System) -> None:
        self.model = system.model

    def begin(self, rows: list[Row], prompts: Prompts) -> Group:
        """The passes over the prompts and the token that answers start from."""
        encoder = self.model.language_model.get_encoder()
        encoded = encoder(inputs_embeds=prompts.read.embeds, attention_mask=prompts.mask).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        start = self.model.config.get_text_config(decoder=True).decoder_start_token_id
        ids = torch.full((len(rows), 1), start, device=prompts.ids.device)
        return self.extend(Group(rows, cache, prompts.mask, encoded[:, 0], encoded), ids).group

    def extend(self, group: Group, ids: Int[Tensor, "b n"], *, states: bool = False) -> Extended:
        """A pass of the decoder over further tokens, as `Decoder.extend`."""
        output = self.model.language_model(
            encoder_outputs=encoded(group.encoded),
            attention_mask=group.mask,
            decoder_input_ids=ids,
            past_key_values=group.cache,
            use_cache=True,
            output_hidden_states=states,
        )
        group = replace(group, scores=output.logits[:, -1], cache=output.past_key_values)
        return Extended(group, output.logits, output.decoder_hidden_states if states else ())
