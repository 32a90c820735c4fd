"""Parts for beeps: an encoder, a projector each way, and a generator that is no diffusion model."""

from typing import Literal

import torch
from torch import nn

from beeps.modality import LENGTH
from modalink.ragged import Layout
from modalink.roles import (
    BlockEncoder,
    ConditionShape,
    EncoderConfig,
    Generator,
    GeneratorConfig,
    InputProjector,
    InputProjectorConfig,
    OutputProjector,
    OutputProjectorConfig,
    Preprocessor,
    check_stop,
)

SHAPES = {"loudness": ConditionShape(LENGTH // 2, tokens=2)}


class Frame(Preprocessor):
    """A beep as one unit."""

    def __call__(self, medium):
        return torch.from_numpy(medium)[None]

    def to_dict(self):
        return {"length": LENGTH}


class Bare:
    """A part that has no weights to load, and is tiny as it is."""

    def checkpoints(self):
        return ()

    def tiny(self):
        return self

    def preprocessor(self):
        return Frame()


class EarConfig(Bare, EncoderConfig):
    kind: Literal["ear"] = "ear"
    checkpoint: str = "none"

    def reads(self):
        return frozenset({"beep"})

    def build(self, *, weights=True):
        return Ear()


class Ear(BlockEncoder):
    """How much of each frequency a beep holds: one token."""

    dim, unit_shape, tokens_per_block = LENGTH // 2 + 1, (LENGTH,), 1

    def encode(self, units):
        return torch.fft.rfft(units.float(), norm="ortho").abs()[:, None]


class AverageConfig(InputProjectorConfig):
    kind: Literal["average"] = "average"

    def tiny(self):
        return self

    def layout(self, item):
        return Layout(1, (1,))

    def build(self, *, dim_in, dim_out, example):
        return Average(dim_in, dim_out)


class Average(InputProjector):
    """The mean token of a beep, through one linear map."""

    def __init__(self, dim_in, dim_out):
        super().__init__()
        self.linear = nn.Linear(dim_in, dim_out)

    def forward(self, features, texts=None):
        means = torch.stack([item.mean(0) for item in features])
        return features.with_values(self.linear(means), [Layout(1, (1,))] * len(features))


class ScoreConfig(OutputProjectorConfig):
    kind: Literal["score"] = "score"

    def tiny(self):
        return self

    def build(self, *, dim_in, dim_out, tokens_in, tokens_out):
        return Score(dim_in * tokens_in, tokens_out, dim_out)


class Score(OutputProjector):
    """One linear map of all signal states."""

    def __init__(self, dim_in, tokens_out, dim_out):
        super().__init__()
        self.shape = (tokens_out, dim_out)
        self.linear = nn.Linear(dim_in, tokens_out * dim_out)

    def forward(self, states):
        return self.linear(states.flatten(1)).unflatten(1, self.shape)


class SynthConfig(Bare, GeneratorConfig):
    kind: Literal["synth"] = "synth"
    checkpoint: str = "none"
    hiss: float = 0.01
    """Loudness of the noise."""

    def makes(self):
        return frozenset({"beep"})

    def condition_shapes(self):
        return SHAPES

    def build(self, *, weights=True):
        return Synth(self.hiss)


class Synth(Generator):
    """A sum of waves, as loud as the conditions say: sines and cosines."""

    condition_shapes = SHAPES

    def __init__(self, hiss):
        super().__init__()
        self.hiss = hiss
        angles = torch.outer(torch.arange(LENGTH // 2), torch.arange(LENGTH)) * 2 * torch.pi / LENGTH
        self.register_buffer("waves", torch.cat([angles.sin(), angles.cos()]), persistent=False)
        self.eval()

    def play(self, conditions):
        """The waves [i, length] of conditions, without noise."""
        loudness = conditions["loudness"].flatten(1)
        return loudness @ self.waves.to(loudness)

    @torch.no_grad()
    def sample(self, conditions, *, rng, negative=None, should_stop=None):
        self.checked(conditions, rng=rng, negative=negative)
        check_stop(should_stop, "before it began")
        noise = torch.stack([torch.randn(LENGTH, generator=source) for source in rng])
        return [*(self.play(conditions).float().cpu() + self.hiss * noise).numpy()]
