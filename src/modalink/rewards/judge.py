"""A language model that reads the question and the reply, and gives a score with its reasons."""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, Self, runtime_checkable

from pydantic import Field, field_validator, model_validator

from modalink import modalities
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.inference.loading import load
from modalink.inference.request import Request as Asked
from modalink.inference.sampling import Sampling
from modalink.inference.session import Session
from modalink.kinds import GivenPath
from modalink.rewards import Answered, Judgement, Reward, RewardConfig
from modalink.scoring.judge_model import Endpoint, JudgeModel, Request, hash_of

PROMPT = """\
Rate the reply to the question from 1 (wrong or useless) to 10 (right and complete).

Question: {question}
Reply: {reply}

Say in a sentence why, then write on a line of its own: Score: NUMBER"""
PATTERN = r"(?s)(?P<reasons>.*)\bscore\b\W*(?P<score>-?\d+(?:\.\d+)?)"


class JudgeConfig(RewardConfig):
    """The score that a generative judge gives, from 0 (the lower end of `range`) to 1. The judge is behind an
    OpenAI-compatible address (`url`, `model`; the key comes from `OPENAI_API_KEY`), or a run of one's own (`run`). A
    reply of the judge that cannot be read is asked for again; in the end there is no score, and what it said is
    kept."""

    kind: Literal["judge"] = "judge"
    url: str | None = None
    """Base address of an OpenAI-compatible server, for example `http://localhost:8000/v1`."""
    model: str = ""
    """The model's name there."""
    run: str | None = None
    """Run folder, saved system or hub id of one, instead of `url`."""
    prompt: str = PROMPT
    """What the judge is asked; `{question}`, `{reply}` and facts of the record by their names (`{answer}`) are filled
    in."""
    system: str = ""
    """System message."""
    pattern: str = PATTERN
    """Regular expression that finds the number `score`, and if it likes `reasons`, in what the judge says; case does
    not matter."""
    range: tuple[float, float] = (1.0, 10.0)
    """Worst and best score; a number beyond them cannot be read."""
    shows: bool = True
    """Whether the judge sees the media: of a server the pictures, of a run all that it reads."""
    retries: int = Field(default=2, ge=0, le=20)
    """How often it is asked again where its reply cannot be read."""
    max_tokens: int = Field(default=256, ge=1, le=2**16)
    """Longest reply of the judge."""
    record: GivenPath | None = None
    """JSON lines to which a server's replies are added."""

    @field_validator("pattern")
    @classmethod
    def _finds_a_score(cls, pattern: str) -> str:
        try:
            names = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"found {pattern!r}, needed a regular expression ({error})") from None
        if "score" not in names:
            raise ValueError(f"found {pattern!r}, needed a group (?P<score>...)")
        return pattern

    @field_validator("prompt")
    @classmethod
    def _can_be_filled(cls, prompt: str) -> str:
        try:
            names = _names(prompt)
        except ValueError as error:
            raise ValueError(f"found {prompt!r:.80}, needed {{name}}s that can be filled in ({error})") from None
        if "reply" not in names:
            raise ValueError("found a prompt without {reply}, needed one: what is judged stands there")
        return prompt

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        if (self.url is None) == (self.run is None):
            raise ValueError(f"found url {self.url!r} and run {self.run!r}, needed exactly one of the two")
        if self.url is not None and not self.model:
            raise ValueError("found a url and no model, needed the name of the model that judges")
        if not self.range[0] < self.range[1]:
            raise ValueError(f"found the range {self.range}, needed the worst score, then the best")
        return self

    def tiny(self) -> RewardConfig:
        """There is none: no judge ships."""
        return super(RewardConfig, self).tiny()  # type: ignore[return-value]

    def build(self, device: str = "cpu") -> Reward:
        """The reward; a run is loaded when it is first asked.

        Raises:
            CheckpointError: There is no such run.
        """
        judge: Judge = Server(self) if self.url is not None else OwnRun(self, device)
        return Judged(self, judge)


@dataclass(frozen=True)
class Query:
    """What a judge is asked about one reply."""

    prompt: str
    answer: Answered


@runtime_checkable
class Judge(Protocol):
    """Whoever judges."""

    def ask(self, queries: Sequence[Query], attempt: int) -> list[str]:
        """What it says to each query; another attempt may be answered otherwise."""


