"""What frozen parts give: a pure function of weights and content, so it is computed once an item."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.data.cache import FeatureCache, FeatureKey, weights_digest
from modalink.model import System
from modalink.model.batch import Batch, Targets
from modalink.roles import Generator
from modalink.training.precision import autocast


class FrozenEncoders:
    """The encoders that a stage does not train.

    Args:
        system: The system that holds them.
        trained: Names of the groups that the stage trains.
        cache: Where features are kept.
        dtype: What the encoders compute in, see `precision.resolve`.
    """

    def __init__(self, system: System, trained: Iterable[str], cache: FeatureCache, dtype: torch.dtype) -> None:
        self.model, self.cache, self.dtype = system.model, cache, dtype
        self.keys = {
            m: FeatureKey.of(
                weights_digest(self.model.model.encoders[m]),
                chosen.encoder.model_dump(mode="json"),
                system.processor.readers[m].to_dict(),
                dtype,
            )
            for m, chosen in system.spec.inputs.items()
            if f"inputs.{m}.encoder" not in set(trained)
        }

    def encoded(self, batch: Batch) -> Batch:
        """The batch with features in the place of media that frozen encoders read."""
        frozen = self.keys.keys() & batch.media.keys()
        features = {m: self._features(m, batch.media[m], batch.digests[m]) for m in frozen}
        media = {m: values for m, values in batch.media.items() if m not in frozen}
        return replace(batch, media=media, features=features)

    def _features(self, modality: str, values: Tensor, digests: list[str]) -> Float[Tensor, "i p d_enc"]:
        def encode(places: list[int]) -> Tensor:
            return self.model.encode(modality, values[places])

        return _cached(self.cache, self.keys[modality], digests, encode, values.device, self.dtype)


@dataclass(frozen=True)
class FrozenGenerator:
    """A generator as objectives see it; see `objectives.GeneratorView`.

    Args:
        generator: The generator.
        key: What decides its latents and text conditions.
        cache: Where they are kept.
        dtype: What it computes in.
        device: Where it is.
        condition_dropout: Share of the items that learn without conditions.
    """

    generator: Generator
    key: FeatureKey
    cache: FeatureCache
    dtype: torch.dtype
    device: torch.device
    condition_dropout: float

    def text_conditions(self, captions: list[str]) -> Float[Tensor, "i l d_gen"]:
        """The generator's own conditions of captions."""

        def encode(places: list[int]) -> Tensor:
            return self.generator.encode_text([captions[i] for i in places])

        digests = [hashlib.sha256(f"text {caption}".encode()).hexdigest() for caption in captions]
        return _cached(self.cache, self.key, digests, encode, self.device, self.dtype)

    def latents(self, targets: Targets) -> Float[Tensor, "i ..."]:
        """The latents of the media that shall be made."""

        def encode(places: list[int]) -> Tensor:
            return self.generator.encode_media(targets.values[places])

        return _cached(self.cache, self.key, targets.digests, encode, self.device, self.dtype)

    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Float[Tensor, "i l d_gen"], rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """See `modalink.roles.Generator`."""
        return self.generator.denoising_error(latents, conditions, rng)


def frozen_generators(
    system: System, cache: FeatureCache, dtype: torch.dtype, device: torch.device, condition_dropout: float
) -> dict[str, FrozenGenerator]:
    """The generators of a system by modality, as objectives see them."""
    found = {}
    for modality, generator in system.generators.items():
        assert isinstance(generator, Generator)
        settings = system.spec.outputs[modality].generator.model_dump(mode="json")
        preprocessing = system.processor.makers[modality].to_dict()
        key = FeatureKey.of(weights_digest(generator), settings, preprocessing, dtype)
        found[modality] = FrozenGenerator(generator, key, cache, dtype, device, condition_dropout)
    return found


def _cached(
    cache: FeatureCache,
    key: FeatureKey,
    digests: list[str],
    encode: Callable[[list[int]], Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    @torch.no_grad()
    def missing(places: list[int]) -> Tensor:
        with autocast(dtype, device):
            return encode(places)

    return cache.get(key, digests, missing).to(device)
