"""What frozen parts give: a pure function of weights and content, so it is computed once an item."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import TrainingError
from modalink.features.cache import FeatureKey
from modalink.features.compute import Once
from modalink.model import System
from modalink.model.batch import Batch, Targets
from modalink.model.groups import Groups
from modalink.model.items import Item, ragged
from modalink.ragged import Ragged, by_shape
from modalink.recipe.groups import Group
from modalink.roles import Conditions, ConditionShape, Denoises, Generator, GeneratorConfig, ReadsText
from modalink.tensor_files import digest, weights_digest
from modalink.training.denoiser_states import DenoiserStates
from modalink.training.objectives import ItemObjectiveConfig, ObjectiveConfig, captions_of
from modalink.training.weights_copy import WeightsCopy


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
                weights_digest(self.model.model.encoder(m)),
                system.spec.encoder(m).model_dump(mode="json"),
                system.processor.readers[m].to_dict(),
                once.dtype,
            )
            for m, owner in system.spec.encoder_owners.items()
            if Group.of_encoder(owner).isdisjoint(trained)
        }

    def encoded(self, batch: Batch) -> Batch:
        """The batch with features in the place of media that frozen encoders read."""
        features = {m: self._features(m, items) for m, items in batch.items.items() if m in self.keys}
        return replace(batch, features=features)

    def features(self, items: dict[str, list[Item]]) -> dict[str, Ragged]:
        """Encoder outputs of media by modality: from the cache of frozen encoders, anew of those that learn."""
        encode, device = self.model.encode, self.once.device
        return {
            m: self._features(m, own) if m in self.keys else encode(m, ragged(own).to(device))
            for m, own in items.items()
            if own
        }

    def of_targets(self, batch: Batch) -> dict[str, Ragged]:
        """The features of the media that shall be made, of each of `Targets.shown`, where encoders are frozen."""
        shown = {m: [*targets.shown.values()] for m, targets in batch.targets.items() if m in self.keys}
        return {m: self._features(m, items) for m, items in shown.items() if items}

    def of_captions(self, batch: Batch, modality: str) -> dict[str, Ragged]:
        """The features of captions that are shown, by the modality of what they describe.

        Args:
            batch: The batch.
            modality: The one as which captions are read.
        """
        shown = {m: [batch.items[m][i].shown for i in places] for m, places in captions_of(batch).items()}
        return {m: self._features(modality, [item for item in items if item]) for m, items in shown.items()}

    def holds(self, item: Item, modality: str) -> bool:
        """Whether an item's features need not be computed."""
        return modality in self.keys and self.once.cache.holds(self.keys[modality], item.digest)

    def _features(self, modality: str, items: list[Item]) -> Ragged:
        encoder = self.model.model.encoder(modality)
        return Ragged.of(self.outputs(modality, items), [encoder.layout(item.layout) for item in items])

    def outputs(self, modality: str, items: list[Item]) -> list[Tensor]:
        """What the encoder makes of each item, from the cache where it has that."""

        def encode(places: list[int]) -> list[Tensor]:
            return [*self.model.encode(modality, ragged([items[i] for i in places]).to(self.once.device))]

        shapes = [item.layout.untimed for item in items]
        return self.once.get(self.keys[modality], [item.digest for item in items], encode, shapes)


