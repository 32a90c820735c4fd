"""Trains the classifier of sounds: it names the note at each moment of clean and disturbed sounds.

Half of what it hears lies between the pitches, so that it hears timbre and motion of a note whatever its pitch is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from modalink.modalities.audio import Sound as Samples
from modalink.tiny_world.sounds.notes import MOTIONS, PITCHES, TIMBRES, Note, Sound, sample_sound
from modalink.tiny_world.sounds.synthesis import RATE_HZ, play, spans_s
from modalink.zoo.build import between, cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.targets import NOT_ASKED, attribute_loss
from modalink.zoo.sound_classifier import HOP, OUTPUTS, SoundClassifier, SoundClassifierNet, listen

SCHEDULE = Schedule(steps=2000, lr=3e-3, batch=48, evaluate_every=500)
_SOUNDS = 4_000
_SAMPLES = 34_000
_NOISE = 0.1
_PITCH = 2
"""Which of the outputs is the pitch."""


@dataclass(frozen=True)
class Pool:
    """What is heard of sounds, and the right classes at each moment [b, moment, output]."""

    bands: Float[Tensor, "b m t"]
    targets: Tensor

    @classmethod
    def play(cls, count: int) -> "Pool":
        """The first sounds of the training split, and as many between the pitches, whose pitch is not asked."""
        own = [sample_sound(number, "train") for number in range(count)]
        others, semitones = between.sample(np.random.default_rng(9), count)
        played = [*map(play, own), *(play(*pair) for pair in zip(others, semitones, strict=True))]
        targets = torch.stack([moment_targets(sound) for sound in (*own, *others)])
        targets[count:, :, _PITCH] = NOT_ASKED
        waves = np.stack([np.pad(wave[:_SAMPLES], (0, max(0, _SAMPLES - len(wave)))) for wave in played])
        return cls(torch.cat([listen(part) for part in np.array_split(waves, max(1, count // 100))]), targets)


def moment_targets(sound: Sound) -> Tensor:
    """Class numbers int64 [moment, output] of the note that sounds at each moment."""
    moments = np.arange(_SAMPLES // HOP + 1) * (HOP / RATE_HZ)
    targets = torch.tensor([[0, *[NOT_ASKED] * (len(OUTPUTS) - 1)]]).repeat(len(moments), 1)
    for note, (start, end) in zip(sound.notes, spans_s(sound), strict=True):
        classes = [1, TIMBRES.index(note.timbre), PITCHES.index(note.pitch), MOTIONS.index(note.motion)]
        targets[torch.from_numpy((moments >= start) & (moments < end))] = torch.tensor(classes)
    return targets


def measure(net: SoundClassifierNet, split: str, count: int) -> Metrics:
    """Share of notes and of whole sounds that are read rightly."""
    sounds = [sample_sound(number, split) for number in range(count)]
    read = SoundClassifier(net)([Samples(play(sound), RATE_HZ) for sound in sounds])
    return note_hits(sounds, read) | {
        "whole_sound": float(np.mean([tuple(seen) == sound.notes for seen, sound in zip(read, sounds, strict=True)]))
    }


def note_hits(sounds: Sequence[Sound], read: Sequence[Sequence[Note]]) -> Metrics:
    """Share of the notes of sounds that are read rightly, by attribute and in all of them."""
    names = ("timbre", "pitch", "motion", "length")
    pairs = [
        (note, notes[i] if i < len(notes) else None)
        for sound, notes in zip(sounds, read, strict=True)
        for i, note in enumerate(sound.notes)
    ]
    hits = {name: [getattr(seen, name, None) == getattr(note, name) for note, seen in pairs] for name in names}
    whole = np.all(list(hits.values()), axis=0)
    return {name: float(np.mean(hit)) for name, hit in hits.items()} | {"whole": float(whole.mean())}


def build(options: Options) -> Metrics:
    """Train the classifier and write it."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    net = SoundClassifierNet()
    trainer = Trainer(net, schedule, options.work / "sound_classifier")
    pool = Pool.play(options.count(_SOUNDS))

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([9300 + schedule.seed, step]).integers(len(pool.targets), size=schedule.batch)
        with autocast():
            logits = net(_disturbed(pool.bands[rows]))
        return attribute_loss(logits, pool.targets[rows], OUTPUTS), {}

    validation = trainer.run(
        step_loss,
        lambda: measure(net, "validation", options.count(300)),
        lambda: SoundClassifier(net).save(options.out / "sound_classifier"),
    )
    test = measure(net.eval(), "test", options.count(1000))
    cards.write(options, "sound_classifier", "sound_classifier", schedule, net, validation, test)
    return validation


def _disturbed(bands: Float[Tensor, "b m t"]) -> Float[Tensor, "b m t"]:
    """Blur the bands of a third of the sounds a little, as an autoencoder does, and add noise to two thirds.

    In time they stay sharp: a pulse is short.
    """
    third = len(bands) // 3
    soft = functional.avg_pool2d(bands[:third, None], (3, 1), stride=1, padding=(1, 0), count_include_pad=False)[:, 0]
    mixed = torch.cat([0.5 * bands[:third] + 0.5 * soft, bands[third:]])
    mixed[: 2 * third] += _NOISE * torch.randn_like(mixed[: 2 * third])
    return mixed
