"""Trains the encoder of point clouds: a head asks the token of every neighbourhood for the solid that it lies on."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.encoders._point_groups import farthest
from modalink.encoders.point_bert import PointBert, PointBertConfig
from modalink.tiny_world.solids.bodies import Bodies, sample_bodies
from modalink.tiny_world.solids.sculpting import sculpt
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.targets import ROSTERS, attribute_hits, attribute_loss

SCHEDULE = Schedule(steps=1000, lr=2e-3, batch=24, evaluate_every=500)
_CLOUDS = 16_000
_ROSTER = ROSTERS["points"]


def config() -> PointBertConfig:
    """Shape of the tiny encoder of points: Point-BERT's."""
    return PointBertConfig(checkpoint="zoo:points").tiny()


class Student(nn.Module):
    """The encoder with the head that is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = PointBert(config())
        self.head = nn.Linear(config().width, _ROSTER.width)

    def forward(self, clouds: list[Float[Tensor, "n 6"]]) -> Tensor:
        """Name the solid at each neighbourhood, logits [b, group, width]."""
        logits: Tensor = self.head(self.tower(clouds)[:, 1:])
        return logits


@dataclass(frozen=True)
class Pool:
    """Point clouds of a split, and the right classes at each of their neighbourhoods [b, group, attribute]."""

    clouds: Float[Tensor, "b n 6"]
    targets: Tensor

    @classmethod
    def sculpt(cls, split: str, count: int) -> "Pool":
        """Sculpt the first clouds of a split."""
        bodies = [sample_bodies(number, split) for number in range(count)]
        clouds = torch.from_numpy(np.stack([sculpt(item) for item in bodies]))
        return cls(clouds, torch.stack([group_targets(*pair) for pair in zip(bodies, clouds, strict=True)]))


def group_targets(bodies: Bodies, cloud: Float[Tensor, "n 6"]) -> Tensor:
    """Class numbers int64 [group, attribute] of the solid that each neighbourhood of its cloud lies on."""
    right = cloud[farthest(cloud[:, :3], config().groups), 0] > 0
    classes = torch.tensor([_ROSTER.classes(body) for body in bodies.solids])
    return classes[right.long() if len(bodies.solids) == 2 else torch.zeros(config().groups, dtype=torch.long)]


def measure(student: Student, pool: Pool) -> Metrics:
    """Share of the attributes of solids that neighbourhoods name rightly."""
    logits = torch.cat([student(list(part)) for part in pool.clouds.split(100)])
    return attribute_hits(logits, pool.targets, dict(zip(_ROSTER.names, _ROSTER.sizes, strict=True)))


def build(options: Options) -> Metrics:
    """Train the encoder of points and write its weights; its shape stands in the recipes that use it."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    student = Student()
    trainer = Trainer(student, schedule, options.work / "points")
    pool = Pool.sculpt("train", options.count(_CLOUDS))

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([8000 + schedule.seed, step]).integers(len(pool.targets), size=schedule.batch)
        with autocast():
            logits = student(list(pool.clouds[rows]))
        return attribute_loss(logits, pool.targets[rows], _ROSTER.sizes), {}

    def publish() -> None:
        cards.save_tensors_bf16(student.tower, options.out / "points")

    validation_pool = Pool.sculpt("validation", options.count(500))
    validation = trainer.run(step_loss, lambda: measure(student, validation_pool), publish)
    test = measure(student.eval(), Pool.sculpt("test", options.count(1000)))
    cards.write(options, "points", "points", schedule, student.tower, validation, test)
    return validation