@dataclass(frozen=True)
class Judged(Reward):
    """Asks a judge and reads what it says."""

    config: JudgeConfig
    judge_model: Judge

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        judged = {i: lack for i, answer in enumerate(answers) if (lack := self._lack(answer)) is not None}
        waiting = [i for i in range(len(answers)) if i not in judged]
        for attempt in range(self.config.retries + 1):
            queries = [Query(_filled(self.config.prompt, answers[i]), answers[i]) for i in waiting]
            said = self.judge_model.ask(queries, attempt) if queries else []
            judged |= {i: self._read(text) for i, text in zip(waiting, said, strict=True)}
            waiting = [i for i in waiting if judged[i].value is None]
        return [judged[i] for i in range(len(answers))]

    def _lack(self, answer: Answered) -> Judgement | None:
        missing = _names(self.config.prompt) - {"question", "reply"} - answer.facts.keys()
        return Judgement.lacking(sorted(missing)[0]) if missing else None

    def _read(self, text: str) -> Judgement:
        match = re.search(self.config.pattern, text, re.IGNORECASE)
        low, high = self.config.range
        try:
            number = float(match["score"]) if match else None
        except (TypeError, ValueError):
            number = None
        if match is None or number is None or not low <= number <= high:
            return Judgement(None, f"the judge's reply cannot be read: {text.strip()[:200]!r}")
        reasons = (match.groupdict().get("reasons") or text).strip()
        return Judgement((number - low) / (high - low), reasons)


@dataclass(frozen=True)
class Server:
    """A judge behind an address."""

    config: JudgeConfig

    @cached_property
    def model(self) -> JudgeModel:
        """Who keeps what was said."""
        assert self.config.url is not None
        return JudgeModel(Endpoint(self.config.url, self.config.model), self.config.record)

    def ask(self, queries: Sequence[Query], attempt: int) -> list[str]:
        """What it says; at a second attempt it is no longer asked for its likeliest reply."""
        requests = [
            Request(
                id=f"{query.answer.conversation.id}/{hash_of(query.prompt)}",
                prompt=query.prompt,
                system=self.config.system,
                attempt=attempt,
                temperature=0.7 if attempt else 0.0,
                max_tokens=self.config.max_tokens,
                answer=query.answer.text,
                pictures=tuple(_pictures(query.answer)) if self.config.shows else (),
            )
            for query in queries
        ]
        return [text or "" for text in self.model.ask(requests)]


@dataclass(frozen=True)
class OwnRun:
    """A trained system as a judge."""

    config: JudgeConfig
    device: str

    @cached_property
    def session(self) -> Session:
        """The session with the run."""
        return load(str(self.config.run), generators=False, device=self.device)

    def ask(self, queries: Sequence[Query], attempt: int) -> list[str]:
        """What it says; at a second attempt it draws."""
        sampling = Sampling(max_new_tokens=self.config.max_tokens, temperature=0.7 if attempt else 0.0, seed=attempt)
        prompts = [self.session.system.prepare(self._conversation(query), reply=True) for query in queries]
        completions = self.session.engine.generate([Asked(prompt, sampling, media=False) for prompt in prompts])
        return [completion.text for completion in completions]

    def _conversation(self, query: Query) -> Conversation:
        media = [medium for _, medium in query.answer.conversation.media()]
        media += [piece for piece in query.answer.reply if isinstance(piece, Medium)]
        read = [replace(m, use="read") for m in media if m.modality in self.session.reads] if self.config.shows else []
        start = (Turn("system", (Text(self.config.system),)),) if self.config.system else ()
        words = Text(f"\n{query.prompt}" if read else query.prompt)
        return Conversation((*start, Turn("user", (*read, words))), query.answer.conversation.id)


def _names(prompt: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(prompt) if name is not None}


def _filled(prompt: str, answer: Answered) -> str:
    facts: Mapping[str, Any] = {**answer.facts, "question": answer.question, "reply": answer.text}
    pieces = string.Formatter().parse(prompt)
    return "".join(text + ("" if name is None else str(facts[name])) for text, name, _, _ in pieces)


def _pictures(answer: Answered) -> list[str]:
    """The pictures of a conversation and of its reply as data URLs."""
    media = [*(medium for _, medium in answer.conversation.media()), *answer.reply]
    pictures = [m for m in media if isinstance(m, Medium) and modalities.get(m.modality).fits({"image"})]
    return [modalities.preview(m.modality, m.source).url for m in pictures]
