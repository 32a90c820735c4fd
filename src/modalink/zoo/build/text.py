"""Trains the text tower whose states condition the UNet: each object is known where its phrase ends."""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from modalink.tiny_world.language import describe
from modalink.tiny_world.scenes import CELLS, SPLITS, Scene, sample_scene
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.targets import (
    NOT_ASKED,
    OBJECT_WIDTH,
    WIDTH,
    attribute_hits,
    attribute_loss,
    cell_targets,
    object_loss,
    object_targets,
)
from modalink.zoo.build.tokenizers import caption_tokenizer

SCHEDULE = Schedule(steps=2000, lr=2e-3, batch=64, evaluate_every=500)
LENGTH = 32
"""Tokens of a caption: the canonical one of three objects takes 28."""


def config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """Shape of the tiny text tower."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        projection_dim=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


class Student(nn.Module):
    """The text tower with the two heads that are thrown away."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.tower = CLIPTextModel(config(tokenizer))
        self.eos = torch.tensor(tokenizer.eos_token_id)
        self.tower.set_attn_implementation("eager")
        self.scene = nn.Linear(self.tower.config.hidden_size, len(CELLS) * WIDTH)
        self.phrase = nn.Linear(self.tower.config.hidden_size, OBJECT_WIDTH)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Give scene logits at the end [b, cell, WIDTH] and object logits at every token [b, t, OBJECT_WIDTH]."""
        states = self.tower(ids).last_hidden_state
        ends = (ids == self.eos).int().argmax(-1)
        scene = self.scene(states[torch.arange(len(ids)), ends])
        return scene.unflatten(-1, (len(CELLS), WIDTH)), self.phrase(states)


def captions(scenes: list[Scene], rng: np.random.Generator | None, tokenizer: CLIPTokenizer) -> Tensor:
    """Token ids [scene, LENGTH] of canonical captions, or of paraphrases where `rng` is given.

    A paraphrase that is too long gives way to the canonical caption.
    """
    texts = [describe(scene, rng) for scene in scenes]
    if rng is not None:
        lengths = [len(row) for row in tokenizer(texts).input_ids]
        texts = [
            text if length <= LENGTH else describe(scene)
            for text, length, scene in zip(texts, lengths, scenes, strict=True)
        ]
    ids: Tensor = tokenizer(texts, padding="max_length", max_length=LENGTH, return_tensors="pt").input_ids
    return ids


def phrase_targets(ids: Tensor, scenes: list[Scene], tokenizer: CLIPTokenizer) -> tuple[Tensor, Tensor]:
    """Say at the last word of each phrase of canonical captions which object it names.

    Returns:
        Class numbers int64 [b, t, 4] of attributes and [b, t] of cells; -100 wherever no phrase ends.
    """
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    ends_next = (ids == comma) | (ids == tokenizer.eos_token_id)
    starts_padding = ids == tokenizer.eos_token_id
    is_end = ends_next[:, 1:] & ~starts_padding[:, :-1]
    attributes = torch.full((*ids.shape, 4), NOT_ASKED)
    cells = torch.full(ids.shape, NOT_ASKED)
    named = object_targets([item for scene in scenes for item in scene.objects])
    attributes[:, :-1][is_end], cells[:, :-1][is_end] = named
    return attributes, cells


def loss(student: Student, scenes: list[Scene], rng: np.random.Generator, tokenizer: CLIPTokenizer) -> Tensor:
    """Scene at the end of every caption, and objects at the ends of phrases in the canonical half."""
    half = len(scenes) // 2
    canonical, told = scenes[:half], captions(scenes[:half], None, tokenizer)
    with autocast():
        scene, phrase = student(torch.cat([told, captions(scenes[half:], rng, tokenizer)]))
    attributes, cells = phrase_targets(told, canonical, tokenizer)
    return attribute_loss(scene, cell_targets(scenes)) + object_loss(phrase[:half], attributes, cells)


def measure(student: Student, split: str, count: int, tokenizer: CLIPTokenizer) -> Metrics:
    """Attributes that the heads name rightly on a split, at the end and, in canonical captions, at ends of phrases."""
    rng = np.random.default_rng(SPLITS.index(split))
    scenes = [sample_scene(i, split) for i in range(count)]
    told = captions(scenes, None, tokenizer)
    scene, phrase = student(told)
    attributes, _ = phrase_targets(told, scenes, tokenizer)
    reworded, _ = student(captions(scenes, rng, tokenizer))
    return {
        "whole_object": attribute_hits(scene, cell_targets(scenes))["whole"],
        "whole_object_reworded": attribute_hits(reworded, cell_targets(scenes))["whole"],
        "whole_object_phrase": attribute_hits(phrase[..., :WIDTH], attributes)["whole"],
    }


def build(options: Options) -> Metrics:
    """Train the text tower and write it with its tokenizer."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    tokenizer = caption_tokenizer(LENGTH)
    student = Student(tokenizer)
    trainer = Trainer(student, schedule, options.work / "text")

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([2000 + schedule.seed, step])
        scenes = [sample_scene(int(seed), "train") for seed in rng.integers(2**31, size=schedule.batch)]
        return loss(student, scenes, rng, tokenizer), {}

    def publish() -> None:
        tokenizer.save_pretrained(options.out / "diffusion" / "tokenizer")
        cards.save_bf16(student.tower, options.out / "diffusion" / "text_encoder")

    validation = trainer.run(step_loss, lambda: measure(student, "validation", options.count(500), tokenizer), publish)
    test = measure(student.eval(), "test", options.count(1000), tokenizer)
    cards.write(options, "text", "diffusion/text_encoder", schedule, student.tower, validation, test)
    return validation


def load(options: Options) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """Load the built text tower, frozen, and its tokenizer."""
    folder = options.out / "diffusion"
    tower = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, attn_implementation="eager")
    return tower.train(False).requires_grad_(False), CLIPTokenizer.from_pretrained(folder / "tokenizer")
