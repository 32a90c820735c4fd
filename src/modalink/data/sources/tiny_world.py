"""The zoo's tiny world as data: pictures, clips, sounds and point clouds, described, asked about and drawn."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from modalink import tiny_world
from modalink.conversation import Conversation, Medium, Region, Text, Turn
from modalink.data.source import Numbered, SourceConfig
from modalink.tiny_world.making import sample_making
from modalink.tiny_world.media import medium, user_turn

Task = Literal["caption", "vqa", "draw", "make", "talk", "locate", "region", "words"]
Modality = Literal["image", "video", "audio", "points"]
Subject = Literal["image", "video", "audio", "points", "across"]

_Name = TypeVar("_Name", bound=str)
_KINDS = {
    "caption": ("caption",),
    "vqa": ("questions",),
    "words": ("questions",),
    "draw": ("drawing",),
    "make": ("making",),
    "talk": ("small talk", "decline"),
    **{kind: (kind,) for kind in tiny_world.PLACE_KINDS},
}
_OF_PICTURES = ("draw", "words", *tiny_world.PLACE_KINDS)
"""Tasks that there are of pictures alone."""


class TinyWorldConfig(SourceConfig):
    """Settings of tiny-world data."""

    kind: Literal["tiny_world"] = "tiny_world"
    split: Literal["train", "validation", "test"] = "train"
    """Split of compositions; what is held out is in neither text nor picture of training."""
    count: int = Field(default=10_000, ge=1)
    """How many conversations."""
    seed: int = Field(default=0, ge=0)
    """With the split fixes every word and pixel."""
    tasks: dict[Task, float] = Field(default={"caption": 1.0, "vqa": 1.0, "draw": 1.0}, min_length=1)
    """Shares of describing, answering questions, drawing, and talk beside the media; of being asked to `make` other
    things than pictures; of telling an object's box
    (`locate`) and what a box holds (`region`), which the recipe's coordinate codec writes; of questions about a
    picture that is described in `words` instead of shown. A list means equal shares. Of what is not a picture there
    are neither drawings nor boxes, nor questions in words alone."""
    together: int = Field(default=1, ge=1, le=16)
    """How many such dialogues, each about a thing of its own, stand one behind the other in a conversation: media
    between texts, as in interleaved documents."""
    shows: dict[Subject, float] = Field(default={"image": 1.0}, min_length=1)
    """Shares of what the conversations are about; a list means equal shares. `across` asks about things of several of
    the modalities together, such as whether a sound fits a video."""
    modalities: list[Modality] = Field(default=["image", "video", "audio", "points"], min_length=2)
    """Of what modalities `across` may show things."""
    questions: list[str] | None = Field(default=None, min_length=1)
    """Kinds of the questions of `vqa` and `words`, one question a conversation, for example `[count, comparison]`; by
    default all kinds, and several questions a conversation."""
    objects: list[Literal[1, 2, 3]] = Field(default=[1, 2, 3], min_length=1)
    """How many objects the pictures of conversations about images may have."""
    replies: bool = True
    """Whether the last reply stands there. Without it conversations are prompts alone: its words are the fact `answer`,
    and what it makes is told as the fact `captions`."""
    described: bool = False
    """Whether records tell what the things that are shown look or sound like, as the fact `captions`: reward models are
    shown it, and rewards compare with it."""

    @field_validator("tasks", mode="before", json_schema_input_type=dict[Task, float] | list[Task])
    @classmethod
    def _equal_tasks(cls, value: Any) -> Any:
        return _equal_shares(value)

    @field_validator("shows", mode="before", json_schema_input_type=dict[Subject, float] | list[Subject])
    @classmethod
    def _equal_subjects(cls, value: Any) -> Any:
        return _equal_shares(value)

    @field_validator("tasks", "shows")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if min(value.values()) <= 0:
            raise ValueError(f"found the shares {value}, needed shares above 0; leave out what shall not be")
        return value

    @model_validator(mode="after")
    def _each_subject_has_a_task(self) -> "TinyWorldConfig":
        if lacking := [subject for subject in self.shows if not _possible(self, subject)]:
            found = ", ".join(self.tasks)
            raise ValueError(
                f"found the tasks {found} of which none is about {lacking[0]}; "
                "add vqa to tasks, or leave it out of shows" + ("" if lacking[0] != "across" else _ACROSS_NEEDS)
            )
        return self

    @model_validator(mode="after")
    def _each_subject_has_a_question(self) -> "TinyWorldConfig":
        chosen = self.questions or []
        for subject in self.shows if chosen else ():
            known = tiny_world.WORLDS[subject].kinds if subject in tiny_world.WORLDS else ()
            if not {*known} & {*chosen}:
                needed = (
                    f"one at least of {', '.join(known)}" if known else "no `questions`: they are of one thing alone"
                )
                raise ValueError(f"found the questions {', '.join(chosen)}, for {subject} needed {needed}")
        return self

    @property
    def name(self) -> str:
        """Kind and split."""
        return f"{self.kind} {self.split}"

    def open(self) -> "TinyWorld":
        """The conversations."""
        return TinyWorld(self)


def _equal_shares(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if odd := [name for name in value if not isinstance(name, str)]:
        raise ValueError(f"found {odd[0]!r:.80} in the list, needed names")
    return dict.fromkeys(value, 1.0)


_ACROSS_NEEDS = "; across needs two modalities at least that questions weigh together"


def _kinds_across(config: TinyWorldConfig) -> list[str]:
    return tiny_world.kinds_across(frozenset(config.modalities))


def _possible(config: TinyWorldConfig, subject: str) -> dict[str, float]:
    """The tasks that there are of a subject, with their shares."""
    if subject == "across":
        return {"vqa": 1.0} if "vqa" in config.tasks and _kinds_across(config) else {}
    others = ("make",) if subject == "image" else _OF_PICTURES
    return {task: share for task, share in config.tasks.items() if task not in others}


class TinyWorld(Numbered):
    """Conversations about things of the tiny world, each a function of split, seed and number."""

    def __init__(self, config: TinyWorldConfig) -> None:
        self._config = config
        self._tasks: dict[str, dict[str, float]] = {subject: _possible(config, subject) for subject in config.shows}
        self._across = _kinds_across(config)

    def __len__(self) -> int:
        return self._config.count

    def sample(self, index: int) -> Conversation:
        """The conversation of a number."""
        split, seed = self._config.split, self._config.seed
        rng = np.random.default_rng([tiny_world.SPLITS.index(split), seed, index])
        shows = self._config.shows
        turns: list[Turn] = []
        boxes: list[Region] = []
        captions: list[str] = []
        for _ in range(self._config.together):
            subject = _drawn(rng, shows) if len(shows) > 1 else next(iter(shows))
            dialogue, in_words = self._dialogue(split, rng, subject)
            turns += _turns(dialogue, in_words=in_words)
            boxes += [Region((box,)) for box in dialogue.boxes]
            captions += [thing.description for thing in dialogue.shown]
        facts = {"captions": captions} if self._config.described and captions else {}
        conversation = Conversation(tuple(turns), f"tiny_world/{split}/{seed}/{index}", facts)
        conversation = conversation.filled(boxes) if boxes else conversation
        return conversation if self._config.replies else _prompt_of(conversation)

    def _dialogue(self, split: str, rng: np.random.Generator, subject: str) -> tuple[tiny_world.Dialogue, bool]:
        """A dialogue, and whether what it is about is described instead of shown."""
        if subject == "across":
            return tiny_world.sample_across(split, rng, self._across), False
        task = _drawn(rng, self._tasks[subject])
        kinds = _KINDS[task]
        # Small talk is about nothing that is shown: it comes beside pictures alone.
        kind = kinds[rng.integers(len(kinds))] if subject == "image" else kinds[-1]
        chosen = self._config.questions if kind == "questions" else None
        dialogue = _sampled(split, rng, kind, subject, chosen)
        while dialogue.scene is not None and len(dialogue.scene.objects) not in self._config.objects:
            dialogue = _sampled(split, rng, kind, subject, chosen)
        return dialogue, task == "words"


def _sampled(
    split: str, rng: np.random.Generator, kind: str, subject: str, chosen: list[str] | None
) -> tiny_world.Dialogue:
    if chosen is not None:
        return tiny_world.sample_question(split, rng, subject, chosen)
    if kind in tiny_world.PLACE_KINDS:
        return tiny_world.sample_place(split, rng, kind)
    if kind == "making":
        return sample_making(split, rng, subject)
    return tiny_world.sample_dialogue(split, rng, kind, subject)


def _drawn(rng: np.random.Generator, shares: Mapping[_Name, float]) -> _Name:
    """One of some names, as often as its share says."""
    weights = np.array(list(shares.values()))
    return list(shares)[rng.choice(len(shares), p=weights / weights.sum())]


def _prompt_of(conversation: Conversation) -> Conversation:
    """A conversation without its last reply, which is told as facts."""
    *asked, reply = conversation.turns
    made = [piece.caption for piece in reply.content if isinstance(piece, Medium) and piece.caption]
    facts = {**conversation.facts, "answer": reply.text.strip(), **({"captions": made} if made else {})}
    return replace(conversation, turns=tuple(asked), facts=facts)


def _turns(dialogue: tiny_world.Dialogue, *, in_words: bool = False) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for number, (question, answer) in enumerate(dialogue.turns):
        shown = dialogue.shown if number == 0 else ()
        described = "".join(f"{thing.description}\n" for thing in shown) if in_words else ""
        turns.append(user_turn(() if in_words else shown, f"{described}{question}"))
        made = dialogue.made if dialogue.drawn is None else tiny_world.Shown.of("image", dialogue.drawn)
        turns.append(Turn("assistant", (Text(answer), *(() if made is None else (medium(made),)))))
    return tuple(turns)
