"""Tokenizers of the tiny parts, learned from the tiny world's own text; every byte has a token, so any text has."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

from modalink.tiny_world.clips.actors import ACTIONS, PLACES, WHENS
from modalink.tiny_world.dialogues import SUBJECTS, sample_dialogue
from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES
from modalink.tiny_world.solids.bodies import POSES, SOLIDS
from modalink.tiny_world.sounds.notes import LENGTHS, MOTIONS, ORDINALS, PITCHES, TIMBRES
from modalink.tiny_world.worlds import WORLDS, World

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_MOST_TOKENS = 2048
_NAMES = (
    *SHAPES, *COLOURS, *SIZES, *CELLS, "nothing", *ACTIONS, *WHENS, *PLACES, *SOLIDS, *POSES, *TIMBRES, *PITCHES,
    *MOTIONS, *LENGTHS, *ORDINALS,
)  # fmt: skip
_CORPUS = 6000


def chat_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """Lower-case byte-level BPE with ChatML, in which each word of the tiny world is one token."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=_MOST_TOKENS,
        min_frequency=3,
        special_tokens=["<pad>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_chat_corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
        model_max_length=length,
        clean_up_tokenization_spaces=False,
    )


def caption_tokenizer(length: int, modality: str = "image") -> CLIPTokenizer:
    """CLIP's lower-case word-end BPE, in which each word of a modality's captions is one token."""
    base = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = base.normalizer, base.pre_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(
        vocab_size=_MOST_TOKENS, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(_caption_corpus(WORLDS[modality]), trainer)
    merges: list[Any] = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    # The trainer keeps only the word endings that it saw; with all of them every text has tokens.
    names = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    names = list(dict.fromkeys([*names, *("".join(pair) for pair in merges)]))
    return CLIPTokenizer(
        vocab={name: i for i, name in enumerate(names)},
        merges=merges,
        model_max_length=length,
    )


def _chat_corpus() -> Iterator[str]:
    rng = np.random.default_rng(0)
    # Each word within a line, too: an answer such as "nothing" is otherwise met at its start alone.
    yield from [f" {word}" for name in _NAMES for word in name.split()] * 3
    for number in range(_CORPUS):
        talk = sample_dialogue("train", rng, subject=SUBJECTS[max(0, number % 8 - 3)])
        for message in talk.messages():
            # Words from outside the world get no tokens of their own, so that being spelled in pieces marks them.
            if talk.kind != "decline" or message["role"] == "assistant":
                yield f"{message['role']}\n{message['content']}"


def _caption_corpus(world: World) -> Iterable[str]:
    rng = np.random.default_rng(0)
    return [world.describe(world.sample(i, "train"), rng if i % 2 else None) for i in range(_CORPUS)]
