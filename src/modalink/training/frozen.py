"""What frozen parts give: a pure function of weights and content, so it is computed once an item."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device
from modalink.features.cache import FeatureKey, weights_digest
from modalink.features.compute import Once
from modalink.model import System
from modalink.model.batch import Batch, Targets
from modalink.roles import Generator


class FrozenEncoders:
    """The encoders that a stage does not train.

    Args:
        system: The system that holds them.
        trained: Names of the groups that the stage trains.
        once: Where features are computed and kept.
    """

    def __init__(self, system: System, trained: Iterable[str], once: Once) -> None:
        self.model, self.once = system.model, once
        self.keys = {
            m: FeatureKey.of(
                weights_digest(self.model.model.encoders[m]),
                chosen.encoder.model_dump(mode="json"),
                system.processor.readers[m].to_dict(),
                once.dtype,
            )
            for m, chosen in system.spec.inputs.items()
            if f"inputs.{m}.encoder" not in set(trained)
        }

    def encoded(self, batch: Batch) -> Batch:
        """The batch with features in the place of media that frozen encoders read."""
        frozen = [m for m in batch.media if m in self.keys]
        features = {m: self._features(m, batch.media[m], batch.digests[m]) for m in frozen}
        media = {m: values for m, values in batch.media.items() if m not in frozen}
        return replace(batch, media=media, features=features)

    def _features(self, modality: str, values: Tensor, digests: list[str]) -> Float[Tensor, "i p d_enc"]:
        def encode(places: list[int]) -> Tensor:
            return self.model.encode(modality, to_device(values[places], self.once.device))

        return self.once.get(self.keys[modality], digests, encode, values.shape[1:])


@dataclass(frozen=True)
class FrozenGenerator:
    """A generator as objectives see it; see `objectives.GeneratorView`.

    Args:
        generator: The generator.
        key: What decides its latents and text conditions.
        once: Where they are computed and kept.
    """

    generator: Generator
    key: FeatureKey
    once: Once

    def text_conditions(self, captions: list[str]) -> Float[Tensor, "i l d_gen"]:
        """The generator's own conditions of captions."""

        def encode(places: list[int]) -> Tensor:
            return self.generator.encode_text([captions[i] for i in places])

        digests = [hashlib.sha256(f"text {caption}".encode()).hexdigest() for caption in captions]
        return self.once.get(self.key, digests, encode)

    def latents(self, targets: Targets) -> Float[Tensor, "i ..."]:
        """The latents of the media that shall be made."""

        def encode(places: list[int]) -> Tensor:
            return self.generator.encode_media(to_device(targets.values[places], self.once.device))

        return self.once.get(self.key, targets.digests, encode, targets.values.shape[1:])

    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Float[Tensor, "i l d_gen"], rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """See `modalink.roles.Generator`."""
        return self.generator.denoising_error(latents, conditions, rng)


def frozen_generators(system: System, once: Once) -> dict[str, FrozenGenerator]:
    """The generators of a system by modality, as objectives see them."""
    found = {}
    for modality, generator in system.generators.items():
        assert isinstance(generator, Generator)
        settings = system.spec.outputs[modality].generator.model_dump(mode="json")
        preprocessing = system.processor.makers[modality].to_dict()
        key = FeatureKey.of(weights_digest(generator), settings, preprocessing, once.dtype)
        found[modality] = FrozenGenerator(generator, key, once)
    return found
