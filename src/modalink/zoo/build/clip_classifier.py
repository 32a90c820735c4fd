"""Trains the classifier of clips on clean and softened clips of the training split."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from modalink.modalities.video import Clip
from modalink.tiny_world.clips.actors import ACTIONS, PLACES, WHENS, Actor, sample_clip
from modalink.tiny_world.clips.animation import FPS, FRAMES, animate
from modalink.tiny_world.scenes import COLOURS, SHAPES, SIZES
from modalink.zoo import classifiers
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.targets import NOT_ASKED, attribute_loss
from modalink.zoo.clip_classifier import ACTS, LOOKS, ClipClassifier, ClipClassifierNet, at

SCHEDULE = Schedule(steps=2500, lr=3e-3, batch=32, evaluate_every=500)
_CLIPS = 5_000
_LOOKED_AT = 4
"""Frames that a step looks at for looks."""
_NOISE = 6.0


@dataclass(frozen=True)
class Pool:
    """Frames of clips, and the classes [clip, place, attribute] of looks and acts at each place."""

    frames: UInt8[np.ndarray, "n f h w 3"]
    looks: Tensor
    acts: Tensor

    @classmethod
    def draw(cls, count: int) -> "Pool":
        """The first clips of the training split."""
        clips = [sample_clip(number, "train") for number in range(count)]
        rows = [_classes({actor.place: actor for actor in clip.actors}) for clip in clips]
        looks, acts = (torch.tensor(part) for part in zip(*rows, strict=True))
        return cls(np.stack([animate(clip) for clip in clips]), looks, acts)


def _classes(actors: dict[str, Actor]) -> tuple[list[list[int]], list[list[int]]]:
    looks, acts = [], []
    for actor in map(actors.get, PLACES):
        if actor is None:
            looks.append([NOT_ASKED] * len(LOOKS))
            acts.append([0, NOT_ASKED, NOT_ASKED])
        else:
            looks.append([SHAPES.index(actor.shape), COLOURS.index(actor.colour), SIZES.index(actor.size)])
            # When it rests cannot be seen of an actor alone.
            when = NOT_ASKED if actor.action == "rests" else WHENS.index(actor.when)
            acts.append([1, ACTIONS.index(actor.action), when])
    return looks, acts


def measure(net: ClipClassifierNet, split: str, count: int) -> Metrics:
    """Share of actors and of whole clips that are read rightly."""
    clips = [sample_clip(number, split) for number in range(count)]
    read = ClipClassifier(net)([Clip.of(animate(clip), FPS) for clip in clips])
    return classifiers.shares("video", clips, read)


def build(options: Options) -> Metrics:
    """Train the classifier and write it."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    net = ClipClassifierNet()
    trainer = Trainer(net, schedule, options.work / "clip_classifier")
    pool = Pool.draw(options.count(_CLIPS))

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([9800 + schedule.seed, step])
        rows, places = rng.integers(len(pool.frames), size=schedule.batch), rng.integers(3, size=schedule.batch)
        frames = _disturbed(torch.stack([at(pool.frames[r], PLACES[p]) for r, p in zip(rows, places, strict=True)]))
        looks, acts = pool.looks[rows, places], pool.acts[rows, places]
        here = looks[:, 0] != NOT_ASKED
        chosen = torch.from_numpy(rng.permutation(FRAMES)[:_LOOKED_AT])
        with autocast():
            seen, moved = net.look(frames[here][:, chosen]), net.act(frames)
        return attribute_loss(seen, looks[here], LOOKS) + attribute_loss(moved, acts, ACTS), {}

    validation = trainer.run(
        step_loss,
        lambda: measure(net, "validation", options.count(200)),
        lambda: ClipClassifier(net).save(options.out / "clip_classifier"),
    )
    test = measure(net.eval(), "test", options.count(1000))
    cards.write(options, "clip_classifier", "clip_classifier", schedule, net, validation, test)
    return validation


def _disturbed(frames: Tensor) -> Tensor:
    """Blur a third of the clips a little, as an autoencoder does, and add noise to two thirds."""
    third = len(frames) // 3
    soft = functional.avg_pool2d(frames[:third].flatten(0, 1), 3, stride=1, padding=1, count_include_pad=False)
    mixed = torch.cat([0.5 * frames[:third] + 0.5 * soft.view_as(frames[:third]), frames[third:]])
    mixed[: 2 * third] += _NOISE * torch.randn_like(mixed[: 2 * third])
    return mixed
