"""Trains the classifier of solids on clouds of the world and on meshes, whose points lie on the outside alone."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from modalink.modalities.points import Cloud
from modalink.tiny_world.scenes import COLOURS, SIZES
from modalink.tiny_world.solids.bodies import POSES, SOLIDS, Bodies, sample_bodies
from modalink.tiny_world.solids.sculpting import sculpt
from modalink.zoo import classifiers
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer
from modalink.zoo.build.options import Options
from modalink.zoo.build.solid_fields import Placed, field
from modalink.zoo.build.targets import attribute_loss
from modalink.zoo.solid_classifier import FORMS, SLOT_POINTS, SolidClassifier, SolidClassifierNet, around

SCHEDULE = Schedule(steps=1500, lr=3e-3, batch=64, evaluate_every=500)
_CLOUDS = 6_000
_JITTER = 0.012
_OUTSIDE = 0.04
"""How deep inside a solid a point of its outside lies at most."""


def pool(split: str, count: int) -> tuple[list[Bodies], Tensor, Tensor, Tensor]:
    """Clouds of a split, with the points [n, point, 6] of each solid and its classes [n, 4]."""
    bodies = [sample_bodies(number, split) for number in range(count)]
    clouds = torch.from_numpy(np.stack([sculpt(one) for one in bodies]))
    slots, classes = [], []
    for i, (one, cloud) in enumerate(zip(bodies, clouds, strict=True)):
        seen = cloud if i % 2 else _outside(one, cloud)
        for solid in one.solids:
            points = around(seen, solid.place)
            slots.append(points[torch.arange(SLOT_POINTS) % len(points)])
            classes.append(
                [
                    SOLIDS.index(solid.solid),
                    SIZES.index(solid.size),
                    POSES.index(solid.pose),
                    COLOURS.index(solid.colour),
                ]
            )
    return bodies, clouds, torch.stack(slots), torch.tensor(classes)


def _outside(bodies: Bodies, cloud: Tensor) -> Tensor:
    """The points that do not lie inside the solids, as in a mesh."""
    depths, _ = field([Placed.exact(solid) for solid in bodies.solids], cloud[:, :3].double().numpy())
    kept = cloud[torch.from_numpy(depths < _OUTSIDE)]
    return kept if len(kept) > len(cloud) // 4 else cloud


def measure(net: SolidClassifierNet, split: str, count: int) -> Metrics:
    """Share of solids and of whole clouds that are read rightly."""
    bodies = [sample_bodies(number, split) for number in range(count)]
    clouds = [sculpt(one) for one in bodies]
    read = SolidClassifier(net)([Cloud(cloud[:, :3], cloud[:, 3:]) for cloud in clouds])
    return classifiers.shares("points", bodies, read)


def build(options: Options) -> Metrics:
    """Train the classifier and write it."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    net = SolidClassifierNet()
    trainer = Trainer(net, schedule, options.work / "solid_classifier")
    bodies, clouds, slots, classes = pool("train", options.count(_CLOUDS))
    beside = torch.tensor([len(one.solids) - 1 for one in bodies])

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([9700 + schedule.seed, step])
        rows = rng.integers(len(slots), size=schedule.batch)
        points = slots[rows] + _JITTER * torch.randn(len(rows), SLOT_POINTS, 6) * torch.rand(len(rows), 1, 1)
        named = attribute_loss(net(points), classes[rows], (*FORMS, len(COLOURS)))
        whole = rng.integers(len(bodies), size=schedule.batch)
        across = clouds[whole, :, 0] * torch.empty(len(whole), 1).uniform_(0.9, 1.1)
        return named + functional.cross_entropy(net.layout(across), beside[whole]), {}

    validation = trainer.run(
        step_loss,
        lambda: measure(net, "validation", options.count(300)),
        lambda: SolidClassifier(net).save(options.out / "solid_classifier"),
    )
    test = measure(net.eval(), "test", options.count(1000))
    cards.write(options, "solid_classifier", "solid_classifier", schedule, net, validation, test)
    return validation
