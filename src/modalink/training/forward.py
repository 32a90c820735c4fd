"""The forward pass of a stage: what its objectives need, and nothing more."""

from collections.abc import Set
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from modalink.devices import to_device
from modalink.model import ModalinkForConditionalGeneration
from modalink.model.batch import Batch
from modalink.model.states import Asked
from modalink.roles import Conditions, Embeds, LearnsCaptions
from modalink.training.objectives import OF_CAPTIONS, Captioned, Embedded, Link, Need, Output

OF_THE_LLM: frozenset[Need] = frozenset(
    {"logits", "logprobs", "rewards", "step_rewards", "values", "conditions", "links"}
)
"""Needs that only a pass through the LLM fills."""


def forward(model: ModalinkForConditionalGeneration, batch: Batch, needs: Set[Need]) -> Output:
    """Run the parts of the model that the needs ask for.

    Args:
        model: The model.
        batch: Samples on the model's device, with features where encoders are frozen.
        needs: What the objectives read.
    """
    found = Output()
    if needs & ({"features", "prompt_tokens", "embeddings"} | OF_CAPTIONS):
        features = {m: model.encode(m, items) for m, items in batch.media.items()} | batch.features
        batch = replace(batch, features=features)
        found = replace(found, features=features)
    if "prompt_tokens" in needs:
        made = {m: model.model.prompt_tokens(m, items, batch.texts.get(m)) for m, items in batch.features.items()}
        found = replace(found, prompt_tokens=made)
    if "embeddings" in needs:
        found = replace(found, embeddings=_embeddings(model, batch))
    if "vocabulary" in needs:
        found = replace(found, vocabulary=_vocabulary(model))
    if needs & OF_CAPTIONS:
        found = replace(found, captioned=_captioned(model, batch))
    if needs & OF_THE_LLM:
        words = bool(needs & {"logits", "logprobs"})
        asks = {"return_asked": "links" in needs and bool(batch.targets)}
        asks |= {"output_hidden_states": True} if needs & {"rewards", "step_rewards", "values"} else {}
        given = model(**batch.inputs(logits=words, conditions="conditions" in needs), **asks)
        logprobs = _logprobs(given.logits, batch) if "logprobs" in needs else None
        # Where values alone are asked for, there are logits of none of their tokens.
        logits = given.logits if words or "values" not in needs else None
        found = replace(found, logits=logits, logprobs=logprobs, conditions=given.conditions)
        if "rewards" in needs:
            found = replace(found, rewards=model.rewards(given.hidden_states[-1], batch.ends))
        if "step_rewards" in needs:
            found = replace(found, step_rewards=model.rewards(given.hidden_states[-1], batch.steps))
        if "values" in needs:
            found = replace(found, values=model.values(given.hidden_states[-1], batch.predicting))
        found = replace(found, nothing=_nothing(model, batch) if given.conditions else None)
        if given.asked is not None:
            found = replace(found, links={m: _link(model, m, asked) for m, asked in given.asked.items()})
    return found


def _nothing(model: ModalinkForConditionalGeneration, batch: Batch) -> dict[str, Conditions]:
    """What projectors make of nothing, for the batch's targets of modalities that learn by that."""
    made = {modality: model.nothing(modality) for modality in batch.targets}
    return {modality: found for modality, found in made.items() if found is not None}


def _link(model: ModalinkForConditionalGeneration, modality: str, asked: Asked) -> Link:
    return Link(model.heads(modality), asked.states.to(next(model.link(modality).parameters()).dtype))


def _embeddings(model: ModalinkForConditionalGeneration, batch: Batch) -> dict[str, Embedded]:
    found = {}
    for modality, features in batch.features.items():
        projector = model.model.input_projectors[modality]
        if isinstance(projector, Embeds):
            given = features.to(dtype=next(model.model.input_projectors[modality].parameters()).dtype)
            found[modality] = Embedded(projector.embedded(given), projector.temperature)
    return found


@torch.no_grad()
def _vocabulary(model: ModalinkForConditionalGeneration) -> Float[Tensor, "v d_llm"]:
    """By the LLM's own embedding, which may scale its table."""
    embedding = model.get_input_embeddings()
    tokens = torch.arange(model.language_model.config.get_text_config().vocab_size)
    table: Tensor = embedding(to_device(tokens, next(embedding.parameters()).device))
    return table


def _captioned(model: ModalinkForConditionalGeneration, batch: Batch) -> dict[str, Captioned]:
    """The batch's media that have captions, with the projectors that learn them."""
    found = {}
    for modality, described in batch.described.items():
        projector = model.model.input_projector(modality)
        assert isinstance(projector, LearnsCaptions)
        features = batch.features[modality].take(described.places)
        features = features.to(dtype=next(projector.parameters()).dtype)
        found[modality] = Captioned(projector, features, described.words.to(batch.input_ids.device), described)
    return found


def _logprobs(logits: Float[Tensor, "m v"], batch: Batch) -> Float[Tensor, " m"]:
    return -functional.cross_entropy(logits.float(), batch.wanted, reduction="none")
