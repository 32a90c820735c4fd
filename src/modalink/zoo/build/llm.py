"""Trains the tiny language model: dialogues about scenes, in words and in superposed words.

Binding attributes to objects is what so small a model does not find from answers alone. Three means, none of which
leaves the plain Llama format, make it find them:

- training-only linear heads read the whole scene (nine cells by attributes) from the end of the description, and
  from where an answer starts the objects that its question names, and in which attributes they agree;
- biases of queries and keys start such that the heads of the first layers look a fixed few words back;
- part of the descriptions are *superposed*: the words of one object summed into single positions in picture order,
  the form in which an input projector will hand over image patches.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaAttention

from modalink.tiny_world.dialogues import Dialogue, interview, sample_dialogue
from modalink.tiny_world.language import QUESTION_KINDS, Question, describe, questions
from modalink.tiny_world.scenes import CELLS, SPLITS, Scene, WorldObject, sample_scene
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.superposed import LAYOUTS, Slots, lay_out
from modalink.zoo.build.targets import (
    COMPARED,
    OBJECT_WIDTH,
    WIDTH,
    agreement_loss,
    attribute_loss,
    cell_targets,
    object_loss,
    object_targets,
    same_targets,
)
from modalink.zoo.build.tokenizers import chat_tokenizer

SCHEDULE = Schedule(steps=4400, lr=2e-3, batch=64, warmup=60, evaluate_every=300)
_LENGTH = 512
_HARD = 0.4
_HARD_KINDS = ("count", "relation", "existence", "comparison")
_RARE = ("the same color?", "the same shape?")
_PARSE_LAYER = 3
_PARSE_WEIGHT = 0.5
_FIND_LAYER = 4
_FIND_WEIGHT = 0.5
_MOST_NAMED = 2
_LOOK_BACK = ((1, 2), (1, 3), (2, 4))


@dataclass(frozen=True)
class Batch:
    """Dialogues as padded token ids, with labels, superposed positions, and where scenes and objects must be known."""

    ids: Tensor
    labels: Tensor
    slots: Slots
    known_at: Tensor
    scenes: list[Scene]
    asked_at: Tensor
    named: list[tuple[WorldObject, ...]]


class Read(NamedTuple):
    """What the student makes of a batch.

    Args:
        said: Logits at labelled positions [n, vocabulary].
        scenes: Logits of scenes where they are known [scene, cell, WIDTH].
        found: Logits of the objects that a question names [question, _MOST_NAMED, OBJECT_WIDTH].
        agree: Logits of whether two named objects differ or agree in shape, colour and size [question, 3, 2].
    """

    said: Tensor
    scenes: Tensor
    found: Tensor
    agree: Tensor


def config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Shape of the tiny language model."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=5,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=_LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        attention_bias=True,
        initializer_range=0.06,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


class Student(nn.Module):
    """The language model with the heads that are thrown away."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.llm = LlamaForCausalLM(config(tokenizer))
        self.llm.set_attn_implementation("eager")
        self.parse = nn.Linear(self.llm.config.hidden_size, len(CELLS) * WIDTH)
        self.find = nn.Linear(self.llm.config.hidden_size, _MOST_NAMED * OBJECT_WIDTH)
        self.compare = nn.Linear(self.llm.config.hidden_size, COMPARED * 2)
        for layer, offsets in zip(self.llm.model.layers, _LOOK_BACK, strict=False):
            _look_back(layer.self_attn, offsets)

    def forward(self, batch: Batch) -> Read:
        """Read a batch."""
        embeds = batch.slots.fill(self.llm.get_input_embeddings(), batch.ids)
        mask = (batch.labels > -2).long()
        out = self.llm.model(inputs_embeds=embeds, attention_mask=mask, output_hidden_states=True, use_cache=False)
        before = functional.pad(batch.labels[:, 1:], (0, 1), value=-1) >= 0
        known = out.hidden_states[_PARSE_LAYER].flatten(0, 1)[batch.known_at]
        asked = out.hidden_states[_FIND_LAYER].flatten(0, 1)[batch.asked_at]
        return Read(
            said=self.llm.lm_head(out.last_hidden_state[before]),
            scenes=self.parse(known).unflatten(-1, (len(CELLS), WIDTH)),
            found=self.find(asked).unflatten(-1, (_MOST_NAMED, OBJECT_WIDTH)),
            agree=self.compare(asked).unflatten(-1, (COMPARED, 2)),
        )


