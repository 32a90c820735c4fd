"""One step of training: count, forward, backward, check, update."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from modalink.errors import TrainingError
from modalink.model.batch import Batch
from modalink.model.groups import Groups
from modalink.model.prepared import Prepared
from modalink.training import parallel
from modalink.training.filler import no_loss
from modalink.training.gradient_check import GradientWatch
from modalink.training.mean_start import centre
from modalink.training.micro_batches import MicroBatch
from modalink.training.moving_average import MovingAverage
from modalink.training.optimization import build_optimizer, lr_factor, set_lr
from modalink.training.passes import Passes
from modalink.training.randomness import seed_everything


@dataclass(kw_only=True)
class Learner(Passes):
    """What one stage needs to learn from the samples of a step, beside what its passes need.

    Args:
        steps: How many steps the stage has.
        trained: The trained groups.
    """

    steps: int
    trained: Groups
    optimizer: torch.optim.Optimizer = field(init=False)
    watch: GradientWatch = field(init=False)
    average: MovingAverage | None = field(init=False)
    """Of the trained parameters, where the stage keeps one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parameters = [parameter for members in self.trained.values() for _, parameter in members]
        self.optimizer = build_optimizer(self.stage, self.trained)
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
        each = self.division.parts([[sample] for sample in samples], parallel.positions(len(samples)))
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
