"""Trains the audio encoder: a head asks every token, a fiftieth of a second, for the note that sounds there.

Half of what it hears lies between the pitches, so that it finds timbre and motion of a note whatever its pitch is:
from the world's sounds alone it learned which of them come together in training.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from modalink.tiny_world.sounds.notes import Sound, sample_sound
from modalink.tiny_world.sounds.synthesis import MAX_SECONDS, RATE_HZ, play, spans_s
from modalink.zoo.build import between, cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.targets import NOT_ASKED, ROSTERS, attribute_hits, attribute_loss

SCHEDULE = Schedule(steps=1200, lr=2e-3, batch=64, evaluate_every=400)
_SOUNDS = 16_000
_MELS = 40
_TOKENS = 100
_ROSTER = ROSTERS["audio"]


def config() -> WhisperConfig:
    """Shape of the tiny audio encoder: Whisper's, for windows of two seconds."""
    return WhisperConfig(
        d_model=128,
        encoder_layers=3,
        encoder_attention_heads=4,
        encoder_ffn_dim=384,
        num_mel_bins=_MELS,
        max_source_positions=_TOKENS,
        architectures=["WhisperEncoder"],
    )


def extractor() -> WhisperFeatureExtractor:
    """Preprocessing that belongs to the encoder."""
    return WhisperFeatureExtractor(feature_size=_MELS, sampling_rate=RATE_HZ, chunk_length=int(MAX_SECONDS))


class Student(nn.Module):
    """The audio encoder with the head that is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = WhisperEncoder(config())
        self.tower.set_attn_implementation("eager")
        self.head = nn.Linear(self.tower.config.d_model, _ROSTER.width)

    def forward(self, spectrograms: Float[Tensor, "b mel frame"]) -> Tensor:
        """Name the note at each token, logits [b, token, width]."""
        logits: Tensor = self.head(self.tower(spectrograms).last_hidden_state)
        return logits


@dataclass(frozen=True)
class Pool:
    """Spectrograms of sounds of a split, and the right classes at each of their tokens [b, token, attribute]."""

    spectrograms: Float[Tensor, "b mel frame"]
    targets: Tensor

    @classmethod
    def play(cls, split: str, count: int) -> "Pool":
        """Play the first sounds of a split."""
        sounds = [sample_sound(number, split) for number in range(count)]
        targets = torch.stack([token_targets(sound) for sound in sounds])
        return cls(_spectrograms([play(sound) for sound in sounds]), targets)

    @classmethod
    def between(cls, count: int) -> "Pool":
        """Play sounds whose notes have none of the world's pitches, which is not asked then."""
        sounds, semitones = between.sample(np.random.default_rng(6), count)
        played = [play(*pair) for pair in zip(sounds, semitones, strict=True)]
        targets = torch.stack([token_targets(sound) for sound in sounds])
        targets[..., _ROSTER.names.index("pitch")] = NOT_ASKED
        return cls(_spectrograms(played), targets)

    def __add__(self, other: "Pool") -> "Pool":
        return Pool(torch.cat([self.spectrograms, other.spectrograms]), torch.cat([self.targets, other.targets]))


def _spectrograms(sounds: list[Float32[np.ndarray, "_"]]) -> Float[Tensor, "b mel frame"]:
    read = extractor()
    parts = [read(sounds[i : i + 200], sampling_rate=RATE_HZ, return_tensors="pt") for i in range(0, len(sounds), 200)]
    return torch.cat([part["input_features"] for part in parts])


def token_targets(sound: Sound) -> Tensor:
    """Class numbers int64 [token, attribute] of the note at the middle of each token."""
    middles = (np.arange(_TOKENS) + 0.5) * (MAX_SECONDS / _TOKENS)
    rows = [_ROSTER.classes(None)] * _TOKENS
    for note, (start, end) in zip(sound.notes, spans_s(sound), strict=True):
        for place in np.flatnonzero((middles >= start) & (middles < end)):
            rows[place] = _ROSTER.classes(note)
    return torch.tensor(rows)


def measure(student: Student, pool: Pool) -> Metrics:
    """Share of the attributes of notes that tokens name rightly."""
    logits = torch.cat([student(part) for part in pool.spectrograms.split(100)])
    return attribute_hits(logits, pool.targets, dict(zip(_ROSTER.names, _ROSTER.sizes, strict=True)))


def build(options: Options) -> Metrics:
    """Train the audio encoder and write it with its preprocessing."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    student = Student()
    trainer = Trainer(student, schedule, options.work / "audio")
    pool = Pool.play("train", options.count(_SOUNDS)) + Pool.between(options.count(_SOUNDS))

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([6000 + schedule.seed, step]).integers(len(pool.targets), size=schedule.batch)
        with autocast():
            logits = student(pool.spectrograms[rows])
        return attribute_loss(logits, pool.targets[rows], _ROSTER.sizes), {}

    def publish() -> None:
        extractor().save_pretrained(options.out / "audio")
        cards.save_bf16(student.tower, options.out / "audio")

    validation_pool = Pool.play("validation", options.count(500))
    validation = trainer.run(step_loss, lambda: measure(student, validation_pool), publish)
    test = measure(student.eval(), Pool.play("test", options.count(1000)))
    cards.write(options, "audio", "audio", schedule, student.tower, validation, test)
    return validation
