"""Media that the policy makes: drawn from the conditions that it gives, judged by rewards, and kept, so that a killed
run draws none twice.

What a medium is depends on the recipe's seed, stage, step, sample and its number alone, and on the weights. Some
requests at a time are written to the run's folder: what the objective keeps of each medium and how it was judged, under
a digest of the weights that drew them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from modalink import files, tensor_files
from modalink.conversation import Medium
from modalink.errors import TrainingError
from modalink.model.precision import autocast
from modalink.model.prepared import Prepared
from modalink.rewards import Answered
from modalink.rewards._combined import Combined
from modalink.roles import Conditions
from modalink.runs.unwritable import unwritable
from modalink.training import parallel
from modalink.training.forward import forward
from modalink.training.micro_batches import MicroBatch
from modalink.training.objectives._sampled import Requests, SampledMediaConfig
from modalink.training.randomness import seed_of
from modalink.training.step import Learner


@dataclass(frozen=True)
class Request:
    """A medium that a sample's reply asks for.

    Args:
        sample: The sample.
        place: The sample's place in the whole step.
        modality: What is asked for.
        number: Which of the sample's media of this modality.
    """

    sample: Prepared
    place: int
    modality: str
    number: int

    def answered(self, medium: Any) -> Answered:
        """A medium as rewards read it: the whole reply, with the words for it, where they are known, as `captions`.

        What a record tells beside a prompt alone goes before the prompt's own words.
        """
        assert self.sample.asked is not None
        facts, item = self.sample.asked.facts, self.sample.targets[self.modality][self.number]
        if item.caption and (item.exists or "captions" not in facts):
            facts = {**facts, "captions": [item.caption]}
        return Answered(self.sample.asked.conversation, (Medium(self.modality, medium, use="made"),), facts)


@dataclass(frozen=True)
class MadeMedium:
    """A medium that was drawn and judged.

    Args:
        tensors: What its objective keeps of it.
        reward: What it is worth; None where that is not known.
        parts: Score of each reward, unweighted.
        why: Why its worth is not known.
    """

    tensors: Mapping[str, Tensor]
    reward: float | None
    parts: dict[str, float]
    why: str = ""


@dataclass(frozen=True)
class Group:
    """A request with the media that were made for it."""

    request: Request
    media: tuple[MadeMedium, ...]


@dataclass(frozen=True)
class MediaRollouts:
    """Draws and judges the media of a stage.

    Args:
        learner: The stage's learner, whose weights draw.
        objective: How media are drawn.
        rewards: What judges.
        folder: The stage's folder.
        count: How many a request.
        beside: How many are drawn side by side.
    """

    learner: Learner
    objective: SampledMediaConfig
    rewards: Combined
    folder: Path
    count: int
    beside: int = 32

    @torch.no_grad()
    def draw(self, step: int, parts: Sequence[MicroBatch]) -> list[Group]:
        """The media for this process's samples of a step; all processes draw together.

        Args:
            step: The step, from 0.
            parts: The samples in forward passes.

        Raises:
            TrainingError: A medium is made without conditions, or the objective's settings do not fit the generator.
            DataError: A judge cannot be reached, or a function gives no scores.
            CheckpointError: The run folder cannot be written.
        """
        learner, size = self.learner, max(1, self.beside // self.count)
        groups: list[Group] = []
        drawing = learner.averaged() if self.objective.by_average else nullcontext()
        with drawing:
            for view in learner.generators.values():
                view.denoiser.note_drawing()
            weights, number = tensor_files.digest(learner.weights), 0
            for part in parts:
                for requests, conditions in self._requests(part):
                    for start in range(0, len(requests), size):
                        own = requests[start : start + size]
                        places = range(start, start + len(own))
                        kept = Kept(self.folder / "rollouts", step, number, weights)
                        made = kept.read(own) or self._drawn(step, own, conditions.take([*places]), kept)
                        groups += [
                            Group(one, tuple(made[i * self.count : (i + 1) * self.count])) for i, one in enumerate(own)
                        ]
                        number += 1
        return groups

    def _requests(self, part: MicroBatch) -> Iterator[tuple[list[Request], Conditions]]:
        """What a forward pass asks for, by modality, with the conditions of each."""
        learner = self.learner
        batch = learner.encoders.encoded(part.batch).to(learner.device)
        with autocast(learner.dtype, learner.device):
            made = forward(learner.system.model, batch, {"conditions"}).conditions or {}
        for modality, targets in self.objective.targets(batch).items():
            if not (chosen := targets.learned):
                continue
            if modality not in made:
                raise TrainingError(
                    f"the objective {self.objective.kind!r}: found {modality} that is made from words, without "
                    "conditions of a projector; learn from the words (a stage of kind online with media: true), or "
                    "say by `modalities` which the objective is about"
                )
            found = []
            for i in chosen:
                row = targets.samples[i]
                number = targets.samples[:i].count(row)
                found.append(Request(part.samples[row], part.positions[row], modality, number))
            yield found, made[modality].take(chosen)

    def _drawn(self, step: int, requests: Sequence[Request], conditions: Conditions, kept: "Kept") -> list[MadeMedium]:
        seed, modality = self.learner.seed, requests[0].modality
        seeds = [seed_of(seed, step, one.place, "medium", modality, one.number) for one in requests]
        wanted = Requests(conditions, seeds, self.count, seed_of(seed, step, "media"))
        with autocast(self.learner.dtype, self.learner.device):
            made = self.objective.draw(self.learner.system.generators[modality], wanted)
        owners = [one for one in requests for _ in range(self.count)]
        answers = [owner.answered(one.medium) for owner, one in zip(owners, made, strict=True)]
        rated = self.rewards.rate(answers)
        found = [
            MadeMedium(
                {name: values.cpu().clone() for name, values in one.tensors.items()}, own.total, own.values, own.why
            )
            for one, own in zip(made, rated, strict=True)
        ]
        kept.write(requests, found)
        return found

    def forget(self, steps: int) -> None:
        """Delete what was kept of steps that are finished and in a checkpoint.

        Args:
            steps: How many these are.
        """
        for path in (self.folder / "rollouts").glob("*.safetensors"):
            step, process, _ = path.stem.split("-")
            if int(step) < steps and process == str(parallel.rank()):
                path.unlink(missing_ok=True)


class Kept:
    """The file of some requests of one step of this process.

    Args:
        folder: Where such files are.
        step: The step, from 0.
        number: Which requests of the step, counted by such files.
        weights: Digest of the weights that draw.
    """

    def __init__(self, folder: Path, step: int, number: int, weights: str) -> None:
        self.path = folder / f"{step:08d}-{parallel.rank()}-{number:04d}.safetensors"
        self.weights = weights

    def read(self, requests: Sequence[Request]) -> list[MadeMedium] | None:
        """What was made for the requests before; None where nothing was, or by other weights or for others."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                head = json.loads((file.metadata() or {})["made"])
                if head["weights"] != self.weights or head["requests"] != _names(requests):
                    return None
                found: list[dict[str, Tensor]] = [{} for _ in head["media"]]
                names: list[str] = list(file.keys())
                for name in names:
                    number, _, own = name.partition("/")
                    found[int(number)][own] = file.get_tensor(name)
                return [MadeMedium(tensors, **one) for tensors, one in zip(found, head["media"], strict=True)]
        except (SafetensorError, KeyError, TypeError, ValueError, OSError):
            return None

    def write(self, requests: Sequence[Request], media: Sequence[MadeMedium]) -> None:
        """Keep what was made; it is on the disk when this returns.

        Raises:
            CheckpointError: It cannot be written.
        """
        rows = [{"reward": medium.reward, "parts": medium.parts, "why": medium.why} for medium in media]
        head = {"weights": self.weights, "requests": _names(requests), "media": rows}
        tensors = {f"{i}/{name}": t for i, medium in enumerate(media) for name, t in medium.tensors.items()}
        try:
            with files.replacing(self.path) as beside:
                tensor_files.save(tensors, beside, {"made": json.dumps(head)})
        except OSError as error:
            raise unwritable(self.path, error) from error


def _names(requests: Sequence[Request]) -> list[list[Any]]:
    return [[one.sample.id, one.modality, one.number] for one in requests]
