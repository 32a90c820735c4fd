"""Computes what the cache lacks of some samples."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from modalink.data.prefetch import Bad
from modalink.errors import CheckpointError, DataError
from modalink.features.compute import Once, numerics
from modalink.features.disk import DiskFeatures
from modalink.model import compose_without_llm
from modalink.model.batch import Targets
from modalink.model.device import use
from modalink.model.items import Item
from modalink.model.precision import resolve
from modalink.model.prepared import Prepared
from modalink.model.sized import sized
from modalink.ragged import Layout
from modalink.recipe.groups import Group
from modalink.roles import Denoises, Encoder, ReadsText
from modalink.runs.saved_weights import SavedWeights
from modalink.training.caching.noting import NotingCache, WeighingCache
from modalink.training.caching.plan import StagePlan, plans
from modalink.training.caching.samples import StageSamples
from modalink.training.caching.work import Block, Done, Job, Left
from modalink.training.freezing import show_of
from modalink.training.frozen import FrozenEncoders, FrozenGenerator, frozen_generators
from modalink.training.objectives.align import captioned
from modalink.training.opening import chunk_of
from modalink.training.preparing import preparing
from modalink.training.weights import find_lent, initialise


class Filler:
    """The frozen parts of a recipe, and what they do for one block after the other.

    Args:
        job: The recipe and the machine.

    Raises:
        CheckpointError: This process does not see the folder of the others.
        PartError: A part cannot be loaded.
    """

    def __init__(self, job: Job) -> None:
        settings = job.settings
        if job.mark is not None and not job.mark.exists():
            raise CheckpointError(
                f"{job.mark.parent}: process {os.getpid()} on {os.uname().nodename} does not see what is there; needed "
                "a cache folder that all machines share, at the same path"
            )
        assert settings.cache is not None
        self.job, self.device = job, use(settings)
        self.system = compose_without_llm(job.recipe, seed=job.recipe.seed)
        chunk = chunk_of(job.recipe, self.device)
        self.machine = numerics(self.device, chunk)
        self.disk = DiskFeatures(settings.cache, settings.cache_bytes, self.machine)
        self.cache = (WeighingCache if job.dry else NotingCache)(self.disk, chunk)
        self.pool = ThreadPoolExecutor(max(1, settings.workers))
        lent = find_lent(job.recipe, lambda text: None)
        found = plans(job.recipe, lent, self.device)
        self._names = [plan.name for plan in found]
        self._stages = self._opened(found, lent)
        self._stage: _StageParts | None = None

    def fill(self, block: Block) -> Done:
        """Keep what training will ask of a block's samples; of the same stage as the block before, or of a later one.

        Raises:
            DataError: A sample is bad, and the stage will not go on without it.
        """
        while self._stage is None or self._stage.plan.name != block.stage:
            self._stage = next(self._stages)
        left = []
        self.cache.noted = []
        window: list[Prepared] = []
        for made in self._made(self._stage, self._stage.samples.places(block.start, block.stop)):
            if isinstance(made, Bad):
                if self._stage.plan.stage.on_bad_sample == "fail":
                    raise DataError(f"stage {block.stage}: sample {made.sample} is bad ({made.reason}): {made.detail}")
                left.append(Left(made.sample, made.reason, made.detail))
                continue
            window.append(made)
            if len(window) == self.cache.chunk:
                self._stage.keep(window)
                window = []
        self._stage.keep(window)
        self.cache.flush()
        return Done(block, self.cache.noted, left, self.machine, self.disk.refusal, os.getpid())

    def can(self, block: Block) -> bool:
        """Whether `fill` may be asked for a block: it goes through the stages as training does."""
        return self._stage is None or block.stage in self._names[self._names.index(self._stage.plan.name) :]

    def _made(self, stage: "_StageParts", places: list[tuple[int, Any]]) -> Iterator[Prepared | Bad]:
        """Samples in order, some of them prepared ahead."""
        prepare = preparing(self.system, stage.plan.stage)
        making, wanted = stage.samples.making(prepare), None if self.job.dry else stage.lacks
        under_way: deque[Any] = deque()
        for number, key in places:
            finish = partial(Prepared.loaded, wanted=wanted) if wanted else _as_it_is
            under_way.append(self.pool.submit(making, number, key, finish))
            if len(under_way) > self.cache.chunk + self.job.settings.workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def _opened(self, found: list[StagePlan], lent: Mapping[str | None, SavedWeights]) -> Iterator["_StageParts"]:
        """The stages, each with the weights and types that its frozen parts will have."""
        system = self.system
        if None in lent:
            initialise(system.model, lent[None])
        system.model.model.encoders.to(self.device)
        for generator in system.generators.values():
            generator.to(self.device)
        for plan in found:
            if plan.stage.name in lent:
                initialise(system.model, lent[plan.stage.name])
            dtype = resolve(plan.stage.precision, self.device)
            if dtype is torch.float32:  # as `make_learner` does, and it stays so
                for module in (system.model.model.encoders, *system.generators.values()):
                    module.float()
            with sized(system, plan.stage.image_size):
                yield _StageParts(self, plan, Once(self.cache, dtype, self.device))


class _StageParts:
    """What one stage asks of frozen parts."""

    def __init__(self, filler: Filler, plan: StagePlan, once: Once) -> None:
        system, cache = filler.system, filler.cache
        self.plan = plan
        self.samples = StageSamples(plan, filler.job.recipe.seed)
        owners = system.spec.encoder_owners
        read = {owners[modality] for modality in plan.reads}
        unread = [Group.encoder(owner) for owner in owners.values() if owner not in read]
        self.encoders = FrozenEncoders(system, unread, once)
        self.generators: dict[str, FrozenGenerator] = frozen_generators(system, once) if plan.makes else {}
        for modality, key in self.encoders.keys.items():
            cache.parts[key] = Group.encoder(owners[modality])
            cache.tokens[key] = partial(_tokens, system.model.model.encoder(modality))
        for modality, generator in self.generators.items():
            cache.parts[generator.key] = Group.generator(modality)

    def lacks(self, item: Item, modality: str, made: bool) -> bool:
        """Whether an item must be loaded, because the cache has nothing of it."""
        if made:
            generator = self.generators.get(modality)
            return Denoises in self.plan.makes.get(modality, ()) and not (generator and generator.holds(item, modality))
        return modality in self.plan.reads and not self.encoders.holds(item, modality)

    def keep(self, samples: list[Prepared]) -> None:
        """Compute what the cache lacks of these samples."""
        samples = [side for sample in samples for side in sample.sides]
        captions = show_of(self.plan.stage).captions
        for modality in self.plan.reads:
            read = [item for sample in samples for item in sample.media.get(modality, ())]
            shown = [target.shown for sample in samples for target in sample.targets.get(modality, ())]
            if modality == captions:
                shown += [item.shown for sample in samples for items in sample.media.values() for item in items]
            if items := [*read, *(item for item in shown if item is not None)]:
                self.encoders.outputs(modality, items)
        for modality, abilities in self.plan.makes.items():
            if items := [item for sample in samples for item in sample.targets.get(modality, ())]:
                self._keep_targets(self.generators[modality], Targets(items, [0] * len(items)), abilities)

    def _keep_targets(self, generator: FrozenGenerator, targets: Targets, abilities: tuple[type, ...]) -> None:
        if Denoises in abilities and (learned := [i for i in targets.learned if targets.items[i].exists]):
            generator.latents(targets, learned)
            generator.null_conditions()
        if ReadsText in abilities and (chosen := captioned(targets)):
            generator.text_conditions([targets.captions[i] or "" for i in chosen])


def _tokens(encoder: Encoder, layout: Layout) -> int:
    return encoder.layout(layout).tokens


def _as_it_is(prepared: Prepared) -> Prepared:
    return prepared