@dataclass(frozen=True)
class FrozenGenerator:
    """A generator as objectives see it, frozen but for its denoiser; see `objectives.GeneratorView`.

    Args:
        generator: The generator.
        key: What decides its latents and text conditions.
        once: Where they are computed and kept.
        denoiser: How what the stage trains of its denoiser was earlier.
    """

    generator: Generator
    key: FeatureKey
    once: Once
    denoiser: DenoiserStates = field(default_factory=lambda: DenoiserStates({}, None))

    def holds(self, item: Item, modality: str) -> bool:
        """Whether an item's latents need not be computed."""
        return self.once.cache.holds(self.key, item.digest)

    def text_conditions(self, captions: list[str]) -> Conditions:
        """The generator's own conditions of captions."""

        def encode(places: list[int]) -> Conditions:
            assert isinstance(self.generator, ReadsText)
            return self.generator.encode_text([captions[i] for i in places])

        return self._conditions([f"text {caption}" for caption in captions], encode)

    def null_conditions(self) -> Conditions:
        """The conditions of one item that asks for nothing."""

        def encode(places: list[int]) -> Conditions:
            assert isinstance(self.generator, Denoises)
            return self.generator.null_conditions(len(places))

        return self._conditions(["nothing"], encode)

    def _conditions(self, names: list[str], encode: Callable[[list[int]], Conditions]) -> Conditions:
        """Conditions of what has these names, from the cache where it has them: there an item is one tensor."""
        shapes = self.generator.condition_shapes

        def encode_flat(places: list[int]) -> list[Tensor]:
            made = encode(places)
            made.check(shapes)
            return [*_flat(made, shapes)]

        digests = [hashlib.sha256(name.encode()).hexdigest() for name in names]
        found = self.once.get(self.key, digests, encode_flat)
        return _from_flat(torch.stack([item.flatten() for item in found]), shapes)

    def latents(self, targets: Targets, chosen: Sequence[int]) -> list[Tensor]:
        """The latents of some of the media that shall be made, one tensor an item."""
        items = [targets.items[i] for i in chosen]

        def encode(places: list[int]) -> list[Tensor]:
            media = ragged([items[i] for i in places]).to(self.once.device)
            assert isinstance(self.generator, Denoises)
            return [*self.generator.encode_media(media)]

        return self.once.get(self.key, [item.digest for item in items], encode, [item.layout.untimed for item in items])

    def denoising_error(
        self, latents: Sequence[Tensor], conditions: Conditions, rng: Sequence[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """See `modalink.roles.Denoises`; latents of different shapes are denoised apart."""
        assert isinstance(self.generator, Denoises)
        denoise = self.generator.denoising_error
        return by_shape(latents, lambda same, places: denoise(same, conditions.take(places), [rng[i] for i in places]))


def frozen_generators(
    system: System, once: Once, trained: Groups | None = None, start: WeightsCopy | None = None
) -> dict[str, FrozenGenerator]:
    """The generators of a system by modality, as objectives see them.

    Args:
        system: The system.
        once: Where latents and text conditions are computed and kept.
        trained: The groups that the stage trains; None for none.
        start: What these were when the stage began, where an objective measures by that.
    """
    found = {}
    for modality in system.spec.signalled:
        generator = system.generators[modality]
        config = system.spec.outputs[modality].generator
        # How it samples changes neither latents nor conditions of captions, and neither does what its denoiser learns.
        settings = config.model_dump(mode="json", exclude={*generator.options, "lora", "trainable"})
        preprocessing = system.processor.makers[modality].to_dict()
        key = FeatureKey.of(_digest(generator, config), settings, preprocessing, once.dtype)
        learning = (trained or {}).items()
        groups = {Group.denoiser(modality), Group.denoiser_lora(modality)}
        own = {name: p for group, members in learning if group in groups for name, p in members}
        found[modality] = FrozenGenerator(generator, key, once, DenoiserStates(own, start))
    return found


def _digest(generator: Generator, config: GeneratorConfig) -> str:
    """That of the weights that latents and text conditions hang on: all, but for a denoiser that can be trained."""
    if not config.learns:
        return weights_digest(generator)
    of_denoiser = f"{config.denoiser}."
    weights = {**dict(generator.named_parameters()), **dict(generator.named_buffers())}
    return digest({name: values for name, values in weights.items() if not name.startswith(of_denoiser)})


def check_abilities(objectives: Iterable[ObjectiveConfig], system: System) -> None:
    """Demand of every generator what the objectives about its modality ask of it.

    Raises:
        TrainingError: A generator lacks an ability.
    """
    for objective in objectives:
        if not isinstance(objective, ItemObjectiveConfig):
            continue
        for modality in system.spec.signalled:
            generator = system.generators[modality]
            about = objective.modalities is None or modality in objective.modalities
            for ability in objective.abilities() if about else ():
                if not isinstance(generator, ability):
                    kind = system.spec.outputs[modality].generator.kind
                    raise TrainingError(
                        f"{Group.generator(modality)}: the objective {objective.kind!r} asks for the ability "
                        f"{ability.__name__}, which the generator {kind!r} lacks; {objective.otherwise}, or "
                        "say by `modalities` which the objective is about"
                    )


def _flat(conditions: Conditions, shapes: Mapping[str, ConditionShape]) -> Float[Tensor, "i n"]:
    """All numbers of each item in a row: tensor after tensor, and then the declared masks."""
    parts = [conditions[name] for name in shapes]
    parts += [conditions.mask(name).to(parts[0].dtype) for name, shape in shapes.items() if shape.masked]
    return torch.cat([part.flatten(1) for part in parts], 1)


def _from_flat(values: Float[Tensor, "i n"], shapes: Mapping[str, ConditionShape]) -> Conditions:
    """The conditions whose numbers `_flat` put in a row."""
    masked = [name for name, shape in shapes.items() if shape.masked]
    sizes = [math.prod(shape.item) for shape in shapes.values()] + [shapes[name].tokens or 0 for name in masked]
    parts = iter(values.split(sizes, 1))
    tensors = {name: next(parts).unflatten(1, shape.item) for name, shape in shapes.items()}
    return Conditions(tensors, {name: next(parts).bool() for name in masked})
