"""Trains the unified encoder: ImageBind's towers for pictures, clips and sounds, whose embeddings lie in one space.

Every token names, by heads that are thrown away, the object, actor or note that it shows. Contrast pulls the embedding
of a clip towards that of a picture of its actors, and towards those of sounds that fit it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import BFloat16, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from modalink import files
from modalink.encoders._clips import SoundClipsPreprocessor, normalised
from modalink.encoders._imagebind import CLIP_FRAMES, MEL_BINS, MEL_FRAMES, SIDE, Architecture, towers
from modalink.modalities.audio import Sound as Samples
from modalink.tiny_world.across import FITTING
from modalink.tiny_world.clips.actors import ClipScene, sample_clip
from modalink.tiny_world.clips.animation import FRAMES, animate
from modalink.tiny_world.rendering import render
from modalink.tiny_world.scenes import Scene, WorldObject
from modalink.tiny_world.sounds.notes import Sound, sample_sound
from modalink.tiny_world.sounds.synthesis import MAX_SECONDS, RATE_HZ, play, spans_s
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.pool import Pool as Pictures
from modalink.zoo.build.superposed import PATCHES, cover
from modalink.zoo.build.targets import (
    ATTRIBUTES,
    ROSTERS,
    WIDTH,
    attribute_hits,
    attribute_loss,
    cell_targets,
)
from modalink.zoo.build.video import SEEN

SCHEDULE = Schedule(steps=2000, lr=1.5e-3, batch=32, evaluate_every=500)
_PICTURES, _CLIPS = 12_000, 8_000
_CONTRAST_WEIGHT = 0.3
_SHARPNESS = 10.0
_CHOICES = 50
_SOUND = ROSTERS["audio"]
_SEEN_VALUES = {name: values for name, values in ROSTERS["video"].values.items() if name not in ("action", "when")}
_CLIP = replace(ROSTERS["video"], values=_SEEN_VALUES)
"""What the first and the last frame of a clip tell of its actors."""


def architecture() -> Architecture:
    """Sizes of the tiny unified encoder: ImageBind's form, of a picture 4 x 4 patches, of a sound 8 x 12."""
    return Architecture(
        out_embed_dim=128,
        kernel_size=(CLIP_FRAMES, SIDE // PATCHES, SIDE // PATCHES),
        vision_embed_dim=128,
        vision_num_blocks=3,
        vision_num_heads=4,
        audio_embed_dim=128,
        audio_num_blocks=3,
        audio_num_heads=4,
        audio_kernel_size=16,
        audio_stride=16,
    )


class Student(nn.Module):
    """The towers with the heads that are thrown away."""

    def __init__(self) -> None:
        super().__init__()
        sizes = architecture()
        self.towers = towers(sizes, ("vision", "audio"))
        self.heads = nn.ModuleDict(
            {
                "image": nn.Linear(sizes.vision_embed_dim, WIDTH),
                "video": nn.Linear(sizes.vision_embed_dim, _CLIP.width),
                "audio": nn.Linear(sizes.audio_embed_dim, _SOUND.width),
            }
        )

    def forward(self, modality: str, units: Tensor) -> tuple[Float[Tensor, "b joint"], Float[Tensor, "b token width"]]:
        """The embeddings of units of a modality, of length one, and what their tokens name."""
        tower: Any = self.towers["audio" if modality == "audio" else "vision"]
        tokens = tower(units)
        named: Tensor = self.heads[modality](tokens[:, 1:])
        return functional.normalize(tower.embedded(tokens).float(), dim=-1), named


@dataclass(frozen=True)
class Pairs:
    """Clips, each with a picture of its actors and a sound that fits it.

    Args:
        pictures: Pictures of the actors.
        clips: First and last frames [n, 2, 64, 64, 3] of the clips.
        shown: The actor at each token of a clip [n, token, attribute].
        sounds: Spectrograms of the sounds.
        heard: The note at each token of a sound [n, token, attribute].
        fits: How the notes of each sound move, as a number; -1 where an actor of the clip has no fitting motion.
    """

    pictures: UInt8[np.ndarray, "n 64 64 3"]
    clips: UInt8[np.ndarray, "n 2 64 64 3"]
    shown: Tensor
    sounds: BFloat16[Tensor, "n 1 band frame"]
    heard: Tensor
    fits: Int[Tensor, " n"]

    @classmethod
    def draw(cls, split: str, count: int) -> "Pairs":
        """Draw the first clips of a split; every second one has only actors that a note can fit."""
        clips = [clip_of(number, split) for number in range(count)]
        sounds = [_sound(clip, number, split) for number, clip in enumerate(clips)]
        read = SoundClipsPreprocessor(1, MEL_BINS, MEL_FRAMES)
        spectrograms = torch.cat([read(Samples(play(sound), RATE_HZ)).to(torch.bfloat16) for sound in sounds])
        frames = np.stack([animate(clip)[[0, FRAMES - 1]] for clip in clips])
        return cls(
            np.stack([render(_scene(clip)) for clip in clips]),
            frames,
            torch.stack([_actors_of_tokens(clip) for clip in clips]),
            spectrograms,
            torch.stack([_notes_of_tokens(sound) for sound in sounds]),
            torch.tensor([_motions(clip) for clip in clips]),
        )

    def videos(self, rows: np.ndarray | slice) -> Float[Tensor, "b 3 2 side side"]:
        """Clips."""
        frames = self.clips[rows]
        return (
            _scaled(frames.reshape(-1, *frames.shape[2:]), "bilinear").unflatten(0, (-1, CLIP_FRAMES)).transpose(1, 2)
        )

    def spectrograms(self, rows: np.ndarray | slice) -> Float[Tensor, "b 1 band frame"]:
        """Sounds, float32."""
        return self.sounds[rows].float()


def still(pictures: UInt8[np.ndarray, "b 64 64 3"]) -> Float[Tensor, "b 3 2 side side"]:
    """Pictures as clips that stand still."""
    return _scaled(pictures, "bicubic")[:, :, None].expand(-1, -1, CLIP_FRAMES, -1, -1)


def _scaled(pictures: np.ndarray, mode: str) -> Float[Tensor, "b 3 side side"]:
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return normalised(functional.interpolate(pixels, size=(SIDE, SIDE), mode=mode, align_corners=False))


def clip_of(number: int, split: str) -> ClipScene:
    """The clip number `number` of a split; where the number is odd, the next one of which each actor can be fitted."""
    clip = sample_clip(number, split)
    while number % 2 and _motions(clip) < 0:
        number += 1_000_000
        clip = sample_clip(number, split)
    return clip


def _motions(clip: ClipScene) -> int:
    """The fitting motions as a number, -1 where an actor has none."""
    known = list(FITTING)
    if any(actor.action not in known for actor in clip.actors):
        return -1
    return sum((1 + known.index(actor.action)) * (1 + len(known)) ** place for place, actor in enumerate(clip.actors))


def _scene(clip: ClipScene) -> Scene:
    """A picture of the actors, on another background."""
    objects = [WorldObject(actor.shape, actor.colour, actor.size, actor.place) for actor in clip.actors]
    return Scene(tuple(sorted(objects, key=lambda item: item.column)), clip.background ^ 1)


def _sound(clip: ClipScene, number: int, split: str) -> Sound:
    """A sound that fits a clip, or any where none does."""
    if _motions(clip) < 0:
        return sample_sound(number, split)
    wanted = [FITTING[actor.action] for actor in clip.actors]
    while True:
        sound = sample_sound(number, split)
        if [note.motion for note in sound.notes] == wanted:
            return sound
        number += 1_000_000


def _actors_of_tokens(clip: ClipScene) -> Tensor:
    """Class numbers int64 [token, attribute] of the actor that fills most of each patch, first and last frames."""
    shares = np.stack([(share[0] + share[-1]).ravel() / 2 for share in cover(clip)])
    most = np.where(shares.max(0) >= SEEN, shares.argmax(0), len(clip.actors))
    actors = (*clip.actors, None)
    return torch.tensor([_CLIP.classes(actors[i]) for i in most])


def _notes_of_tokens(sound: Sound) -> Tensor:
    """Class numbers int64 [token, attribute] of the note at the middle of each token's time."""
    stem: Any = architecture().forms()["audio"].stem
    bands, moments = stem.grid
    middles = (np.arange(moments) + 0.5) * (stem.stride[1] * MAX_SECONDS / MEL_FRAMES)
    rows = [_SOUND.classes(None)] * moments
    for note, (start, end) in zip(sound.notes, spans_s(sound), strict=True):
        for place in np.flatnonzero((middles >= start) & (middles < end)):
            rows[place] = _SOUND.classes(note)
    return torch.tensor(rows).repeat(bands, 1)


_CELL_OF_TOKEN = [3 * row + column for row in (0, 1, 1, 2) for column in (0, 1, 1, 2)]
"""The cell in which the middle of each token of a picture lies."""


def _cells(pictures: Pictures) -> Tensor:
    """Class numbers int64 [picture, token, attribute] of the object at each token of a picture."""
    return cell_targets(pictures.scenes)[:, _CELL_OF_TOKEN]


def contrast(one: Float[Tensor, "b joint"], other: Float[Tensor, "b joint"], same: Tensor) -> Tensor:
    """Mean loss of finding, from each embedding, those of the other modality that belong to it.

    Args:
        one: Embeddings of one modality.
        other: Of the other one.
        same: Which belong together, bool [b, b].
    """
    logits = _SHARPNESS * one @ other.T
    losses = [
        -(functional.log_softmax(side, -1) * right).sum(-1) / right.sum(-1)
        for side, right in ((logits, same), (logits.T, same.T))
    ]
    return torch.cat(losses).mean()


def measure(student: Student, pictures: Pictures, pairs: Pairs) -> Metrics:
    """Attributes that tokens name rightly; and how often the nearest of fifty clips is one that belongs to it."""
    named = {
        "image": (lambda rows: still(pictures.pictures[rows]), _cells(pictures), ATTRIBUTES),
        "video": (pairs.videos, pairs.shown, dict(zip(_CLIP.names, _CLIP.sizes, strict=True))),
        "audio": (pairs.spectrograms, pairs.heard, dict(zip(_SOUND.names, _SOUND.sizes, strict=True))),
    }
    found: Metrics = {}
    embeddings: dict[str, Tensor] = {}
    for modality, (units, targets, sizes) in named.items():
        embeddings[modality], logits = _all_of(student, modality, units, len(targets))
        found |= {f"{modality}_{name}": hit for name, hit in attribute_hits(logits, targets, sizes).items()}
    seen, _ = _all_of(student, "image", lambda rows: still(pairs.pictures[rows]), len(pairs.pictures))
    found["image_finds_video"] = _hits(seen, embeddings["video"], torch.arange(len(seen)))
    fitting = pairs.fits >= 0
    heard, moving = (embeddings[modality][fitting] for modality in ("audio", "video"))
    return found | {"audio_finds_video": _hits(heard, moving, pairs.fits[fitting])}


def _all_of(
    student: Student, modality: str, units: Callable[[slice], Tensor], count: int
) -> tuple[Float[Tensor, "n joint"], Float[Tensor, "n token width"]]:
    parts = [student(modality, units(slice(i, i + _CHOICES))) for i in range(0, count, _CHOICES)]
    return torch.cat([embedding for embedding, _ in parts]), torch.cat([logits for _, logits in parts])


def _hits(one: Tensor, other: Tensor, belongs: Tensor) -> float:
    """How often the nearest of some of the other modality belongs to an embedding."""
    groups = zip(one.split(_CHOICES), other.split(_CHOICES), belongs.split(_CHOICES), strict=True)
    return torch.cat([b[(o @ p.T).argmax(-1)] == b for o, p, b in groups]).float().mean().item()


def build(options: Options) -> Metrics:
    """Train the towers and write them with the sizes that `kind: imagebind` reads."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    student = Student()
    trainer = Trainer(student, schedule, options.work / "unified")
    pictures, pairs = Pictures.render("train", options.count(_PICTURES)), Pairs.draw("train", options.count(_CLIPS))
    cells = _cells(pictures)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([9000 + schedule.seed, step])
        rows, others = (rng.integers(len(pool), size=schedule.batch) for pool in (pairs.shown, cells))
        with autocast():
            seen, objects = student("image", still(np.concatenate([pairs.pictures[rows], pictures.pictures[others]])))
            moving, actors = student("video", pairs.videos(rows))
            heard, notes = student("audio", pairs.spectrograms(rows))
        named = attribute_loss(objects[schedule.batch :], cells[others])
        named = named + attribute_loss(actors, pairs.shown[rows], _CLIP.sizes)
        named = named + attribute_loss(notes, pairs.heard[rows], _SOUND.sizes)
        pull = contrast(seen[: schedule.batch], moving, torch.eye(schedule.batch, dtype=torch.bool))
        fits = pairs.fits[rows]
        if (fitting := fits >= 0).any():
            same = fits[fitting][:, None] == fits[fitting]
            pull = pull + contrast(heard[fitting], moving[fitting], same)
        return named + _CONTRAST_WEIGHT * pull, {"named": named.item(), "contrast": pull.item()}

    def publish() -> None:
        folder = options.out / "unified"
        cards.save_tensors_bf16(nn.ModuleDict({"towers": student.towers}), folder)
        sizes = {"model_type": "imagebind"} | architecture().model_dump(mode="json")
        files.write(folder / "config.json", json.dumps(sizes, indent=2) + "\n")

    held_out = {
        split: (Pictures.render(split, options.count(n)), Pairs.draw(split, options.count(n)))
        for split, n in {"validation": 500, "test": 1000}.items()
    }
    validation = trainer.run(step_loss, lambda: measure(student, *held_out["validation"]), publish)
    test = measure(student.eval(), *held_out["test"])
    cards.write(options, "unified", "unified", schedule, student.towers, validation, test)
    return validation
