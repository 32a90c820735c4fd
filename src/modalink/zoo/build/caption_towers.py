"""Trains text towers that condition generators: CLIP's by one vector of a caption, T5's by a state for each token.

Training-only heads read from the vector, or from the sum of the states, what the caption says of each part. Half of
the captions are canonical, half are in other words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from modalink.tiny_world.scenes import SPLITS
from modalink.tiny_world.worlds import WORLDS
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.targets import ROSTERS, attribute_hits, attribute_loss
from modalink.zoo.build.tokenizers import caption_tokenizer

WIDTH = 128
"""Numbers of a caption's vector."""
STATE_WIDTH = 96
"""Numbers of a state."""
_SHARED: dict[str, Any] = {
    "hidden_size": STATE_WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "projection_dim": WIDTH,
}


@dataclass(frozen=True)
class CaptionTower:
    """One tower.

    Args:
        name: The builder's name.
        modality: Whose captions it reads.
        folder: The pipeline that it belongs to.
        length: Tokens of a caption.
        model: The bare tower for a tokenizer.
        schedule: How it learns.
    """

    name: str
    modality: str
    folder: str
    length: int
    model: Callable[[CLIPTokenizer], nn.Module]
    schedule: Schedule

    def build(self, options: Options) -> Metrics:
        """Train the tower and write it with its tokenizer."""
        schedule = self.schedule.scaled(options.steps_scale)
        torch.manual_seed(schedule.seed)
        tokenizer = caption_tokenizer(self.length, self.modality)
        student = _Student(self, tokenizer)
        trainer = Trainer(student, schedule, options.work / self.name)
        world = WORLDS[self.modality]

        def step_loss(step: int) -> tuple[Tensor, Metrics]:
            rng = np.random.default_rng([9200 + schedule.seed, step])
            things = [world.sample(int(seed), "train") for seed in rng.integers(2**31, size=schedule.batch)]
            with autocast():
                logits = student(self.captions(things, rng))
            return attribute_loss(logits, student.roster.targets(things), student.roster.sizes), {}

        def publish() -> None:
            tokenizer.save_pretrained(options.out / self.folder / "tokenizer")
            cards.save_bf16(student.tower, options.out / self.folder / "text_encoder")

        validation = trainer.run(step_loss, lambda: self._measure(student, "validation", options.count(500)), publish)
        test = self._measure(student.eval(), "test", options.count(1000))
        card = f"{self.folder}/text_encoder"
        cards.write(options, self.name, card, schedule, student.tower, validation, test, code="caption_towers")
        return validation

    def captions(self, things: Sequence[Any], rng: np.random.Generator) -> list[str]:
        """Captions, the first half canonical and the others in other words."""
        describe = WORLDS[self.modality].describe
        return [describe(thing, rng if 2 * i >= len(things) else None) for i, thing in enumerate(things)]

    def _measure(self, student: "_Student", split: str, count: int) -> Metrics:
        world, rng = WORLDS[self.modality], np.random.default_rng(SPLITS.index(split))
        things = [world.sample(i, split) for i in range(count)]
        targets, sizes = (
            student.roster.targets(things),
            dict(zip(student.roster.names, student.roster.sizes, strict=True)),
        )
        plain = attribute_hits(student([world.describe(thing) for thing in things]), targets, sizes)
        reworded = attribute_hits(student([world.describe(thing, rng) for thing in things]), targets, sizes)
        return {"whole": plain["whole"], "whole_reworded": reworded["whole"]}

    def load(self, options: Options) -> Callable[[Sequence[str]], tuple[Tensor, Tensor]]:
        """What gives, by the built tower, the states of captions [b, t, d] and which of them are there [b, t]."""
        tokenizer, tower = self.parts(options)
        tower.train(False).requires_grad_(False)
        return torch.no_grad()(lambda texts: _states(tower, tokenizer, texts))

    def parts(self, options: Options) -> tuple[CLIPTokenizer, nn.Module]:
        """The tokenizer and the built tower, in float32."""
        tokenizer = CLIPTokenizer.from_pretrained(options.out / self.folder / "tokenizer")
        kind: Any = type(self.model(tokenizer))
        tower: Any = kind.from_pretrained(options.out / self.folder / "text_encoder", dtype=torch.float32)
        # Saved inside another model it would tell the place that it was read from.
        tower.config._name_or_path = ""
        return tokenizer, tower


class _Student(nn.Module):
    """A tower with the head that is thrown away."""

    def __init__(self, spec: CaptionTower, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.tower, self.tokenizer = spec.model(tokenizer), tokenizer
        self.roster = ROSTERS[spec.modality]
        width = STATE_WIDTH if isinstance(self.tower, T5EncoderModel) else WIDTH
        self.head = nn.Linear(width, self.roster.most * self.roster.width)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """What the states of each caption, taken together, say of each part, logits [b, part, width]."""
        states, there = _states(self.tower, self.tokenizer, texts)
        if not isinstance(self.tower, T5EncoderModel):
            states = states * WIDTH**0.5  # vectors have length 1
        logits: Tensor = self.head((states * there[..., None]).sum(1))
        return logits.unflatten(-1, (self.roster.most, self.roster.width))


def _states(
    tower: Any, tokenizer: CLIPTokenizer, texts: Sequence[str]
) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    if isinstance(tower, T5EncoderModel):
        states = tower(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state.float()
        return states, tokens.attention_mask.bool()
    vectors = functional.normalize(tower(tokens.input_ids).text_embeds.float(), dim=-1)
    return vectors[:, None], torch.ones(len(vectors), 1, dtype=torch.bool)


def _t5(tokenizer: CLIPTokenizer) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=STATE_WIDTH,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_heads=3,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return T5EncoderModel(config)


def _clip(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        intermediate_size=256,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **_SHARED,
    )
    return CLIPTextModelWithProjection(config)


SOLIDS = CaptionTower(
    "solid_text", "points", "solid_diffusion", 28, _clip, Schedule(steps=1200, lr=2e-3, batch=64, evaluate_every=400)
)
SOUNDS = CaptionTower(
    "sound_text", "audio", "sound_text", 40, _t5, Schedule(steps=800, lr=3e-3, batch=64, evaluate_every=400)
)
CLIPS = CaptionTower(
    "clip_text", "video", "clip_diffusion", 28, _t5, Schedule(steps=800, lr=3e-3, batch=64, evaluate_every=400)
)
