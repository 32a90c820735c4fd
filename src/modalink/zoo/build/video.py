"""Trains the video encoder: a head asks every token, a patch of two frames, for the actor that it shows."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEImageProcessor, VideoMAEModel

from modalink.tiny_world.clips.actors import ClipScene, sample_clip
from modalink.tiny_world.clips.animation import FRAMES, animate
from modalink.tiny_world.rendering import SIDE_PX
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.superposed import PATCHES, SLICES, cover
from modalink.zoo.build.targets import ROSTERS, attribute_hits, attribute_loss

SCHEDULE = Schedule(steps=3200, lr=2e-3, batch=48, evaluate_every=800)
_CLIPS = 12_000
_MEAN, _STD = 0.5, 0.5
SEEN = 0.25
"""Share of half a patch from which on its token shall name an actor."""
_ROSTER = ROSTERS["video"]


def config() -> VideoMAEConfig:
    """Shape of the tiny video encoder: VideoMAE's."""
    return VideoMAEConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE_PX,
        patch_size=SIDE_PX // PATCHES,
        num_frames=FRAMES,
        tubelet_size=FRAMES // SLICES,
        use_mean_pooling=False,
    )


def processor() -> VideoMAEImageProcessor:
    """Preprocessing that belongs to the encoder."""
    side = {"height": SIDE_PX, "width": SIDE_PX}
    return VideoMAEImageProcessor(
        size={"shortest_edge": SIDE_PX}, crop_size=side, image_mean=[_MEAN] * 3, image_std=[_STD] * 3
    )


class Student(nn.Module):
    """The video encoder with the head that is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = VideoMAEModel(config())
        self.tower.set_attn_implementation("eager")
        self.head = nn.Linear(self.tower.config.hidden_size, _ROSTER.width)

    def forward(self, clips: Float[Tensor, "b f c h w"]) -> Tensor:
        """Name the actor at each token, logits [b, token, width]."""
        logits: Tensor = self.head(self.tower(clips).last_hidden_state)
        return logits


@dataclass(frozen=True)
class Pool:
    """Frames of clips of a split, and the right classes at each of their tokens [b, token, attribute]."""

    frames: UInt8[np.ndarray, "b f h w 3"]
    targets: Tensor

    @classmethod
    def draw(cls, split: str, count: int) -> "Pool":
        """Draw the first clips of a split."""
        clips = [sample_clip(number, split) for number in range(count)]
        return cls(np.stack([animate(clip) for clip in clips]), torch.stack([token_targets(clip) for clip in clips]))

    def values(self, rows: np.ndarray | slice) -> Float[Tensor, "b f 3 h w"]:
        """Clips of some rows, float32 in -1..1."""
        return torch.from_numpy(self.frames[rows]).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def token_targets(clip: ClipScene) -> Tensor:
    """Class numbers int64 [token, attribute] of the actor that fills most of each token's patch."""
    shares = np.stack([share.ravel() for share in cover(clip)])
    actors = (*clip.actors, None)
    most = np.where(shares.max(0) >= SEEN, shares.argmax(0), len(clip.actors))
    return torch.tensor([_ROSTER.classes(actors[i]) for i in most])


def measure(student: Student, pool: Pool) -> Metrics:
    """Share of the attributes of actors that tokens name rightly."""
    logits = torch.cat([student(pool.values(slice(i, i + 50))) for i in range(0, len(pool.targets), 50)])
    return attribute_hits(logits, pool.targets, dict(zip(_ROSTER.names, _ROSTER.sizes, strict=True)))


def build(options: Options) -> Metrics:
    """Train the video encoder and write it with its preprocessing."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    student = Student()
    trainer = Trainer(student, schedule, options.work / "video")
    pool = Pool.draw("train", options.count(_CLIPS))

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([7000 + schedule.seed, step]).integers(len(pool.targets), size=schedule.batch)
        with autocast():
            logits = student(pool.values(rows))
        return attribute_loss(logits, pool.targets[rows], _ROSTER.sizes), {}

    def publish() -> None:
        processor().save_pretrained(options.out / "video")
        cards.save_bf16(student.tower, options.out / "video")

    validation_pool = Pool.draw("validation", options.count(500))
    validation = trainer.run(step_loss, lambda: measure(student, validation_pool), publish)
    test = measure(student.eval(), Pool.draw("test", options.count(1000)))
    cards.write(options, "video", "video", schedule, student.tower, validation, test)
    return validation
