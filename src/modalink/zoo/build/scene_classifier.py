"""Trains the classifier: reads a picture cell by cell, on clean, shaky and softened pictures of the training split."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.pool import Pool
from modalink.zoo.build.targets import attribute_hits, attribute_loss, cell_targets
from modalink.zoo.scene_classifier import SceneClassifier, SceneClassifierNet

SCHEDULE = Schedule(steps=1200, lr=3e-3, batch=64, evaluate_every=400)
_PICTURES = 16_000


def measure(net: SceneClassifierNet, pool: Pool) -> Metrics:
    """Attributes read rightly, and objects with all four right, over a pool."""
    logits = torch.cat([net(pool.pixels(slice(i, i + 250))) for i in range(0, len(pool.scenes), 250)])
    hits = attribute_hits(logits, cell_targets(pool.scenes))
    read = SceneClassifier(net)(pool.pictures)
    same = [tuple(found) == scene.objects for found, scene in zip(read, pool.scenes, strict=True)]
    return hits | {"whole_picture": float(np.mean(same))}


def build(options: Options) -> Metrics:
    """Train the classifier and write it."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    net = SceneClassifierNet()
    trainer = Trainer(net, schedule, options.work / "scene_classifier")
    count = options.count(_PICTURES)
    halves = [Pool.render("train", count // 2, first=first, augment=bool(first)) for first in (0, count)]
    pictures = np.concatenate([half.pictures for half in halves])
    pool = Pool(halves[0].scenes + halves[1].scenes, pictures)
    targets = cell_targets(pool.scenes)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([3000 + schedule.seed, step]).integers(len(pool.scenes), size=schedule.batch)
        pixels = _soften(pool.pixels(rows))
        with autocast():
            logits = net(pixels)
        return attribute_loss(logits, targets[rows]), {}

    validation_pool = Pool.render("validation", options.count(1000))
    validation = trainer.run(
        step_loss,
        lambda: measure(net, validation_pool),
        lambda: SceneClassifier(net).save(options.out / "scene_classifier"),
    )
    test = measure(net.eval(), Pool.render("test", options.count(2000)))
    shaky = measure(net, Pool.render("test", options.count(2000), augment=True))
    test |= {"whole_shaky": shaky["whole"]}
    cards.write(options, "scene_classifier", "scene_classifier", schedule, net, validation, test)
    return validation


def _soften(pixels: Tensor) -> Tensor:
    """Blur a third of the pictures a little, as an autoencoder does."""
    third = len(pixels) // 3
    soft = functional.avg_pool2d(pixels[:third], 3, stride=1, padding=1, count_include_pad=False)
    return torch.cat([0.5 * pixels[:third] + 0.5 * soft, pixels[third:]])
