"""The tiny language model in training: with the heads that are thrown away, and its losses.

Binding attributes to objects is what so small a model does not find from answers alone. Three means, none of which
leaves the plain Llama format, make it find them:

- training-only linear heads read the whole thing (of a picture nine cells by attributes) from the end of its
  description, and from where an answer starts the objects of a picture that its question names, and in which attributes
  they agree; likewise the parts of other things, and which of them match each other;
- biases of queries and keys start such that the heads of the first layers look a fixed few words back;
- part of the descriptions are *superposed*: the words of one object summed into single positions in picture order,
  the form in which an input projector will hand over image patches.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaAttention

from modalink.tiny_world.scenes import CELLS
from modalink.zoo.build.llm_batches import Batch
from modalink.zoo.build.loop import Metrics, autocast
from modalink.zoo.build.targets import (
    COMPARED,
    MATCHED,
    MOST_MATCHES,
    OBJECT_WIDTH,
    ROSTERS,
    WIDTH,
    agreement_loss,
    attribute_loss,
    cell_targets,
    match_targets,
    object_loss,
    object_targets,
    same_targets,
)

LENGTH = 512
"""Most tokens of a conversation."""
_PARSE_LAYER = 3
_PARSE_WEIGHT = 0.5
_LIST_WEIGHT = 0.15
_FIND_LAYER = 4
_FIND_WEIGHT = 0.5
_MOST_NAMED = 2
_MOST_TALLIED = 3
_LOOK_BACK = ((1, 2), (1, 3), (2, 4))


class Read(NamedTuple):
    """What the student makes of a batch.

    Args:
        said: Logits at labelled positions [n, vocabulary].
        scenes: Logits of scenes where they are known [scene, cell, WIDTH].
        things: Modality -> logits of the parts of other things where they have been told [thing, part, width].
        weighed: Modality -> logits of the parts of other things that a question names [question, part, width].
        matched: Logits of whether parts of different modalities match [question, pair, 3, 2].
        found: Logits of the objects that a question names [question, _MOST_NAMED, OBJECT_WIDTH].
        tallied: Logits of numbers of parts that a question compares [question, 2, _MOST_TALLIED].
        agree: Logits of whether two named objects differ or agree in shape, colour and size [question, 3, 2].
    """

    said: Tensor
    scenes: Tensor
    things: dict[str, Tensor]
    weighed: dict[str, Tensor]
    matched: Tensor
    found: Tensor
    tallied: Tensor
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
        max_position_embeddings=LENGTH,
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
        self.list, self.weigh = (
            nn.ModuleDict(
                {name: nn.Linear(self.llm.config.hidden_size, r.most * r.width) for name, r in ROSTERS.items()}
            )
            for _ in range(2)
        )
        self.match = nn.Linear(self.llm.config.hidden_size, MOST_MATCHES * len(MATCHED) * 2)
        self.find = nn.Linear(self.llm.config.hidden_size, _MOST_NAMED * OBJECT_WIDTH)
        self.tally = nn.Linear(self.llm.config.hidden_size, 2 * _MOST_TALLIED)
        self.compare = nn.Linear(self.llm.config.hidden_size, COMPARED * 2)
        for layer, offsets in zip(self.llm.model.layers, _LOOK_BACK, strict=False):
            _look_back(layer.self_attn, offsets)

    def forward(self, batch: Batch) -> Read:
        """Read a batch."""
        embeds = batch.slots.fill(self.llm.get_input_embeddings(), batch.ids)
        out = self.llm.model(
            inputs_embeds=embeds,
            attention_mask=_within(batch.owners, embeds.dtype),
            position_ids=batch.positions,
            output_hidden_states=True,
            use_cache=False,
        )
        before = functional.pad(batch.labels[:, 1:], (0, 1), value=-1) >= 0
        parsed = out.hidden_states[_PARSE_LAYER].flatten(0, 1)
        found = out.hidden_states[_FIND_LAYER].flatten(0, 1)
        asked = found[batch.asked_at]
        return Read(
            said=self.llm.lm_head(out.last_hidden_state[before]),
            scenes=self.parse(parsed[batch.known_at]).unflatten(-1, (len(CELLS), WIDTH)),
            things=_rosters(self.list, parsed, batch.told_at),
            weighed=_rosters(self.weigh, found, batch.weighed_at),
            matched=self.match(found[batch.matched_at]).unflatten(-1, (MOST_MATCHES, len(MATCHED), 2)),
            found=self.find(asked).unflatten(-1, (_MOST_NAMED, OBJECT_WIDTH)),
            tallied=self.tally(parsed[batch.tallied_at]).unflatten(-1, (2, _MOST_TALLIED)),
            agree=self.compare(asked).unflatten(-1, (COMPARED, 2)),
        )


def _within(owners: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores of attention [row, 1, query, key]: nothing for what comes before in the same dialogue."""
    seen = (owners[:, :, None] == owners[:, None, :]).tril()
    return torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]


def _rosters(heads: nn.ModuleDict, states: Tensor, places: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logits of the parts of each modality at its places [place, part, width]."""
    sizes = {name: (ROSTERS[name].most, ROSTERS[name].width) for name in places}
    return {name: heads[name](states[at]).unflatten(-1, sizes[name]) for name, at in places.items()}


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


def loss(student: Student, batch: Batch) -> tuple[Tensor, Metrics]:
    """Cross-entropy of what the assistant says, and of scenes and named objects at the training-only heads."""
    with autocast():
        read = student(batch)
    losses = {"said": functional.cross_entropy(read.said.float(), batch.labels[:, 1:][batch.labels[:, 1:] >= 0])}
    if batch.scenes:
        losses["parsed"] = _PARSE_WEIGHT * attribute_loss(read.scenes, cell_targets(batch.scenes))
    for name, things in batch.things.items():
        targets = ROSTERS[name].targets(things)
        losses[f"listed_{name}"] = _LIST_WEIGHT * attribute_loss(read.things[name], targets, ROSTERS[name].sizes)
    for name, parts in batch.weighed.items():
        targets = ROSTERS[name].named(parts)
        losses[f"weighed_{name}"] = _LIST_WEIGHT * attribute_loss(read.weighed[name], targets, ROSTERS[name].sizes)
    if batch.matched:
        losses["matched"] = agreement_loss(read.matched, match_targets(batch.matched))
    if batch.tallied:
        counts = torch.tensor(batch.tallied) - 1
        losses["tallied"] = functional.cross_entropy(read.tallied.float().flatten(0, 1), counts.flatten())
    if batch.named:
        named = [item for items in batch.named for item in (*items, *[None] * (_MOST_NAMED - len(items)))]
        losses["found"] = _FIND_WEIGHT * object_loss(read.found.flatten(0, 1), *object_targets(named))
        losses["compared"] = agreement_loss(read.agree, same_targets(batch.named))
    return torch.stack([*losses.values()]).sum(), {name: value.item() for name, value in losses.items()}