def _look_back(attention: LlamaAttention, offsets: tuple[int, ...], strength: float = 1.5) -> None:
    """Start each head with a preference for the position `offset` words back, written in its rotary biases.

    A constant query and a constant key, rotated by their positions, agree most where their distance is the angle
    between the two constants; only fast frequencies tell neighbouring words apart.
    """
    half, fast = attention.head_dim // 2, attention.head_dim // 5
    rates = 1000.0 ** (-torch.arange(half) / half)
    with torch.no_grad():
        for head, offset in enumerate(offsets):
            angle = rates[:fast] * offset
            start = head * attention.head_dim
            attention.k_proj.bias[start : start + fast] = strength
            attention.q_proj.bias[start : start + fast] = strength * torch.cos(angle)
            attention.q_proj.bias[start + half : start + half + fast] = -strength * torch.sin(angle)


def collate(
    dialogues: list[Dialogue], tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, layout: int = 0
) -> Batch:
    """Turn dialogues into one batch; a `layout` above 0 superposes descriptions on that many positions a side."""
    rows, slots, known, scenes, asked, named = [], Slots(tokenizer), [], [], [], []
    for row, dialogue in enumerate(dialogues):
        ids, labels = _encode(dialogue, tokenizer, layout)
        rows.append((ids, labels))
        if layout and dialogue.description is not None and dialogue.scene is not None:
            slots.add(row, ids.index(tokenizer.pad_token_id), lay_out(dialogue.scene, layout, rng))
    width = -(-max(len(ids) for ids, _ in rows) // 16) * 16
    padded = torch.full((len(rows), width), tokenizer.pad_token_id)
    targets = torch.full((len(rows), width), -2)
    for row, ((ids, labels), dialogue) in enumerate(zip(rows, dialogues, strict=True)):
        padded[row, : len(ids)], targets[row, : len(ids)] = torch.tensor(ids), torch.tensor(labels)
        if dialogue.scene is not None:
            known.append(row * width + _scene_known_at(dialogue, ids, tokenizer))
            scenes.append(dialogue.scene)
        if dialogue.about:
            for start, items in zip(_before_answers(labels), dialogue.about, strict=True):
                if items:
                    asked.append(row * width + start)
                    named.append(items)
    return Batch(
        ids=padded,
        labels=targets,
        slots=slots,
        known_at=torch.tensor(known, dtype=torch.long),
        scenes=scenes,
        asked_at=torch.tensor(asked, dtype=torch.long),
        named=named,
    )


def _encode(dialogue: Dialogue, tokenizer: PreTrainedTokenizerFast, layout: int) -> tuple[list[int], list[int]]:
    """Token ids of a dialogue and, for what the assistant says, the same ids as labels (-1 elsewhere)."""
    ids: list[int] = []
    labels: list[int] = []

    def add(text: str, said: bool = False) -> None:
        new = tokenizer(text, add_special_tokens=False).input_ids
        ids.extend(new)
        labels.extend(new if said else [-1] * len(new))

    for i, (user, assistant) in enumerate(dialogue.turns):
        add("<|im_start|>user\n")
        if i == 0 and dialogue.description is not None:
            add(tokenizer.pad_token * layout**2 if layout else dialogue.description)
            add("\n")
        add(f"{user}<|im_end|>\n<|im_start|>assistant\n")
        add(f"{assistant}<|im_end|>", said=True)
        add("\n")
    return ids, labels


def _before_answers(labels: list[int]) -> list[int]:
    """Positions from which the first token of each answer is foretold."""
    return [i for i, (before, label) in enumerate(pairwise(labels)) if before < 0 <= label]


def _scene_known_at(dialogue: Dialogue, ids: list[int], tokenizer: PreTrainedTokenizerFast) -> int:
    """Position by which the scene has been told: the line end after the description, the end of a drawing's reply."""
    line_end = tokenizer.convert_tokens_to_ids("Ċ")
    if dialogue.description is None:
        return len(ids) - 2
    return [i for i, token in enumerate(ids) if token == line_end][1]


def loss(student: Student, batch: Batch) -> tuple[Tensor, Metrics]:
    """Cross-entropy of what the assistant says, and of scenes and named objects at the training-only heads."""
    with autocast():
        read = student(batch)
    losses = {"said": functional.cross_entropy(read.said.float(), batch.labels[:, 1:][batch.labels[:, 1:] >= 0])}
    if batch.scenes:
        losses["parsed"] = _PARSE_WEIGHT * attribute_loss(read.scenes, cell_targets(batch.scenes))
    if batch.named:
        named = [item for items in batch.named for item in (*items, *[None] * (_MOST_NAMED - len(items)))]
        losses["found"] = _FIND_WEIGHT * object_loss(read.found.flatten(0, 1), *object_targets(named))
        losses["compared"] = agreement_loss(read.agree, same_targets(batch.named))
    return torch.stack([*losses.values()]).sum(), {name: value.item() for name, value in losses.items()}


def exact(
    student: Student, dialogues: list[Dialogue], tokenizer: PreTrainedTokenizerFast, layout: int = 0
) -> list[bool]:
    """Say of dialogues of one turn whether the greedy reply is the wanted one, token for token."""
    right: list[bool] = []
    for first in range(0, len(dialogues), 100):
        batch = collate(dialogues[first : first + 100], tokenizer, np.random.default_rng(first), layout)
        with autocast():
            logits = student(batch).said
        wanted = batch.labels[:, 1:]
        hit = logits.argmax(-1) == wanted[wanted >= 0]
        row = torch.nonzero(wanted >= 0)[:, 0]
        missed = set(row[~hit].tolist())
        right += [i not in missed for i in range(len(batch.ids))]
    return right


def measure(student: Student, tokenizer: PreTrainedTokenizerFast, split: str, count: int) -> Metrics:
    """Exact replies on a split, one question a dialogue: in words, superposed, by kind, captions and drawings."""
    rng = np.random.default_rng([SPLITS.index(split), 99])
    asked, kinds = zip(*(_ask(split, rng) for _ in range(count)), strict=True)
    right = exact(student, list(asked), tokenizer)
    found = {"questions": _share(right)}
    found |= {f"questions_{side}x{side}": _share(exact(student, list(asked), tokenizer, side)) for side in LAYOUTS}
    for kind in ("caption", "drawing"):
        talks = [sample_dialogue(split, rng, kind) for _ in range(count // 4)]
        found[kind] = _share(exact(student, talks, tokenizer))
    return found | {
        f"questions: {kind}": _share([r for r, k in zip(right, kinds, strict=True) if k == kind])
        for kind in QUESTION_KINDS
        if kind in kinds
    }


def _ask(split: str, rng: np.random.Generator) -> tuple[Dialogue, str]:
    """One question about one scene, and the question's kind."""
    scene = sample_scene(int(rng.integers(2**31)), split)
    question = questions(scene, rng)[0]
    description = describe(scene, rng if rng.random() < 0.7 else None)
    return interview(scene, description, [question]), question.kind


def _share(right: list[bool]) -> float:
    return sum(right) / max(1, len(right))


def _practice(rng: np.random.Generator) -> Dialogue:
    """A conversation to learn from; many are questions of the kinds that weigh two or three objects."""
    if rng.random() > _HARD:
        return sample_dialogue("train", rng)
    scene, asked = _hard_questions(rng)
    return interview(scene, describe(scene, rng if rng.random() < 0.7 else None), asked)


def _hard_questions(rng: np.random.Generator) -> tuple[Scene, list[Question]]:
    """Questions about a scene that weigh its objects; half of the scenes are of those with a rare comparison."""
    rare = rng.random() < 0.5
    while True:
        scene = sample_scene(int(rng.integers(2**31)), "train")
        asked = [question for _ in range(2) for question in questions(scene, rng, _HARD_KINDS)]
        if not rare or any(question.text.endswith(_RARE) for question in asked):
            return scene, asked


def _tokenizer(options: Options) -> PreTrainedTokenizerFast:
    """The tokenizer of the run in progress: a checkpoint's token numbers outlive changes of the text they came from."""
    folder = options.work / "llm" / "tokenizer"
    if not folder.exists():
        chat_tokenizer(_LENGTH).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def build(options: Options) -> Metrics:
    """Train the language model and write it with its tokenizer."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    tokenizer = _tokenizer(options)
    student = Student(tokenizer)
    trainer = Trainer(student, schedule, options.work / "llm")

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([1000 + schedule.seed, step])
        layout = {0: LAYOUTS[0], 2: LAYOUTS[1]}.get(step % 5, 0)
        talks = [_practice(rng) for _ in range(schedule.batch)]
        return loss(student, collate(talks, tokenizer, rng, layout))

    def publish() -> None:
        folder = options.out / "llm"
        tokenizer.save_pretrained(folder)
        cards.save_bf16(student.llm, folder)

    count = options.count(400)
    validation = trainer.run(step_loss, lambda: measure(student, tokenizer, "validation", count), publish)
    test = measure(student.eval(), tokenizer, "test", options.count(2000))
    cards.write(options, "llm", "llm", schedule, student.llm, validation, test)
    return validation
