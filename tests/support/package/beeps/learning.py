"""What teaches a system about beeps, and what examines it."""

import json
from typing import ClassVar, Literal

import torch

from beeps.modality import beep
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.source import SourceConfig
from modalink.scoring.benchmark import BenchmarkOptions, Grade, Question, QuestionBenchmark, Setup, mean_summary
from modalink.training.objectives import ItemObjectiveConfig, conditions_of

NAMES = ("low", "top")


class BeepsConfig(SourceConfig):
    """Beeps that are named, and beeps that are asked for."""

    kind: Literal["beeps"] = "beeps"
    count: int = 40

    def tiny(self):
        return self.at_most(count=24)

    def open(self):
        return Beeps(self.count)


class Beeps:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        high, made = index % 2, index // 2 % 2
        sound = beep(1 + 3 * high)
        if made:
            turns = (Turn("user", (Text(f"{NAMES[high]}!"),)), Turn("assistant", (Medium("beep", sound),)))
        else:
            turns = (Turn("user", (Medium("beep", sound), Text("?"))), Turn("assistant", (Text(NAMES[high]),)))
        return Conversation(turns, f"beeps/{index}")


class SoundConfig(ItemObjectiveConfig):
    """Mean squared difference between the wave that the generator would play and the one that it should."""

    kind: Literal["sound"] = "sound"
    needs: ClassVar = frozenset({"conditions"})

    def count(self, batch):
        return sum(len(targets.learned) for targets in self.targets(batch).values())

    def sum(self, output, batch, generators, rngs):
        sums = []
        for modality, targets in self.targets(batch).items():
            if chosen := targets.learned:
                played = generators[modality].generator.play(conditions_of(output, batch, modality).take(chosen))
                wanted = targets.media.values.to(played)[chosen]
                sums.append((played - wanted).square().mean(1).sum())
        return torch.stack(sums).sum()


def _questions(path, options):
    for row in json.loads(path.read_text()):
        yield Question(row["file"], row["name"], "?", row["file"])


BENCHMARK = QuestionBenchmark(
    title="Beeps",
    rule="the name of the beep",
    source="beeps",
    unit="percent",
    annotations="beeps.json",
    predictions="rows {question_id, answer}",
    options=BenchmarkOptions,
    questions=_questions,
    grade=lambda question, reply, where, options: Grade(float(str(reply).strip() == question.gold), str(reply)),
    summarise=lambda items, options: mean_summary(items),
    setup=Setup(files=("beeps.json",), modality="beep", max_new_tokens=4),
)
