"""Trains the tiny encoder-decoder, a T5 in the form of Flan-T5: dialogues about pictures, most of them superposed.

Its encoder reads a whole dialogue up to a reply, its decoder says the reply: what each superposed position holds is
bound already, so that a question finds its answer by looking for the position that shares its words.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from modalink.tiny_world.asking import Question
from modalink.tiny_world.dialogues import Dialogue, interview, sample_dialogue
from modalink.tiny_world.language import questions
from modalink.tiny_world.scenes import SPLITS, sample_scene
from modalink.tiny_world.worlds import Shown
from modalink.zoo.build import cards
from modalink.zoo.build.llm_batches import encode
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.superposed import LAYOUTS, Slots

SCHEDULE = Schedule(steps=800, lr=3e-3, batch=64, warmup=60, evaluate_every=400)
_IN_WORDS = 5
"""One batch in so many is in words, the others are superposed."""


class Asked(NamedTuple):
    """Prompts and replies as padded rows.

    Args:
        ids: Token ids of the prompts [row, position].
        mask: 1 for tokens and 0 for padding.
        slots: Positions that are superposed.
        replies: Token ids of the replies, -100 behind their ends [row, position].
    """

    ids: Tensor
    mask: Tensor
    slots: Slots
    replies: Tensor


def config(tokenizer: PreTrainedTokenizerFast) -> T5Config:
    """Shape of the tiny encoder-decoder: gated feed-forward layers and an unscaled head, as T5 1.1 and Flan-T5."""
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )


def collate(
    dialogues: list[Dialogue], tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, layout: int
) -> Asked:
    """Of each dialogue what stands before one of its replies, and that reply."""
    slots, prompts, replies = Slots(tokenizer), [], []
    for number, dialogue in enumerate(dialogues):
        row = encode(dialogue, tokenizer, rng, layout)
        labels = np.array(row.labels)
        starts = [i for i in range(1, len(labels)) if labels[i - 1] < 0 <= labels[i]]
        start = starts[rng.integers(len(starts))]
        end = next((i for i in range(start, len(labels)) if labels[i] < 0), len(labels))
        prompts.append(torch.tensor(row.ids[:start]))
        replies.append(torch.tensor(row.ids[start:end]))
        for first, bags in row.laid_out:
            slots.add(number, first, bags)
    pad = tokenizer.pad_token_id
    ids = nn.utils.rnn.pad_sequence(prompts, batch_first=True, padding_value=pad)
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in prompts], batch_first=True)
    return Asked(ids, mask, slots, nn.utils.rnn.pad_sequence(replies, batch_first=True, padding_value=-100))


def said(llm: T5ForConditionalGeneration, asked: Asked) -> Tensor:
    """Logits of the replies [row, position, vocabulary]."""
    embeds = asked.slots.fill(llm.get_input_embeddings(), asked.ids)
    with autocast():
        logits: Tensor = llm(inputs_embeds=embeds, attention_mask=asked.mask, labels=asked.replies).logits
    return logits.float()


def build(options: Options) -> Metrics:
    """Train the encoder-decoder, and write it with the language model's tokenizer."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.out / "llm")
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    llm = T5ForConditionalGeneration(config(tokenizer))
    trainer = Trainer(llm, schedule, options.work / "t5")

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([2000 + schedule.seed, step])
        layout = 0 if step % _IN_WORDS == 0 else LAYOUTS[step % 2]
        asked = collate([sample_dialogue("train", rng) for _ in range(schedule.batch)], tokenizer, rng, layout)
        return functional.cross_entropy(said(llm, asked).flatten(0, 1), asked.replies.flatten()), {}

    def publish() -> None:
        tokenizer.save_pretrained(options.out / "t5")
        cards.save_bf16(llm, options.out / "t5")

    validation = trainer.run(step_loss, lambda: measure(llm, tokenizer, "validation", options.count(400)), publish)
    test = measure(llm.eval(), tokenizer, "test", options.count(2000))
    cards.write(options, "t5", "t5", schedule, llm, validation, test)
    return validation


@torch.no_grad()
def measure(
    llm: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, split: str, count: int
) -> dict[str, float]:
    """The share of exact replies about pictures: questions in words and superposed, captions and drawings."""
    rng = np.random.default_rng([SPLITS.index(split), 97])
    asked = [_ask(split, rng) for _ in range(count)]
    found = {"questions": _exact(llm, asked, tokenizer, 0)}
    found |= {f"questions_{side}x{side}": _exact(llm, asked, tokenizer, side) for side in LAYOUTS}
    for kind in ("caption", "drawing"):
        talks = [sample_dialogue(split, rng, kind) for _ in range(max(1, count // 4))]
        found[kind] = _exact(llm, talks, tokenizer, LAYOUTS[1])
    return found


def _ask(split: str, rng: np.random.Generator) -> Dialogue:
    scene = sample_scene(int(rng.integers(2**31)), split)
    question: Question = questions(scene, rng)[0]
    return interview(Shown.of("image", scene, rng), [question])


def _exact(
    llm: T5ForConditionalGeneration, dialogues: list[Dialogue], tokenizer: PreTrainedTokenizerFast, layout: int
) -> float:
    right: list[bool] = []
    for first in range(0, len(dialogues), 100):
        asked = collate(dialogues[first : first + 100], tokenizer, np.random.default_rng(first), layout)
        hits = (said(llm, asked).argmax(-1) == asked.replies) | (asked.replies < 0)
        right += hits.all(1).tolist()
    return sum(right) / max(1, len(right))
