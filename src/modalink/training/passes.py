"""The forward passes of a stage: what its parts make of a micro-batch, and what each objective finds of that."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from modalink.kinds import named
from modalink.model import System
from modalink.model.batch import Batch
from modalink.model.items import Item
from modalink.model.precision import autocast
from modalink.model.prepared import Prepared
from modalink.recipe import Stage
from modalink.training import parallel
from modalink.training.diagnostics import Diagnostics
from modalink.training.forward import forward
from modalink.training.freezing import needs_of, read_targets_of, show_of
from modalink.training.frozen import FrozenEncoders, FrozenGenerator
from modalink.training.micro_batches import Division, MicroBatch
from modalink.training.objectives import Output
from modalink.training.own_reading import OwnReading
from modalink.training.randomness import ItemRngs
from modalink.training.reference import Reference
from modalink.training.statistics import totals
from modalink.training.terms import Terms


@dataclass(kw_only=True)
class Passes:
    """What one stage reads of samples, without learning from them.

    Args:
        system: The model and its processor; the stage's groups are unfrozen already.
        stage: Objectives, batch and optimizer settings.
        seed: Seed of all the stage's draws.
        encoders: The frozen encoders.
        generators: The frozen generators by modality.
        device: Where the model is.
        dtype: What matrix products are computed in.
        reference: The state in which the stage began, where an objective measures by it.
    """

    system: System
    stage: Stage
    seed: int
    encoders: FrozenEncoders
    generators: Mapping[str, FrozenGenerator]
    device: torch.device
    dtype: torch.dtype
    reference: Reference | None = None
    division: Division = field(init=False)
    diagnostics: Diagnostics = field(init=False)
    noted: dict[str, dict[str, float]] = field(init=False, default_factory=dict)
    """What objectives noted of the last step, by their names."""

    def __post_init__(self) -> None:
        self.objectives = named(self.stage.objectives)
        self.diagnostics = Diagnostics(self.objectives)
        self.terms = Terms.of(self.stage, self.objectives)
        self.needs = needs_of(self.stage)
        self.read_targets = read_targets_of(self.stage, self.system.spec.signalled)
        self.division = Division(self.system, self.stage, self.terms)

    def ready(self, sample: Prepared) -> Prepared:
        """A sample whose media are loaded where no frozen part has kept what it makes of them."""
        return sample.loaded(self._lacks)

    def _lacks(self, item: Item, modality: str, made: bool) -> bool:
        if made and modality not in self.read_targets:
            return False
        keeper = self.generators.get(modality) if made else self.encoders
        return keeper is None or not keeper.holds(item, modality)

    def micro_batches(self, samples: Sequence[Prepared]) -> list[MicroBatch]:
        """This process's share of a step's samples in forward passes, as many as on every other process."""
        return self.division.of(samples)

    def output(self, part: MicroBatch) -> tuple[Batch, Output]:
        """A micro-batch on the device, and what the parts make of it."""
        batch = self.encoders.encoded(part.batch).to(self.device)
        output = forward(self.system.model, batch, self.needs)
        return batch, replace(output, **self.of_frozen(batch), **self.of_reference(part, batch))

    def of_frozen(self, batch: Batch) -> dict[str, Any]:
        """The fields of `Output` that frozen parts fill, from the cache where it has what they need."""
        found: dict[str, Any] = {}
        if "target_features" in self.needs:
            found["target_features"] = self.encoders.of_targets(batch)
        if (modality := show_of(self.stage).captions) is not None:
            with torch.no_grad():
                made = self.encoders.of_captions(batch, modality)
                project = self.system.model.model.prompt_tokens
                found["reference_prompts"] = {m: project(modality, features) for m, features in made.items()}
        return found

    def of_reference(self, part: MicroBatch, batch: Batch) -> dict[str, Any]:
        """The fields of `Output` that the reference fills."""
        if self.reference is None:
            return {}
        found: dict[str, Any] = {}
        if "reference_logprobs" in self.needs:
            found["reference_logprobs"] = self.reference.logprobs(part.samples, batch)
        if "reference_conditions" in self.needs:
            found["reference_conditions"] = self.reference.conditions(batch)
        if "own_reading" in self.needs:
            found["own_reading"] = OwnReading(self.reference)
        return found

    def forward(self, step: int, part: MicroBatch, *, alone: bool = False) -> tuple[Output, dict[str, Tensor]]:
        """What the parts make of a micro-batch, and the summed loss of each objective that has units in it.

        Args:
            step: The step.
            part: The micro-batch; all processes run one at a time.
            alone: Whether its media are not compared with those of other processes.
        """
        peers = None if alone or parallel.world() == 1 else self.terms.name("", part.batch)
        rngs = ItemRngs(self.seed, step, part.positions)
        with autocast(self.dtype, self.device):
            batch, output = self.output(part)
            output = replace(output, peers=peers)
            sums = {
                name: objective.sum(self._read_by(name, output), batch, self.generators, rngs)
                for name, objective in self.objectives.items()
                if objective.count(batch) or (objective.compares and peers is not None)
            }
            return output, {name: value for name, value in sums.items() if self.objectives[name].count(batch)}

    def _read_by(self, objective: str, output: Output) -> Output:
        return replace(output, noted=self.noted.get(objective, {}), diagnostics=self.diagnostics.of(objective))

    def note(self, step: int, parts: Sequence[MicroBatch]) -> None:
        """Let objectives that measure the whole step note it before its losses."""
        measuring = {name: one for name, one in self.objectives.items() if one.measures}
        if not measuring:
            return
        with torch.no_grad():
            sums = []
            for part in parts:
                with autocast(self.dtype, self.device):
                    batch, output = self.output(part)
                    sums.append({name: one.statistics(output, batch) for name, one in measuring.items()})
        for name, found in totals(sums).items():
            self.noted[name] = measuring[name].noted(self.noted.get(name, {}), found)

    def idle(self, output: Output, learned: Collection[str]) -> list[Tensor]:
        """What the parts made and no objective reads here, though one may on another process."""
        read = {need for name in learned for need in self.objectives[name].needs}
        items = [*(output.features or {}).values(), *(output.prompt_tokens or {}).values()]
        conditions = (record.tensors.values() for record in (output.conditions or {}).values())
        tensors = [*chain.from_iterable(conditions), *(item.values for item in items)]
        tensors += [found.vectors for found in (output.embeddings or {}).values()]
        tensors += [link.asked for link in (output.links or {}).values()]
        if output.logits is not None and not read & {"logits", "logprobs"}:
            tensors.append(output.logits)
        return [tensor for tensor in tensors if tensor.requires_grad]
