"""The reference of a stage: the state in which it began, by which it measures how far it has moved.

It is a copy of what the stage trains, swapped in for a pass without gradients, and never a second model; adapters that
an earlier stage has trained belong to it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device
from modalink.features.cache import FeatureKey
from modalink.features.compute import Once
from modalink.model import System
from modalink.model.batch import Batch
from modalink.model.groups import Groups
from modalink.model.items import Item
from modalink.model.precision import autocast
from modalink.model.prepared import Prepared
from modalink.roles import Conditions
from modalink.tensor_files import weights_digest
from modalink.training.forward import forward
from modalink.training.frozen import FrozenEncoders
from modalink.training.weights_copy import WeightsCopy


class Start(WeightsCopy):
    """What a stage trains, as it was before the first step.

    Args:
        trained: The trained groups, before a checkpoint of the stage is loaded.
    """

    def __init__(self, trained: Groups) -> None:
        super().__init__({name: parameter for members in trained.values() for name, parameter in members})


class Reference:
    """What the state in which a stage began says: log-probabilities, and conditions of media.

    Args:
        start: What it trains, as it was then.
        system: The system that holds it, without dropout.
        encoders: Its frozen encoders.
        once: Where log-probabilities are kept, and how they are computed.
        keeps: Whether samples come again, so that their log-probabilities are computed once and kept.
    """

    def __init__(
        self,
        start: Start,
        system: System,
        encoders: FrozenEncoders,
        once: Once,
        *,
        keeps: bool = True,
    ) -> None:
        self.start, self.system, self.encoders = start, system, encoders
        self.once, self.keeps = once, keeps

    @cached_property
    def key(self) -> FeatureKey:
        """What decides log-probabilities besides a sample: all weights as they were, and how they are computed."""
        with self.start.in_place():
            weights = weights_digest(self.system.model)
        spec = self.system.spec.model_dump(mode="json")
        return FeatureKey.of(weights, {"what": "reference log-probabilities", "spec": spec}, {}, self.once.dtype)

    def logprobs(self, samples: Sequence[Prepared], batch: Batch) -> Float[Tensor, " m"]:
        """Log-probability of each labelled token of a batch, float32; no gradient goes there.

        Args:
            samples: The samples that it was made of.
            batch: The batch on the device, with the features of frozen encoders.
        """
        return self._kept(samples) if self.keeps else self._computed(batch)

    @torch.no_grad()
    def conditions(self, batch: Batch) -> Mapping[str, Conditions] | None:
        """The conditions of each of a batch's targets; no gradient goes there.

        Args:
            batch: The batch on the device, with the features of frozen encoders.
        """
        with self.start.in_place(), autocast(self.once.dtype, self.once.device):
            return forward(self.system.model, batch, {"conditions"}).conditions

    def _kept(self, samples: Sequence[Prepared]) -> Float[Tensor, " m"]:
        """Each sample with its alternatives is computed by itself, so that its bits hang on nothing else.

        So a run that is resumed with an empty cache finds the same.
        """
        digests = [digest_of(sample) for sample in samples]

        def compute(places: list[int]) -> list[Tensor]:
            found = {place: self._alone(samples[place]) for place in dict.fromkeys(places)}
            return [found[place] for place in places]

        found = self.once.cache.get(self.key, digests, compute, digests)
        return to_device(torch.cat(found), self.once.device)

    def _alone(self, sample: Prepared) -> Float[Tensor, " m"]:
        return self._computed(self.encoders.encoded(self.system.batch([sample])).to(self.once.device))

    @torch.no_grad()
    def _computed(self, batch: Batch) -> Float[Tensor, " m"]:
        with self.start.in_place(), autocast(self.once.dtype, self.once.device):
            found = forward(self.system.model, batch, {"logprobs"}).logprobs
        assert found is not None
        return found


def digest_of(sample: Prepared) -> str:
    """SHA-256 of all that the model reads of a sample and its alternatives, and of what is labelled there."""
    sides = [(side.input_ids, side.labels, _items(side.media), _items(side.targets)) for side in sample.sides]
    return hashlib.sha256(json.dumps(sides, sort_keys=True).encode()).hexdigest()


def _items(media: Mapping[str, Sequence[Item]]) -> dict[str, list[Any]]:
    return {m: [(item.digest, item.text, item.words, item.tokens) for item in own] for m, own in media.items()}
