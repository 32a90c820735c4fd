"""What a benchmark is: how its files are read, how a reply becomes an answer, and how answers become a score.

A file in `benchmarks/` holds a family: functions for each step, and a table `BENCHMARKS` of name -> benchmark with the
texts that tell a user its formats, its rule and its source.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from modalink.kinds import Settings
from modalink.scoring.bootstrap import REPLICATES, Sample, means
from modalink.scoring.features import EncoderLoader
from modalink.scoring.predictions import IDS, REPLIES, Prediction, as_text, read_predictions


class ScoreOptions(Settings):
    """What every benchmark lets a user choose."""

    replicates: int = Field(default=REPLICATES, ge=1, le=100_000)
    """Bootstrap replicates behind the interval."""


class BenchmarkOptions(ScoreOptions):
    """What every benchmark of questions lets a user choose."""

    id_field: str = ""
    """Name of the field that holds a prediction's question id, where it is none of the usual ones."""
    reply_field: str = ""
    """Name of the field that holds a prediction's reply, where it is none of the usual ones."""
    missing: Literal["error", "skip", "wrong"] = "error"
    """What a question without a prediction is: an error, left out of the score (`--partial`), or a wrong answer."""


@dataclass(slots=True)
class Question:
    """One question with its right answer."""

    id: str
    gold: Any = None
    """What the metric compares with."""
    text: str = ""
    media: str = ""
    """File name of the image, video, sound or shape that is asked about."""
    choices: tuple[str, ...] = ()
    groups: tuple[tuple[str, str], ...] = ()
    """Sub-scores the question counts for: (family, member)."""
    keys: tuple[str, ...] = ()
    """Other names by which a prediction file may call the question."""
    scored: bool = True
    """False for a question that prediction files may answer, but that is not of this benchmark's part of the file."""
    modality: str = ""
    """What the medium is, where it is none of the benchmark's own modality."""
    numbered: bool = False
    """Whether its id is the number of its row, counted from 0, for the file has none."""
    shown: tuple[str, ...] = ()
    """File names of further media, such as options that are pictures, in the order in which they are shown."""
    other_names: tuple[str, ...] = ()
    """Other names that the file of its medium may have, since downloads differ; the likelier first."""
    span_s: tuple[float, float] | None = None
    """From when to when of a video it is about, in seconds; all of it by default."""


@dataclass(slots=True)
class Grade:
    """What a reply was taken to say, and what it earned."""

    score: float
    answer: str = ""
    parsed: bool = True
    """False where the benchmark's rule found no answer in the reply."""
    detail: Any = None
    """More than one number, where the benchmark needs it for its summary."""
    answer_id: str = ""
    """What the prediction file calls the reply, where it does."""


@dataclass(slots=True)
class GradedQuestion:
    """A graded question."""

    question: Question
    grade: Grade


@dataclass(slots=True)
class Summary:
    """A benchmark's result over all items."""

    score: float
    metrics: dict[str, float]
    sample: Sample | None = None
    """What the error bar is computed from; None where the score is none of a sample of items."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the number must know."""
    items: list[GradedQuestion] = field(default_factory=list)
    count: int | None = None
    """How many things were scored; None where the files do not tell."""
    samples: Mapping[str, Sample] = field(default_factory=dict)
    """Further metrics, by name, with what their error bars are computed from."""
    unit: str = ""
    """The score's unit, where it is not the benchmark's."""
    by_item: str = ""
    """Of a score of all together, the metric that says what each item is worth."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a model meets a benchmark: what its official files are called, what is shown, how a reply is written down."""

    files: tuple[str, ...] = ()
    """Patterns of the names of the official annotation files, the likelier first."""
    folder: bool = False
    """Whether the annotations are all such files of a folder together."""
    depth: int = 0
    """How many folders below that folder the files lie; where it is not 0, a split is one such folder."""
    beside: str = ""
    """Official name of a file beside the annotations, without which the questions have no words."""
    option_files: Mapping[str, str] = field(default_factory=dict)
    """Options that name a further file, each with the pattern of its official name."""
    modality: str = "image"
    """What the questions are about."""
    wordless: bool = False
    """Whether questions have no words of their own: the prompt is the same for all."""
    generated: bool = False
    """Whether the benchmark makes its questions and media itself, and needs no folder of data."""
    mixed: bool = False
    """Whether some questions are in words alone."""
    max_new_tokens: int = 128
    """Longest reply."""
    reply_field: str = "answer"
    """Name under which the replies are written."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that replies in words need, where they differ from the defaults."""
    judged: bool = False
    """Whether there is no score without a judge."""
    why_not_asked: str = ""
    """Why a reply in words cannot be scored, and what can; empty where it can."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What all benchmarks tell about themselves."""

    title: str
    rule: str | Callable[[Any], str]
    """The scoring rule in words, from the options where they change it: whatever moves the number."""
    source: str
    """Where the rule was published."""
    unit: Literal["percent", "fraction", "points", "distance"]
    annotations: str
    """The official annotation files that are read."""
    predictions: str
    """The prediction files that are read."""
    aliases: tuple[str, ...] = ()
    options: type[ScoreOptions] = BenchmarkOptions

    def rule_of(self, options: ScoreOptions) -> str:
        """The rule in words."""
        return self.rule if isinstance(self.rule, str) else self.rule(options)


