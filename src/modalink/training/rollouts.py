"""Replies that the policy draws: with the engine, judged by rewards, and kept so that a killed run draws none twice.

What a reply is depends on the recipe's seed, stage, step, prompt and its number alone, and on the weights. Replies are
written to the run's folder some prompts at a time, under a digest of the weights that drew them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modalink import files, json_files, tensor_files
from modalink.errors import CheckpointError
from modalink.inference import Completion
from modalink.inference.engine import Engine
from modalink.inference.request import Request
from modalink.inference.sampling import Sampling
from modalink.model.precision import autocast
from modalink.model.prepared import Prepared
from modalink.rewards import Answered, Judgement
from modalink.rewards._combined import Combined, Rated
from modalink.runs.unwritable import unwritable
from modalink.training import parallel
from modalink.training.judged import is_mixed, rewards_of
from modalink.training.randomness import seed_of
from modalink.training.step import Learner


@dataclass(frozen=True)
class Reply:
    """One reply that was drawn.

    Args:
        ids: Its tokens, its end included.
        text: Its words.
        complete: Whether it came to its end.
        reward: What it is worth; None where that is not known.
        parts: Score of each reward, unweighted.
        why: Why its worth is not known, or the reasons of those that judged.
        makes: Whether it asks for media.
    """

    ids: tuple[int, ...]
    text: str
    complete: bool
    reward: float | None
    parts: dict[str, float] = field(default_factory=dict)
    why: str = ""
    makes: bool = False


@dataclass(frozen=True)
class Group:
    """A prompt with its replies."""

    prompt: Prepared
    place: int
    """The prompt's place in the whole step."""
    replies: tuple[Reply, ...]

    @property
    def rewards(self) -> list[float]:
        """Of the replies whose worth is known."""
        return rewards_of(self.replies)

    @property
    def is_mixed(self) -> bool:
        """Whether some replies are better than others."""
        return is_mixed(self.replies)


