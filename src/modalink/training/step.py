"""One step of training: count, forward, backward, check, update."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from modalink.errors import TrainingError
from modalink.kinds import named
from modalink.model import System
from modalink.model.batch import Batch, Prepared
from modalink.model.groups import Groups
from modalink.model.items import Item
from modalink.model.precision import autocast
from modalink.recipe import Stage
from modalink.training import parallel
from modalink.training.diagnostics import Diagnostics
from modalink.training.filler import Fillers, no_loss
from modalink.training.forward import forward
from modalink.training.freezing import needs_of, show_of
from modalink.training.frozen import FrozenEncoders, FrozenGenerator
from modalink.training.gradient_check import GradientWatch
from modalink.training.mean_start import centre
from modalink.training.moving_average import MovingAverage
from modalink.training.objectives import Output
from modalink.training.optimization import build_optimizer, lr_factor, set_lr
from modalink.training.own_reading import OwnReading
from modalink.training.randomness import ItemRngs, seed_everything
from modalink.training.reference import Reference
from modalink.training.statistics import mismatched, totals
from modalink.training.terms import Terms

_NOWHERE = -1
"""The place in the step of a sample that is not of it."""


@dataclass(frozen=True)
class MicroBatch:
    """Samples of one forward pass; a filler may stand behind them.

    Args:
        batch: They as a batch.
        positions: Place of each side of each of them in the whole step; the sides of a sample have one.
        samples: They, without the filler.
    """

    batch: Batch
    positions: list[int]
    samples: Sequence[Prepared] = ()


@dataclass
class Learner:
    """What one stage needs to learn from the samples of a step.

    Args:
        system: The model and its processor; the stage's groups are unfrozen already.
        stage: Objectives, batch and optimizer settings.
        steps: How many steps the stage has.
        seed: Seed of all the stage's draws.
        trained: The trained groups.
        encoders: The frozen encoders.
        generators: The frozen generators by modality.
        device: Where the model is.
        dtype: What matrix products are computed in.
        reference: The state in which the stage began, where an objective measures by it.
    """

    system: System
    stage: Stage
    steps: int
    seed: int
    trained: Groups
    encoders: FrozenEncoders
    generators: Mapping[str, FrozenGenerator]
    device: torch.device
    dtype: torch.dtype
    reference: Reference | None = None
    optimizer: torch.optim.Optimizer = field(init=False)
    watch: GradientWatch = field(init=False)
    fillers: Fillers = field(init=False)
    noted: dict[str, dict[str, float]] = field(init=False, default_factory=dict)
    """What objectives noted of the last step, by their names."""
    diagnostics: Diagnostics = field(init=False)
    average: MovingAverage | None = field(init=False)
    """Of the trained parameters, where the stage keeps one."""

    def __post_init__(self) -> None:
        self.objectives = named(self.stage.objectives)
        self.diagnostics = Diagnostics(self.objectives)
        self.terms = Terms.of(self.stage, self.objectives)
        self.needs = needs_of(self.stage)
        self.parameters = [parameter for members in self.trained.values() for _, parameter in members]
        self.optimizer = build_optimizer(self.stage, self.trained)
        self.fillers = Fillers(self.system.processor)
        self.watch = GradientWatch(self.trained, [*self.objectives.values()])
        self.average = None if self.stage.ema is None else MovingAverage(self._named, self.stage.ema)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The trained parameters by name."""
        return {**self._named}

    @property
    def _named(self) -> dict[str, nn.Parameter]:
        return {name: parameter for members in self.trained.values() for name, parameter in members}

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the trained parameters are what the stage hands on: their average where it keeps one."""
        return nullcontext() if self.average is None else self.average.in_place()

    def learn(self, step: int, samples: Sequence[Prepared]) -> dict[str, Any]:
        """Update the trained groups once.

        Args:
            step: The step, from 0.
            samples: This process's share of the step's samples, as many as on every other process.

        Returns:
            The step's record for `metrics.jsonl`.

        Raises:
            TrainingError: The loss or a gradient is not finite (nothing was updated), or a group gets no gradient.
        """
        seed_everything(self.seed, step, parallel.rank())
        if step == 0:
            centre(self.system.model, self.trained, self.generators, samples)
        parts = self.micro_batches(samples)
        counts = self.counts([part.batch for part in parts])
        losses, norms = self.gradients(step, parts, counts)
        loss = sum(self.terms.weights[name] * value for name, value in losses.items())
        norm = math.hypot(*norms.values())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(self.explain(step, samples, counts, losses, norm))
        self.note_gradients(parts, losses, norms)

        rates = set_lr(self.optimizer, lr_factor(self.stage, step, self.steps))
        if self.stage.clip is not None:
            clip_grads_with_norm_(self.parameters, self.stage.clip, torch.full((), norm, device=self.device))
        self.optimizer.step()
        if self.average is not None:
            self.average.update(step)
        done = {"stage": self.stage.name, "step": step + 1, "loss": loss, "losses": losses, "lr": rates}
        done |= {"grad_norm": norm, "grad_norms": norms, "units": counts}
        return done | self.diagnostics.record() | self.sizes(samples)

    def ready(self, sample: Prepared) -> Prepared:
        """A sample whose media are loaded where no frozen part has kept what it makes of them."""
        return sample.loaded(self._lacks)

    def _lacks(self, item: Item, modality: str, made: bool) -> bool:
        keeper = self.generators.get(modality) if made else self.encoders
        return keeper is None or not keeper.holds(item, modality)

    def micro_batches(self, samples: Sequence[Prepared]) -> list[MicroBatch]:
        """This process's share of a step's samples in forward passes, as many as on every other process."""
        positions = parallel.positions(len(samples))
        samples, order = self.matched(samples, positions), self.terms.order(samples)
        return self.parts(self.divided([samples[i] for i in order]), [positions[i] for i in order])

    def matched(self, samples: Sequence[Prepared], positions: Sequence[int]) -> Sequence[Prepared]:
        """Samples with what an objective compares them with of other samples of the step; all processes ask at once.

        Args:
            samples: This process's samples.
            positions: Their places in the whole step.
        """
        if not any(objective.mismatches for objective in self.objectives.values()):
            return samples
        return mismatched(samples, positions, max_tokens=self.stage.max_tokens)

    def parts(self, chunks: Sequence[Sequence[Prepared]], positions: Iterable[int]) -> list[MicroBatch]:
        """Runs of samples as micro-batches, as many as on every other process, which calls this too.

        Args:
            chunks: The samples of each, packed where the LLM can read that; none at all is possible.
            positions: Those of their samples, one behind the other.
        """
        places = iter(positions)
        made = []
        for number, filler in enumerate(self.fillers.complete(chunks)):
            own = [*chunks[number]] if number < len(chunks) else []
            at = [*islice(places, len(own)), *[_NOWHERE] * len(filler)]
            positions = [place for place, sample in zip(at, [*own, *filler], strict=True) for _ in sample.sides]
            made.append(MicroBatch(self.system.batch([*own, *filler]), positions, own))
        return made

    def divided(self, samples: Sequence[Prepared]) -> list[Sequence[Prepared]]:
        """Samples in runs of `micro_batch`, or of as many as `micro_tokens` allows; all in one where neither is set.

        Where data sets are weighed, a run holds samples of one of them.
        """
        return [chunk for own in self.terms.runs(samples) for chunk in self._divided(own)]

    def _divided(self, samples: Sequence[Prepared]) -> list[Sequence[Prepared]]:
        limit = self.stage.micro_tokens
        if limit is None:
            size = self.stage.micro_batch or max(1, len(samples))
            return [samples[start : start + size] for start in range(0, len(samples), size)]
        chunks: list[list[Prepared]] = []
        for sample in samples:
            if chunks and self.tokens([*chunks[-1], sample]) <= limit:
                chunks[-1].append(sample)
            else:
                chunks.append([sample])
        return [*chunks]

    def tokens(self, samples: Sequence[Prepared]) -> int:
        """What samples take in one forward pass: the sum of their tokens packed, rows of the longest one padded."""
        lengths = [len(side.input_ids) for sample in samples for side in sample.sides]
        return sum(lengths) if self.system.model.packs else max(lengths) * len(lengths)

    def counts(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Units of each term of the loss in the whole step: in all micro-batches of all processes."""
        own = self.terms.counts(batches)
        return dict(zip(own, map(int, parallel.summed([float(n) for n in own.values()])), strict=True))

    def gradients(
        self, step: int, parts: Iterable[MicroBatch], counts: Mapping[str, int]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Set the gradients of the whole step's loss. Here alone, at its end, the host waits for the device.

        Returns:
            Mean loss of each term that has units in the step, and the norm of each group's gradient.
        """
        self.optimizer.zero_grad()
        self.diagnostics.clear()
        parts = list(parts)
        self.note(step, parts)
        sums = [self.backward(step, part, counts) for part in parts]
        parallel.add_gradients(self.parameters)
        names = [name for part in sums for name in part]
        numbers = _on_host([value for part in sums for value in part.values()] + self.norms())
        own: Counter[str] = Counter()
        for name, number in zip(names, numbers, strict=False):
            own[name] += number  # type: ignore[assignment]
        totals = parallel.summed([float(own[name]) for name in counts])
        losses = {name: total / count for (name, count), total in zip(counts.items(), totals, strict=True) if count}
        return losses, dict(zip(self.trained, numbers[len(names) :], strict=True))

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

    def norms(self) -> list[Float[Tensor, ""]]:
        """The norm of each group's gradient, on the device."""
        found = []
        for members in self.trained.values():
            gradients = [p.grad for _, p in members if p.grad is not None]
            found.append(get_total_norm(gradients) if gradients else torch.zeros((), device=self.device))
        return found

    def backward(
        self, step: int, part: MicroBatch, counts: Mapping[str, int], *, alone: bool = False
    ) -> dict[str, Float[Tensor, ""]]:
        """Add a micro-batch's share to the gradients; its summed losses, on the device."""
        output, sums = self.forward(step, part, alone=alone)
        terms = {self.terms.name(name, part.batch): value for name, value in sums.items()}
        weights = self.terms.weights
        loss = sum((weights[name] / counts[name] * value for name, value in terms.items()), torch.zeros(()))
        if parallel.world() > 1 and (idle := self.idle(output, sums)):
            loss = loss + no_loss(idle)
        # A sample without the medium that a projector reads gives that projector nothing to learn.
        if loss.requires_grad:
            loss.backward()
        return {name: value.detach() for name, value in terms.items()}

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

    def note_gradients(
        self, parts: Sequence[MicroBatch], losses: Mapping[str, float], norms: Mapping[str, float]
    ) -> None:
        """Tell the watch which groups could have received a gradient, on any process, and how large it was."""
        chances = self.watch.chances_in([part.batch for part in parts])
        held = parallel.summed([float(chance and bool(losses)) for chance in chances])
        self.watch.note([processes > 0 for processes in held], norms)

    def sizes(self, samples: Sequence[Prepared]) -> dict[str, int]:
        """How much a step holds on all processes: samples, LLM tokens and media."""
        sides = [side for sample in samples for side in sample.sides]
        items = [items for side in sides for kind in (side.media, side.targets) for items in kind.values()]
        own = {
            "samples": len(samples),
            "tokens": sum(sample.size for sample in samples),
            "items": sum(map(len, items)),
        }
        totals = parallel.summed([float(number) for number in own.values()])
        return dict(zip(own, map(int, totals), strict=True))

    def explain(
        self,
        step: int,
        samples: Sequence[Prepared],
        counts: Mapping[str, int],
        losses: Mapping[str, float],
        norm: float,
    ) -> str:
        """What to say about a step that is not finite: which samples are not so when they stand alone."""
        guilty = []
        each = self.parts([[sample] for sample in samples], parallel.positions(len(samples)))
        for sample, alone in zip(samples, each, strict=True):
            self.optimizer.zero_grad()
            sums = self.backward(step, alone, counts, alone=True)
            if not all(map(math.isfinite, _on_host([*sums.values(), *self.norms()]))):
                guilty.append(sample.id)
        guilty = sorted(parallel.gathered(guilty))
        names = guilty or parallel.gathered([sample.id for sample in samples])
        which = "samples that are not finite alone" if guilty else "no sample is so alone; the samples of the step"
        return (
            f"stage {self.stage.name}, step {step + 1}: found loss {_shown(losses)} and gradient norm {norm:g}, needed "
            f"finite numbers; nothing was updated; {which}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}; "
            "look at these samples, or lower the learning rate"
        )


def _on_host(values: Sequence[Float[Tensor, ""]]) -> list[float]:
    """Numbers of the device, in one transfer."""
    numbers: list[float] = torch.stack([value.float() for value in values]).tolist()
    return numbers


def _shown(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in losses.items())
