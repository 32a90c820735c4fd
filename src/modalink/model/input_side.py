"""The input side and the LLM's decoder: token ids and media in, last hidden states out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from modalink.errors import PromptError
from modalink.llms import keep_meeting, meeting_before, rows_of
from modalink.model.arguments import Given, unpack
from modalink.model.configuration import ModalinkConfig
from modalink.model.places import Placement
from modalink.model.pretrained import ModalinkPreTrainedModel
from modalink.ragged import Ragged
from modalink.roles import Encoder, Join, Meeting, Placed


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
        read = self.read(needed(input_ids), given) if inputs_embeds is None else Read(inputs_embeds)
        decoder = self.language_model.get_decoder()
        with self.meeting(read, attention_mask, kwargs.get("past_key_values")) as met:
            if met is not None:
                kwargs["position_ids"] = met.positions(kwargs.get("position_ids"))
            output = decoder(inputs_embeds=read.embeds, attention_mask=attention_mask, **kwargs)
        keep_meeting(met, output.get("past_key_values"))
        return cast(BaseModelOutputWithPast, output)


def needed(input_ids: Tensor | None) -> Tensor:
    if input_ids is None:
        raise PromptError("found neither input_ids nor inputs_embeds; give one of them")
    return input_ids
