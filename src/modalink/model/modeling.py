"""The composed system as one Hugging Face model: encoders, input projectors, LLM, output projectors.

Generators stay outside: they are diffusers modules with their own format, joined in `modalink.model.compose.System`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import ModelOutput

from modalink.errors import PromptError
from modalink.llms import (
    ATTENTION,
    Decoded,
    Fit,
    SegmentsMask,
    both_ways,
    decode,
    fit_of,
    keep_meeting,
    meeting_before,
    rows_of,
)
from modalink.model.arguments import Given, unpack
from modalink.model.conditioning import conditions_of, heads
from modalink.model.configuration import ModalinkConfig
from modalink.model.heads import scalar_head, scores_of
from modalink.model.places import Placement, signal_runs
from modalink.model.pretrained import ModalinkPreTrainedModel, SavedByReference
from modalink.model.states import Asked, Earlier, StateReader
from modalink.ragged import Ragged
from modalink.roles import Conditions, ConditionShape, Encoder, Join, Meeting, OutputProjector, Placed


@dataclass
class ModalinkOutput(ModelOutput):
    """What a forward pass returns.

    Args:
        loss: Mean next-token cross-entropy, when labels were given.
        logits: `[b, t, v]`, or `[m, v]` for the m positions that a tensor `logits_to_keep` names.
        past_key_values: The cache, when one is used.
        hidden_states: Every layer's states, when asked for.
        attentions: Every layer's attention weights, when asked for.
        conditions: Modality -> conditions, one item for each run of signal tokens, when asked for.
        asked: Modality -> what its projectors read of each of them, when asked for.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    conditions: dict[str, Conditions] | None = None
    asked: dict[str, Asked] | None = None


@dataclass(frozen=True)
class Read:
    """What the LLM reads of tokens and media.

    Args:
        embeds: Its embedded input, `[b, t, d_llm]`.
        items: The media in it, by modality.
        prompt: How many of the first columns are the prompt, which a prefix LM reads in both directions; None for all
            before the first label.
    """

    embeds: Float[Tensor, "b t d_llm"]
    items: tuple[Placed, ...] = ()
    prompt: int | None = None

    @classmethod
    def of(cls, read: "Read | None", embeds: Float[Tensor, "c t d_llm"] | None) -> "Read":
        """What is read where embeddings may be given apart; each row may stand in them several times, as beams do."""
        if embeds is None or read is None:
            return read or cls(cast(Tensor, embeds))
        times = embeds.shape[0] // max(1, read.embeds.shape[0])
        items = read.items if times == 1 else tuple(placed.repeated(times, embeds.shape[1]) for placed in read.items)
        return cls(embeds, items, read.prompt)