@dataclass(frozen=True)
class Rollouts:
    """Draws and judges the replies of a stage.

    Args:
        learner: The stage's learner, whose weights draw.
        rewards: What judges.
        folder: The stage's folder.
        replies: How many a prompt.
        sampling: How they are drawn; their seeds are set here.
        beside: How many replies are drawn side by side.
        media: Whether the media are made that replies ask for.
        round: Which of the draws of a step this is, from 0: each has randomness and files of its own.
    """

    learner: Learner
    rewards: Combined
    folder: Path
    replies: int
    sampling: Sampling
    beside: int = 64
    media: bool = False
    round: int = 0

    def draw(
        self,
        step: int,
        prompts: Sequence[Prepared],
        mixed: int | None = None,
        *,
        places: Sequence[int] | None = None,
    ) -> list[Group]:
        """The replies to this process's prompts of a step.

        Args:
            step: The step, from 0.
            prompts: What is asked.
            mixed: No more are drawn once so many prompts have replies of different worth; None draws all.
            places: The prompts' places in the whole step; by default those of this process's share.

        Raises:
            GenerationError: A prompt leaves no room for a reply.
            DataError: A judge cannot be reached, or a function gives no scores.
            CheckpointError: The run folder cannot be written.
        """
        places, size = places or parallel.positions(len(prompts)), max(1, self.beside // self.replies)
        chunks = [prompts[start : start + size] for start in range(0, len(prompts), size)]
        kept = Kept(
            self.folder / (f"rollouts-{self.round}" if self.round else "rollouts"),
            step,
            tensor_files.digest(self.learner.weights),
        )
        known = kept.read(chunks)
        engine = Engine(self.learner.system, batch=max(self.beside, self.replies), encoded=self.learner.encoders)
        groups: list[Group] = []
        for number, chunk in enumerate(chunks):
            if mixed is not None and sum(group.is_mixed for group in groups) >= mixed:
                break
            at = places[number * size : number * size + len(chunk)]
            if number < len(known):
                drawn = known[number]
            else:
                drawn = self._drawn(engine, step, chunk, at)
                kept.write(chunk, drawn)
            groups += [Group(*one) for one in zip(chunk, at, drawn, strict=True)]
        return groups

    def _drawn(
        self, engine: Engine, step: int, prompts: Sequence[Prepared], places: Sequence[int]
    ) -> list[tuple[Reply, ...]]:
        rounds = [self.round] if self.round else []
        requests = [
            Request(
                prompt,
                self.sampling.replace(seed=seed_of(self.learner.seed, step, place, "reply", n, *rounds)),
                self.media,
            )
            for prompt, place in zip(prompts, places, strict=True)
            for n in range(self.replies)
        ]
        with autocast(self.learner.dtype, self.learner.device):
            completions = engine.generate(requests)
        answers = [answered(request.prompt, one) for request, one in zip(requests, completions, strict=True)]
        rated = self.rewards.rate(answers)
        replies = [_reply_of(one, own) for one, own in zip(completions, rated, strict=True)]
        return [tuple(replies[i : i + self.replies]) for i in range(0, len(replies), self.replies)]

    def forget(self, steps: int) -> None:
        """Delete what was kept of steps that are finished and in a checkpoint.

        Args:
            steps: How many these are.
        """
        for path in self.folder.glob("rollouts*/*.jsonl"):
            step, _, process = path.stem.partition("-")
            if step.isdigit() and int(step) < steps and process == str(parallel.rank()):
                path.unlink(missing_ok=True)


def answered(prompt: Prepared, completion: Completion) -> Answered:
    """A completion as rewards read it."""
    assert prompt.asked is not None
    return Answered(
        prompt.asked.conversation,
        completion.content,
        prompt.asked.facts,
        len(completion.ids),
        completion.finish_reason == "stop",
    )


def _reply_of(completion: Completion, rated: Rated) -> Reply:
    complete = completion.finish_reason == "stop"
    why, makes = rated.why or _reasons(rated.parts), bool(completion.conditions)
    return Reply(completion.ids, completion.text, complete, rated.total, rated.values, why, makes)


def _reasons(parts: Mapping[str, Judgement]) -> str:
    """What was said by those that judged, by name where there are several."""
    said = {name: part.why for name, part in parts.items() if part.why}
    return "; ".join(f"{name}: {why}" for name, why in said.items()) if len(said) > 1 else "".join(said.values())


class Kept:
    """The file of one step's replies of this process: a line of what draws, then one for each chunk of prompts.

    Args:
        folder: Where such files are.
        step: The step, from 0.
        weights: Digest of the weights that draw.
    """

    def __init__(self, folder: Path, step: int, weights: str) -> None:
        self.path, self.weights = folder / f"{step:08d}-{parallel.rank()}.jsonl", weights

    def read(self, chunks: Sequence[Sequence[Prepared]]) -> list[list[tuple[Reply, ...]]]:
        """What was drawn before of the first chunks.

        What other weights drew, or to other prompts, is deleted: it belongs to an earlier attempt of the run.
        """
        if not self.path.exists():
            return []
        with self._told():
            files.cut_torn_line(self.path)
            lines = [*files.whole_lines(self.path)]
        try:
            head, *found = [json_files.parse(line, CheckpointError, dict[str, Any]) for line in lines]
            mine = [[prompt.id for prompt in chunk] for chunk in chunks]
            if head == {"weights": self.weights} and [one["prompts"] for one in found] == mine[: len(found)]:
                return [[tuple(map(_reply, replies)) for replies in one["replies"]] for one in found]
        except (CheckpointError, ValueError, TypeError, KeyError):
            pass
        with self._told():
            self.path.unlink()
        return []

    def write(self, chunk: Sequence[Prepared], drawn: Sequence[tuple[Reply, ...]]) -> None:
        """Add the replies to a chunk of prompts; they are on the disk when this returns."""
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            head = [] if self.path.exists() else [{"weights": self.weights}]
            replies = [[asdict(reply) for reply in own] for own in drawn]
            row = {"prompts": [prompt.id for prompt in chunk], "replies": replies}
            files.append_json_lines(self.path, [*head, row], durable=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self.path, error) from error


def _reply(row: Mapping[str, Any]) -> Reply:
    return Reply(**{**row, "ids": tuple(row["ids"])})
