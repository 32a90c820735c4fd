"""Answers that a system finds no likelier with their own media than with those of other samples.

The score is the pointwise mutual information of answer and media, estimated as for contrastive learning (van den Oord
et al., arXiv 1807.03748, eq. 4): log p(answer | own) - log mean_k p(answer | others_k), in nats. Wrong captions and
swapped media have about 0 or less, and so have answers that need no look.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modalink import files
from modalink.conversation import Content, Conversation, Medium
from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.checks.lengths import quantiles
from modalink.data_quality.likelihood import Likelihoods
from modalink.data_quality.sample import Sample
from modalink.data_quality.scores import Scores, content_of, key_of
from modalink.data_quality.words import words
from modalink.errors import DataError, MediumError, PromptError
from modalink.inference import load
from modalink.inference.loading import model_folder
from modalink.model.prepared import Prepared

_TOGETHER = 16


class DependencyConfig(CheckConfig):
    """Settings of the check of what answers depend on.

    Judged are samples whose media are all shown, and none made, with an answer that has some words.
    """

    by_default: ClassVar[bool] = False

    kind: Literal["dependency"] = "dependency"
    run: str
    """Run folder, saved system or hub id of one that reads these media and has learned of others like them."""
    least: float = 5.0
    """Nats by which the answer must be likelier with its own media than with others."""
    others: int = Field(default=8, ge=1, le=256)
    """Media of how many other samples are tried."""
    least_words: int = Field(default=5, ge=1)
    """Samples whose answers have fewer are not judged: `yes` fits many pictures."""
    seed: int = 0
    """Decides which samples are tried."""

    def begin(self, context: Context) -> Check:
        """Load the run.

        Raises:
            CheckpointError: There is none.
        """
        return _Dependency(self, context)


@dataclass(frozen=True)
class _Judged:
    number: int
    conversation: Conversation
    content: str
    media: tuple[Medium, ...]
    digests: tuple[str | None, ...]

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(medium.modality for medium in self.media)


class _Dependency(Check):
    def __init__(self, config: DependencyConfig, context: Context) -> None:
        self._config = config
        folder = model_folder(config.run)
        self._run = {file.name: files.known_sha256(file) for file in sorted(folder.iterdir()) if file.is_file()}
        self._likelihoods = Likelihoods(load(config.run, generators=False).system)
        self._scores = Scores(context.scores)
        self._rows: list[_Judged] = []
        self._values: list[float] = []
        self._passed = 0

    def look(self, sample: Sample) -> Iterator[Fault]:
        if sample.conversation is None or not self._is_judged(sample):
            self._passed += 1
            return
        media = tuple(medium.medium for medium in sample.media)
        digests = tuple(medium.digest for medium in sample.media)
        row = _Judged(sample.number, sample.conversation, content_of(sample), media, digests)
        broken = next((m.decoded for m in sample.media if isinstance(m.decoded, MediumError)), None)
        try:
            if broken is not None:
                raise broken
            self._likelihoods.system.prepare(row.conversation)
        except (DataError, PromptError) as error:
            yield Fault.of(sample, "not_scored", str(error).removeprefix(f"{sample.id}: "))
            return
        self._rows.append(row)

    def finish(self) -> Iterator[Fault]:
        """All scores; what was stopped on the way resumes, where scores are kept."""
        alike: dict[tuple[str, ...], list[_Judged]] = {}
        for row in self._rows:
            alike.setdefault(row.modalities, []).append(row)
        for rows in alike.values():
            for start in range(0, len(rows), _TOGETHER):
                yield from self._of(rows[start : start + _TOGETHER], rows)

    def facts(self) -> dict[str, Any]:
        """Quantiles of the scores, and how many samples were not judged."""
        measured = {"nats by own media": quantiles(self._values)} if self._values else {}
        return measured | {"not judged by dependency": self._passed}

    def _is_judged(self, sample: Sample) -> bool:
        shown = bool(sample.media) and all(m.role != "assistant" and m.medium.use != "made" for m in sample.media)
        return shown and len(words(sample.said("assistant"))) >= self._config.least_words

    def _of(self, chunk: Sequence[_Judged], rows: Sequence[_Judged]) -> Iterator[Fault]:
        asked = [(row, self._others(row, rows)) for row in chunk]
        asked = [(row, others) for row, others in asked if others]
        self._passed += len(chunk) - len(asked)
        settings = self._config.model_dump(include={"others", "seed"})
        keys = [key_of(self._run, settings, row.content, [o.digests for o in others]) for row, others in asked]
        missing = [at for at, key in enumerate(keys) if self._scores.get(key) is None]
        if missing:
            found = self._measured([asked[at] for at in missing])
            self._scores.add({keys[at]: {"nats": nats} for at, nats in zip(missing, found, strict=True)})
        for (row, others), key in zip(asked, keys, strict=True):
            nats = float((self._scores.get(key) or {})["nats"])
            self._values.append(nats)
            if nats < self._config.least:
                than = f"than with those of {len(others)} others, needed {self._config.least:g} at least"
                detail = f"its answer is {nats:+.1f} nats likelier with its own media {than}"
                yield Fault(row.number, row.conversation.id, "independent", detail)

    def _others(self, row: _Judged, rows: Sequence[_Judged]) -> list[_Judged]:
        """Samples with other media; fewer where there are not as many."""
        rng = random.Random(f"{self._config.seed}/{row.content}")
        drawn = rng.sample(range(len(rows)), min(len(rows), 3 * self._config.others))
        return [rows[at] for at in drawn if rows[at].digests != row.digests][: self._config.others]

    def _measured(self, asked: Sequence[tuple[_Judged, Sequence[_Judged]]]) -> list[float]:
        prepared: list[Prepared] = []
        for row, others in asked:
            shown = [row, *others]
            prepared += [self._likelihoods.system.prepare(_showing(row.conversation, one.media)) for one in shown]
        totals = iter(self._likelihoods.of(prepared))
        found = []
        for _, others in asked:
            own, *those = (next(totals) for _ in range(len(others) + 1))
            found.append(own - float(np.logaddexp.reduce(those) - np.log(len(those))))
        return found


def _showing(conversation: Conversation, media: Sequence[Medium]) -> Conversation:
    """The conversation with other media in the place of its own."""
    given = iter(media)

    def shown(piece: Content) -> Content:
        return replace(piece, source=next(given).source) if isinstance(piece, Medium) else piece

    turns = tuple(replace(turn, content=tuple(map(shown, turn.content))) for turn in conversation.turns)
    return replace(conversation, turns=turns)