class ModalinkModel(ModalinkPreTrainedModel):
    """The input side and the LLM's decoder: token ids and media in, last hidden states out.

    Args:
        config: The composite's configuration.
        encoders: Encoder by modality.
        input_projectors: Input projector by modality.
        language_model: The whole LLM, with its head.
        join: How media meet the LLM; it is put into it.
    """

    def __init__(
        self,
        config: ModalinkConfig,
        encoders: dict[str, nn.Module],
        input_projectors: dict[str, nn.Module],
        language_model: PreTrainedModel,
        join: Join,
    ) -> None:
        super().__init__(config)
        self.encoders = nn.ModuleDict(encoders)
        self.input_projectors = nn.ModuleDict(input_projectors)
        self.language_model = language_model
        self.join = join
        join.put_into(language_model)
        self.finish()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def encoder(self, modality: str) -> Encoder:
        """The encoder that reads a modality, as it reads that one."""
        owner = cast(Encoder, self.encoders[self.config.encoder_owners.get(modality, modality)])
        return owner.for_modality(modality)

    def input_projector(self, modality: str) -> nn.Module:
        """The input projector that a modality goes through."""
        return self.input_projectors[self.config.projector_owners.get(modality, modality)]

    def prompt_tokens(self, modality: str, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """What the LLM reads of encoded items."""
        projector = self.input_projector(modality)
        learned = next(projector.parameters(), None)
        found: Ragged = projector(features if learned is None else features.to(dtype=learned.dtype), texts)
        return found

    def embed(
        self,
        input_ids: Int[Tensor, "b t"],
        given: Given | None = None,
        places: Mapping[str, Placement] | None = None,
    ) -> Float[Tensor, "b t d_llm"]:
        """The LLM's input: embedded tokens, with what the join puts where placeholders stand.

        For example, with two prompt tokens an image that are spliced in, `[the, <image>, <image>, shows]` becomes
        `[e(the), image_0, image_1, e(shows)]`. Arguments and errors as for `read`.
        """
        return self.read(input_ids, given, places).embeds

    def read(
        self,
        input_ids: Int[Tensor, "b t"],
        given: Given | None = None,
        places: Mapping[str, Placement] | None = None,
    ) -> Read:
        """The LLM's input, and the media in it.

        Args:
            input_ids: Token ids.
            given: The media, in reading order.
            places: The places that stand for each item; found in the tokens where they are not given.

        Raises:
            PromptError: An item does not have the places that the join needs for it.
        """
        given = given or Given()
        placeholders: dict[str, int] = self.config.placeholders
        if unknown := {*given.media, *given.features} - placeholders.keys():
            raise PromptError(f"found media {sorted(unknown)}; this system reads {sorted(placeholders) or 'text only'}")
        held = torch.zeros_like(input_ids, dtype=torch.bool)
        for token in placeholders.values():
            held |= input_ids == token
        embeds = self.get_input_embeddings()(input_ids.masked_fill(held, 0))
        items: list[Placed] = []
        for modality, token in placeholders.items():
            prompt = self._prompt(modality, given)
            lengths = self.join.lengths(prompt) if prompt is not None else ()
            if places is None:
                placed = Placement.find(input_ids, token, lengths, modality)
            else:
                placed = places.get(modality, Placement.of([], []))
                placed.check(lengths, modality)
            if prompt is not None:
                items.append(Placed(modality, prompt, placed.index, placed.lengths, placed.starts))
        return Read(self.join.embed(embeds, items), tuple(items))

    @contextmanager
    def meeting(self, read: Read, attention_mask: Tensor | None, cache: Any) -> Iterator[Meeting | None]:
        """Tell the join's layers of a pass, as long as it lasts."""
        met = self.join.meet(rows_of(read.embeds, attention_mask), read.items, meeting_before(cache))
        with self.join.told(met):
            yield met

    def _prompt(self, modality: str, given: Given) -> Ragged | None:
        features = given.features.get(modality)
        if features is None and modality in given.media:
            features = self.encoder(modality)(given.media[modality])
        if features is None:
            return None
        texts = given.texts.get(modality)
        return self.prompt_tokens(modality, features, None if texts is None else texts.to(features.values.device))

    def forward(
        self,
        input_ids: Int[Tensor, "b t"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "b t d_llm"] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """The LLM's decoder over text and media; media go under the argument names of their modalities."""
        kwargs, given = unpack(kwargs)
        read = self.read(_needed(input_ids), given) if inputs_embeds is None else Read(inputs_embeds)
        decoder = self.language_model.get_decoder()
        with self.meeting(read, attention_mask, kwargs.get("past_key_values")) as met:
            if met is not None:
                kwargs["position_ids"] = met.positions(kwargs.get("position_ids"))
            output = decoder(inputs_embeds=read.embeds, attention_mask=attention_mask, **kwargs)
        keep_meeting(met, output.get("past_key_values"))
        return cast(BaseModelOutputWithPast, output)


class ModalinkForConditionalGeneration(SavedByReference, GenerationMixin):
    """An MM-LLM: text and media in; text, and conditions for generators, out.

    Args:
        config: The composite's configuration.
        encoders: Encoder by input modality.
        input_projectors: Input projector by input modality.
        language_model: The whole LLM, with its head.
        join: How media meet the LLM.
        output_projectors: Output projector by output modality; several in a `ModuleDict` by the condition each makes,
            where the generator reads more than one, or one that makes them all.
        state_readers: What reads the LLM's states for these.
        condition_shapes: The conditions that each output modality's generator declares.
        referenced: Names of the parts, and of sections of parts, that come from a checkpoint.
    """

    def __init__(
        self,
        config: ModalinkConfig,
        encoders: dict[str, nn.Module],
        input_projectors: dict[str, nn.Module],
        language_model: PreTrainedModel,
        join: Join,
        output_projectors: dict[str, nn.Module],
        state_readers: dict[str, StateReader],
        condition_shapes: dict[str, dict[str, ConditionShape]],
        referenced: Collection[str],
    ) -> None:
        super().__init__(config)
        self.model = ModalinkModel(config, encoders, input_projectors, language_model, join)
        self.output_projectors = nn.ModuleDict(output_projectors)
        self.state_readers = nn.ModuleDict(state_readers)
        self.condition_shapes = condition_shapes
        self.both_ways = bool(config.spec.get("llm", {}).get("prefix_lm"))
        self.reward_head = scalar_head(config, language_model, "reward_head")
        self.value_head = scalar_head(config, language_model, "value_head")
        self.generation_config = language_model.generation_config
        self.finish()
        self.fingerprint = self.traced(referenced)

    @property
    def language_model(self) -> PreTrainedModel:
        """The LLM."""
        return self.model.language_model

    @property
    def packs(self) -> bool:
        """Whether the LLM can read a packed batch."""
        return self.language_model.config._attn_implementation == ATTENTION and self.fit.packs

    @property
    def fit(self) -> Fit:
        """How the LLM is run, so that it says what its class says by itself."""
        return fit_of(self.language_model)

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.language_model.set_output_embeddings(new_embeddings)

    def train(self, mode: bool = True) -> "ModalinkForConditionalGeneration":
        """Set training mode; frozen encoders stay in evaluation mode, so that their features stay a pure function."""
        super().train(mode)
        for encoder in self.model.encoders.values():
            encoder.train(mode and any(p.requires_grad for p in encoder.parameters()))
        return self

    def encode(self, modality: str, items: Ragged) -> Ragged:
        """Encoder outputs of preprocessed items: what `forward` takes as `features`."""
        features: Ragged = self.model.encoder(modality)(items)
        return features

    def forward(
        self,
        input_ids: Int[Tensor, "b t"] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Int[Tensor, "b t"] | None = None,
        past_key_values: Any = None,
        inputs_embeds: Float[Tensor, "b t d_llm"] | None = None,
        labels: Int[Tensor, "b u"] | None = None,
        logits_to_keep: int | Tensor = 0,
        return_conditions: bool = False,
        return_asked: bool = False,
        places: Mapping[str, Placement] | None = None,
        signals: Mapping[str, Placement] | None = None,
        read: Read | None = None,
        **kwargs: Any,
    ) -> ModalinkOutput:
        """One pass over text and media.

        Args:
            input_ids: Token ids; placeholders stand once for each place of an item.
            attention_mask: 1 for tokens and 0 for padding, or the mask of a packed batch's `llms.Segments`.
            position_ids: Place of each token in its own sample; needed for a packed batch.
            past_key_values: Cache of the tokens before.
            inputs_embeds: Embedded input instead of ids, as `ModalinkModel.read` makes it.
            labels: Tokens to predict, -100 where none; for an encoder-decoder the reply.
            logits_to_keep: How many of the last positions need logits (0 = all), or a boolean mask of positions, or the
                positions themselves `[m]` in a single row.
            return_conditions: Whether to project the states at signal tokens.
            return_asked: Whether to give these states, as output projectors read them.
            places: The places that stand for each item, by modality; found in the tokens where they are not given.
            signals: The places of each run of signal tokens, by modality; found in the tokens where not given.
            read: The media in `inputs_embeds`, where the join's layers read them.
            kwargs: Media under the argument names of their modalities (`pixel_values`, ..., see `model/arguments.py`)
                or encoder outputs by modality as `features`, and the LLM's own options.

        Raises:
            PromptError: The items do not fill the placeholders, or a run of signal tokens is not whole.
        """
        items, (kwargs, given) = kwargs.pop("num_items_in_batch", None), unpack(kwargs)
        own = self.model.read(_needed(input_ids), given, places) if inputs_embeds is None else read
        read = Read.of(own, inputs_embeds)
        kwargs |= {"output_hidden_states": True} if return_conditions or return_asked else {}
        kwargs.update(inputs_embeds=read.embeds, attention_mask=attention_mask, labels=labels)
        if self.config.is_encoder_decoder:
            kwargs["past_key_values"] = past_key_values
            decoded, spoken = self._reply(kwargs), kwargs["decoder_input_ids"]
            loss = None if labels is None else _cross_entropy(decoded.logits, labels, items)
            logits = decoded.logits[logits_to_keep] if isinstance(logits_to_keep, Tensor) else decoded.logits
        else:
            decoded = self._decoded(read, position_ids, past_key_values, kwargs | {"logits_to_keep": logits_to_keep})
            single = isinstance(logits_to_keep, Tensor) and logits_to_keep.ndim == 1
            spoken, logits = input_ids, decoded.logits[0] if single else decoded.logits
            loss = None if labels is None else _cross_entropy(logits[:, :-1], labels[:, 1:], items)
        asked = None
        if return_conditions or return_asked:
            asked = self._asked(_needed(spoken), decoded.states, signals, attention_mask)
        made, told = self.conditions(asked or {}) if return_conditions else None, asked if return_asked else None
        return ModalinkOutput(loss, logits, decoded.cache, decoded.hidden_states, decoded.attentions, made, told)

    def _mask(self, read: Read, mask: Tensor | None, cache: Any, labels: Int[Tensor, "b t"] | None) -> Tensor | None:
        """The attention mask: of a prefix LM's padded prompts, one that lets them be read in both directions."""
        if not self.both_ways or isinstance(mask, SegmentsMask) or (cache is not None and cache.get_seq_length()):
            return mask
        mask = torch.ones(read.embeds.shape[:2], dtype=torch.long, device=read.embeds.device) if mask is None else mask
        prefix = mask.bool()
        if labels is not None:
            prefix = prefix & ((labels != -100).cumsum(1) == 0)
        if read.prompt is not None:
            prefix = prefix & (torch.arange(mask.shape[1], device=mask.device) < read.prompt)
        return both_ways(mask, prefix)

    def _decoded(
        self, read: Read, position_ids: Int[Tensor, "b t"] | None, cache: Any, kwargs: dict[str, Any]
    ) -> Decoded:
        kwargs["attention_mask"] = self._mask(read, kwargs["attention_mask"], cache, kwargs.pop("labels"))
        with self.model.meeting(read, kwargs["attention_mask"], cache) as met:
            positions = position_ids if met is None else met.positions(position_ids)
            if positions is not None and kwargs["attention_mask"] is None and cache is None:
                # Without a mask transformers takes a position that does not grow for the start of another sample.
                kwargs["attention_mask"] = torch.ones_like(positions) if positions is not position_ids else None
            decoded = decode(self.language_model, cache=cache, position_ids=positions, **kwargs)
        keep_meeting(met, decoded.cache)
        return decoded

    def _reply(self, kwargs: dict[str, Any]) -> Decoded:
        labels = kwargs.pop("labels")
        if "decoder_input_ids" not in kwargs:
            if labels is None:
                raise PromptError("an encoder-decoder needs labels or decoder_input_ids; found neither")
            kwargs["decoder_input_ids"] = self.language_model.prepare_decoder_input_ids_from_labels(labels=labels)
        output = self.language_model(**kwargs)
        return Decoded(output.logits, output.past_key_values, output.decoder_hidden_states, output.get("attentions"))

    def _asked(
        self,
        spoken: Int[Tensor, "b t"],
        layers: Sequence[Float[Tensor, "b t d_llm"]],
        signals: Mapping[str, Placement] | None,
        mask: Tensor | None,
    ) -> dict[str, Asked]:
        """The same of a pass of `forward`: where it is told the runs, no padding stands before them."""
        rows = None if signals is not None or isinstance(mask, SegmentsMask) else mask
        return self.asked(spoken, layers, signals, None if rows is None else rows[:, -spoken.shape[1] :])

    def asked(
        self,
        spoken: Int[Tensor, "b t"],
        layers: Sequence[Float[Tensor, "b t d_llm"]],
        signals: Mapping[str, Placement] | None = None,
        mask: Tensor | None = None,
        earlier: Mapping[str, Earlier] | None = None,
    ) -> dict[str, Asked]:
        """What output projectors read for each run of signal tokens, in reading order, by modality.

        Args:
            spoken: Ids of the tokens at which the states stand.
            layers: The LLM's hidden states of every layer.
            signals: The places of the runs, by modality; found in the tokens where they are not given.
            mask: 1 for tokens and 0 for padding, where some may stand on the left.
            earlier: What `heard` gave of the tokens before.

        Raises:
            PromptError: A run of signal tokens is not whole, or nothing stands before one whose prompt is read.
        """
        found = {}
        for modality, ids in self.config.signals.items():
            runs = signal_runs(spoken, ids, modality) if signals is None else signals.get(modality)
            if runs is not None:
                owner = self.link_owner(modality)
                found[modality] = self.reader(modality).asked(layers, runs, mask, (earlier or {}).get(owner))
        return found

    def heard(self, layers: Sequence[Float[Tensor, "b t d_llm"]]) -> dict[str, Float[Tensor, "b t d_llm"]]:
        """What must be kept of all tokens for output projectors that look back, by their modality."""
        return {owner: self.reader(owner).joined(layers) for owner in self.listening}

    @property
    def listening(self) -> tuple[str, ...]:
        """The modalities whose output projectors read what stands before the signal tokens."""
        return tuple(m for m in self.state_readers if self.reader(m).looks_back)

    def conditions(
        self, asked: Mapping[str, Asked], rngs: Mapping[str, Sequence[torch.Generator]] | None = None
    ) -> dict[str, Conditions]:
        """The conditions that output projectors make of what they read.

        Args:
            asked: What they read, by modality.
            rngs: By modality, for each item its own source of noise, for projectors that draw.
        """
        return {
            modality: conditions_of(
                self.link(modality), found, self.condition_shapes[modality], (rngs or {}).get(modality)
            )
            for modality, found in asked.items()
        }

    def nothing(self, modality: str) -> Conditions | None:
        """What output projectors make of states that are zero, one item, where guidance steers away from that."""
        if self.config.spec["outputs"][modality].get("nothing") != "zeros":
            return None
        link, width = self.link(modality), cast(Any, self.get_input_embeddings()).embedding_dim
        states = next(link.parameters()).new_zeros(1, self.reader(modality).count, width)
        return conditions_of(link, Asked(states), self.condition_shapes[modality])

    def rewards(self, states: Float[Tensor, "b t d_llm"], ends: Sequence[int]) -> Float[Tensor, " s"]:
        """What replies are worth, float32.

        Args:
            states: The LLM's last states.
            ends: Places of the last tokens of the replies, counted through all rows.

        Raises:
            PartError: The system has no such head.
        """
        return scores_of(self.reward_head, states.flatten(0, 1)[[*ends]], "reward_head")

    def values(self, states: Float[Tensor, "b t d_llm"], predicting: Tensor) -> Float[Tensor, " m"]:
        """What is expected of replies from each labelled token on, before it is said, float32.

        Args:
            states: The LLM's last states.
            predicting: Where these tokens are predicted, see `Batch.predicting`.

        Raises:
            PartError: The system has no such head.
        """
        at = states[0][predicting] if predicting.ndim == 1 else states[predicting]
        return scores_of(self.value_head, at, "value_head")

    def link_owner(self, modality: str) -> str:
        """The modality whose output projectors make the conditions of this one."""
        return self.config.link_owners.get(modality, modality)

    def link(self, modality: str) -> nn.Module:
        """The output projectors that make the conditions of a modality."""
        return self.output_projectors[self.link_owner(modality)]

    def reader(self, modality: str) -> StateReader:
        """What reads the LLM's states for them."""
        return cast(StateReader, self.state_readers[self.link_owner(modality)])

    def heads(self, modality: str) -> dict[str, OutputProjector]:
        """The output projectors of a modality by the condition that each makes; none where one makes all at once."""
        return heads(self.link(modality), self.condition_shapes[modality])

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """Continue a prompt, as `GenerationMixin.generate`; media go under the argument names of their modalities.

        Media are encoded once, before the loop, so caches, beams and sampling see embedded input only.

        Returns:
            Token ids (with the prompt, for a decoder), or what `return_dict_in_generate` asks for.

        Raises:
            PromptError: Prompts are padded, and the LLM is one that would say something else then.
        """
        input_ids = kwargs.pop("input_ids", inputs)
        kwargs, given = unpack(kwargs)
        if kwargs.get("inputs_embeds") is None and input_ids is not None:
            read = self.model.read(input_ids, given)
            kwargs |= {"inputs_embeds": read.embeds} | ({} if self.config.is_encoder_decoder else {"read": read})
        if self.config.is_encoder_decoder:
            return self.language_model.generate(**kwargs)
        if self.both_ways and (embeds := kwargs.get("inputs_embeds")) is not None:
            kwargs["read"] = replace(kwargs.get("read") or Read(embeds), prompt=embeds.shape[1])
        mask = kwargs.get("attention_mask")
        if mask is not None and not self.fit.pads and not mask.bool().all():
            family = type(self.language_model).__name__
            raise PromptError(
                f"found padded prompts, and padding changes what {family} says; give prompts of one length together"
            )
        spoken = self.config.get_text_config().vocab_size
        if silent := [[token] for token in self.config.placeholders.values() if token < spoken]:
            kwargs["bad_words_ids"] = [*(kwargs.get("bad_words_ids") or []), *silent]
        return super().generate(input_ids, **kwargs)


def _needed(input_ids: Tensor | None) -> Tensor:
    if input_ids is None:
        raise PromptError("found neither input_ids nor inputs_embeds; give one of them")
    return input_ids


def _cross_entropy(logits: Float[Tensor, "b t v"], labels: Int[Tensor, "b t"], items: Any) -> Float[Tensor, ""]:
    """Mean over the labelled tokens, or the sum over `items`, their number in the whole step (Trainer's contract)."""
    reduction = "mean" if items is None else "sum"
    labels = labels.to(logits.device)
    loss = functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction=reduction)
    return loss if items is None else loss / items
