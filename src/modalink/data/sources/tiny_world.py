"""The zoo's tiny world as data: pictures of scenes, described, asked about and drawn; rendered as they are read."""

from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from modalink import tiny_world
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.source import SourceConfig

Task = Literal["caption", "vqa", "draw", "talk"]

_KINDS = {"caption": ("caption",), "vqa": ("questions",), "draw": ("drawing",), "talk": ("small talk", "decline")}


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
    """Shares of describing, answering questions, drawing, and talk beside the pictures; a list means equal shares."""

    objects: list[Literal[1, 2, 3]] = Field(default=[1, 2, 3], min_length=1)
    """How many objects scenes may have."""

    @field_validator("tasks", mode="before", json_schema_input_type=dict[Task, float] | list[Task])
    @classmethod
    def _equal_shares(cls, value: Any) -> Any:
        return dict.fromkeys(value, 1.0) if isinstance(value, list) else value

    @field_validator("tasks")
    @classmethod
    def _positive(cls, value: dict[Task, float]) -> dict[Task, float]:
        if min(value.values()) <= 0:
            raise ValueError(f"found the shares {value}, needed shares above 0; leave out what shall not be")
        return value

    @property
    def name(self) -> str:
        """Kind and split."""
        return f"{self.kind} {self.split}"

    def open(self) -> "TinyWorld":
        """The conversations."""
        return TinyWorld(self)


class TinyWorld:
    """Conversations about scenes, each a function of split, seed and number."""

    def __init__(self, config: TinyWorldConfig) -> None:
        self._config = config
        self._tasks = list(config.tasks)
        shares = np.array(list(config.tasks.values()))
        self._shares = shares / shares.sum()

    def __len__(self) -> int:
        return self._config.count

    def __getitem__(self, index: int) -> Conversation:
        split, seed = self._config.split, self._config.seed
        rng = np.random.default_rng([tiny_world.SPLITS.index(split), seed, index])
        kinds = _KINDS[self._tasks[rng.choice(len(self._tasks), p=self._shares)]]
        kind = kinds[rng.integers(len(kinds))]
        dialogue = tiny_world.sample_dialogue(split, rng, kind)
        while dialogue.scene is not None and len(dialogue.scene.objects) not in self._config.objects:
            dialogue = tiny_world.sample_dialogue(split, rng, kind)
        return Conversation(_turns(dialogue), f"tiny_world/{split}/{seed}/{index}")


def _turns(dialogue: tiny_world.Dialogue) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    picture = None
    if dialogue.scene is not None:
        picture = Medium("image", tiny_world.render(dialogue.scene), tiny_world.describe(dialogue.scene))
    for number, (question, answer) in enumerate(dialogue.turns):
        # The picture stands where the text-only dialogues of the LLM's training have a description of it.
        seen = picture if number == 0 and dialogue.description is not None else None
        drawn = picture if dialogue.kind == "drawing" else None
        turns.append(Turn("user", (Text(question),) if seen is None else (seen, Text(f"\n{question}"))))
        turns.append(Turn("assistant", (Text(answer),) if drawn is None else (Text(answer), drawn)))
    return tuple(turns)