Grader = Callable[[Question, Any, str, Any], Grade]
"""From (question, reply, where the reply is for messages, options) to a grade."""


def wrong(question: Question, options: Any) -> Grade:
    """The grade of a question without a prediction, where `missing=wrong` is asked for."""
    return Grade(0.0, parsed=False)


@dataclass(frozen=True, kw_only=True)
class AskingBenchmark(Benchmark):
    """A benchmark that asks a model something, one question or request after the other."""

    questions: Callable[[Path, Any], Iterator[Question]]
    """From the annotation file or folder and options to questions."""
    prompt: Callable[[Question], str] = lambda question: question.text
    """What the model is asked."""
    setup: Setup = Setup()
    """Where its files are, and what is shown."""


@dataclass(frozen=True, kw_only=True)
class QuestionBenchmark(AskingBenchmark):
    """A benchmark of questions that are answered one by one."""

    replies: Callable[[Path, Any], Iterator[Prediction]] = field(
        default=lambda path, options: plain_replies(path, options)
    )
    """From the prediction file or folder and options to replies."""
    grade: Grader
    when_missing: Callable[[Question, Any], Grade] = wrong
    """The grade of a missing reply that counts as wrong; raises `OptionError` where the score has no such thing."""
    summarise: Callable[[list[GradedQuestion], Any], Summary]
    when_unmatched: str = ""
    """What to try where predictions answer no question."""
    self_contained: bool = False
    """Whether prediction files carry the right answers, so that no annotation file is needed."""
    keeps_text: bool = False
    """Whether the summary needs the replies whole, not only their grades."""


class MadeOptions(ScoreOptions):
    """What every benchmark of made media lets a user choose."""

    per_prompt: int = Field(default=1, ge=1, le=1000)
    """Media that are made of each prompt, each from a seed of its own."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Decides all seeds, and what is drawn by chance."""
    sample: int | None = Field(default=None, ge=1)
    """So many prompts, drawn by the seed, in the place of all."""
    ask: bool = True
    """Whether the system itself is asked about what it made, where it reads what it makes."""
    question: str = 'Does this {modality} show "{caption}"? Answer yes or no.'
    """What it is asked."""


@dataclass(frozen=True, kw_only=True)
class MediaBenchmark(AskingBenchmark):
    """A benchmark of media that a model makes: each question's text is what shall be made, its medium a real one.

    Predictions are a folder that `modalink evaluate` has made: media, and what encoders or a detector say of them.
    """

    needs: Mapping[str, str]
    """Options that name who looks at the media, with what each gives; at least one is needed."""
    compare: Callable[[Path, Path | None, Any, Collection[str] | None], Summary]
    """From the folder of predictions, annotations, options, and which media alone count, to a summary."""


@dataclass(frozen=True, kw_only=True)
class SetBenchmark(Benchmark):
    """A benchmark that compares one set of things with another, such as features of generated and real images."""

    compare: Callable[[Path, Path | None, Any, EncoderLoader], Summary]
    """From generated and real media or features, options, and what loads an encoder, to a summary."""


def plain_replies(
    path: Path,
    options: BenchmarkOptions,
    ids: tuple[str, ...] = IDS,
    replies: tuple[str, ...] = REPLIES,
    content: tuple[str, ...] = (),
) -> Iterator[Prediction]:
    """The replies of a file with one row a question, with the fields that the options name."""
    replies = (options.reply_field,) if options.reply_field else replies
    return read_predictions(path, ids, replies, content=content, id_field=options.id_field)


def group_means(items: Iterable[GradedQuestion], scale: float = 1.0, digits: int | None = None) -> dict[str, float]:
    """The mean score of every group, as `family/member`, in the order of first appearance."""
    sums: dict[str, list[float]] = {}
    for item in items:
        for family, member in item.question.groups:
            total = sums.setdefault(f"{family}/{member}", [0.0, 0])
            total[0] += item.grade.score
            total[1] += 1
    return {name: _rounded(scale * total / count, digits) for name, (total, count) in sums.items()}


def scores_of(items: list[GradedQuestion]) -> np.ndarray:
    """The item scores, as an array."""
    return np.fromiter((item.grade.score for item in items), float, len(items))


def mean_summary(
    items: list[GradedQuestion], name: str = "accuracy", scale: float = 100.0, digits: int | None = None
) -> Summary:
    """The mean of the item scores and of every group, rounded as the official scorer rounds."""
    scores = scores_of(items)
    exact = scale * float(sum(scores.tolist())) / len(items)
    metrics = {name: exact, **group_means(items, scale, digits)}
    return Summary(_rounded(exact, digits), metrics, means(scores, scale), items=items, count=len(items))


def _rounded(value: float, digits: int | None) -> float:
    return value if digits is None else round(value, digits)


def ungraded(question: Question, reply: Any, where: str, options: BenchmarkOptions) -> Grade:
    """The reply as it is, for benchmarks that grade all replies together or by a judge."""
    return Grade(0.0, as_text(reply, where))
