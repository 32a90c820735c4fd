"""Small tokenizers trained on given text, in the formats that released checkpoints have."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""A ChatML template whose assistant spans are marked, for tokenizers that carry their own chat template."""

TEXT = (
    "A chat between a curious user and an assistant. USER: What is in the image? ASSISTANT: a red cube, two circles",
    "Question: how many objects are there? Short answer: three. Draw a small green triangle left of the large square.",
)
"""Text that the tiny tokenizers are trained on when none is given."""


def tiny_tokenizer(
    text: Iterable[str] = TEXT,
    *,
    vocab: int = 400,
    bos: bool = True,
    chat: str | None = None,
    special: Sequence[str] = (),
) -> PreTrainedTokenizerFast:
    """A lossless byte-level BPE tokenizer with character offsets and `<pad>`, `<s>`, `</s>`.

    Args:
        text: What its merges are learned from.
        vocab: Most tokens it may have; at least 256 bytes and the special tokens.
        bos: Whether it puts `<s>` in front of every text, as LLaMA's does.
        chat: A Jinja chat template, for example `CHATML`, whose `<|im_start|>` and `<|im_end|>` become special tokens.
        special: More special tokens.
    """
    marks = ["<|im_start|>", "<|im_end|>"] if chat and "<|im_start|>" in chat else []
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<pad>", "<s>", "</s>", *marks, *special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    if bos:
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]),
            ]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=chat
    )


def tiny_qwen2_tokenizer(text: Iterable[str] = TEXT, *, vocab: int = 400) -> Qwen2Tokenizer:
    """Qwen's byte-level BPE with ChatML: `<|endoftext|>` pads, `<|im_end|>` ends, and nothing begins a text."""
    base = Qwen2Tokenizer().backend_tokenizer
    learner = Tokenizer(BPE())
    learner.normalizer, learner.pre_tokenizer = base.normalizer, base.pre_tokenizer
    trainer = BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(text, trainer)
    marks: Any = {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"], "chat_template": CHATML}
    return Qwen2Tokenizer(vocab=learner.get_vocab(), merges=_merges(learner), **marks)


def tiny_clip_tokenizer(
    text: Iterable[str] = TEXT, *, vocab: int = 700, length: int = 16, marks_last: bool = False
) -> CLIPTokenizer:
    """CLIP's lower-case word-end BPE with `<|startoftext|>` and `<|endoftext|>` (also its padding), `length` tokens.

    Args:
        text: What it learns from.
        vocab: How many tokens it has at most.
        length: Tokens of a text at most.
        marks_last: Whether the two marks have the last numbers, as in the released one, and not the first.
    """
    base = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = base.normalizer, base.pre_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = ["<|startoftext|>", "<|endoftext|>"]
    trainer = BpeTrainer(vocab_size=vocab, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False)
    learner.train_from_iterator(text, trainer)
    # Every byte also ends a word, seen in the text or not: the trainer keeps only the endings that it saw.
    known = [*marks, *letters, *(letter + "</w>" for letter in letters)]
    merges = _merges(learner)[: vocab - len(known)]
    names = [*dict.fromkeys([*known, *("".join(pair) for pair in merges)])]
    ordered = [*names[len(marks) :], *marks] if marks_last else names
    return CLIPTokenizer(
        vocab={name: i for i, name in enumerate(ordered)},
        merges=merges,
        pad_token="<|endoftext|>",
        model_max_length=length,
    )


def _merges(learner: Tokenizer) -> Any:
    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
