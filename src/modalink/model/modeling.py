"""The composed system as one Hugging Face model: encoders, input projectors, LLM, output projectors.

Generators stay outside: they are diffusers modules with their own format, joined in `modalink.model.compose.System`.
But a denoiser of which something can be trained is a part of the model, which is saved and loaded as all that learns.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationMixin, PreTrainedModel
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
)
from modalink.model.arguments import unpack
from modalink.model.configuration import ModalinkConfig
from modalink.model.heads import scalar_head, scores_of
from modalink.model.input_side import ModalinkModel, Read, needed
from modalink.model.output_side import OutputSide
from modalink.model.places import Placement
from modalink.model.pretrained import SavedByReference
from modalink.model.states import Asked, StateReader
from modalink.ragged import Ragged
from modalink.roles import Conditions, ConditionShape, Generator, Join


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


class ModalinkForConditionalGeneration(OutputSide, SavedByReference, GenerationMixin):
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
        generators: Those of whose denoiser something can be trained, by output modality; no parts of the model.
        denoisers: Their denoisers, which are.
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
        generators: dict[str, Generator],
        denoisers: dict[str, nn.Module],
        referenced: Collection[str],
    ) -> None:
        super().__init__(config)
        self.model = ModalinkModel(config, encoders, input_projectors, language_model, join)
        self.output_projectors = nn.ModuleDict(output_projectors)
        self.state_readers = nn.ModuleDict(state_readers)
        self.condition_shapes = condition_shapes
        self.learning_generators = generators
        self.denoisers = nn.ModuleDict(denoisers)
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
        """Set training mode; frozen encoders stay in evaluation mode, so that their features stay a pure function, and
        frozen denoisers do, too."""
        super().train(mode)
        for part in (*self.model.encoders.values(), *self.denoisers.values()):
            part.train(mode and any(p.requires_grad for p in part.parameters()))
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
        neighbours: Mapping[str, Tensor] | None = None,
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
            neighbours: The vectors of what was found for each run, by modality, where output projectors read them.
            read: The media in `inputs_embeds`, where the join's layers read them.
            kwargs: Media under the argument names of their modalities (`pixel_values`, ..., see `model/arguments.py`)
                or encoder outputs by modality as `features`, and the LLM's own options.

        Raises:
            PromptError: The items do not fill the placeholders, or a run of signal tokens is not whole.
        """
        items, (kwargs, given) = kwargs.pop("num_items_in_batch", None), unpack(kwargs)
        own = self.model.read(needed(input_ids), given, places) if inputs_embeds is None else read
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
            asked = self._asked(needed(spoken), decoded.states, signals, attention_mask, neighbours)
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
        neighbours: Mapping[str, Tensor] | None,
    ) -> dict[str, Asked]:
        """`asked` of a pass of `forward`: where it is told the runs, no padding stands before them."""
        rows = None if signals is not None or isinstance(mask, SegmentsMask) else mask
        own = None if rows is None else rows[:, -spoken.shape[1] :]
        return self.asked(spoken, layers, signals, own, neighbours=neighbours)

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


def _cross_entropy(logits: Float[Tensor, "b t v"], labels: Int[Tensor, "b t"], items: Any) -> Float[Tensor, ""]:
    """Mean over the labelled tokens, or the sum over `items`, their number in the whole step (Trainer's contract)."""
    reduction = "mean" if items is None else "sum"
    labels = labels.to(logits.device)
    loss = functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction=reduction)
    return loss if items is None else loss / items
