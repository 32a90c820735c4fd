from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    CLIPTokenizer,
)

from modalink import hub
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_opt, tiny_qwen2, tiny_t5
from modalink.testing.tokenizers import CHATML, tiny_clip_tokenizer, tiny_qwen2_tokenizer, tiny_tokenizer


@pytest.mark.parametrize("factory", [tiny_llama, tiny_qwen2, tiny_opt, tiny_t5])
def test_language_models_load_strictly_and_answer(tmp_path: Path, factory: Any) -> None:
    factory(tmp_path)
    kind = AutoModelForSeq2SeqLM if factory is tiny_t5 else AutoModelForCausalLM
    model: Any = hub.load(kind, str(tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer("What is in the image?", return_tensors="pt")
    assert model.generate(**tokens, max_new_tokens=3, min_new_tokens=3).shape[1] >= 3
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.pad_token_id == model.config.pad_token_id


def test_a_seed_names_the_weights_and_leaves_the_random_state(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    folders = [tiny_clip_vision(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert torch.equal(torch.get_rng_state(), before)
    first, same, other = (load_file(folder / "model.safetensors") for folder in folders)
    name = "embeddings.patch_embedding.weight"
    assert torch.equal(first[name], same[name]) and not torch.equal(first[name], other[name])


def test_tokenizers_are_lossless_with_offsets(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(special=["<image>"])
    text = "Ünïcode  and\n<image>two  spaces"
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.decode(encoded["input_ids"][1:]) == text
    spans = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert "<image>" in spans and spans[0] == ""
    plain = tiny_tokenizer(bos=False, special=["<image>"])
    assert plain(text)["input_ids"] == tokenizer(text)["input_ids"][1:]


@pytest.mark.parametrize("tokenizer", [tiny_tokenizer(bos=False, chat=CHATML), tiny_qwen2_tokenizer()])
def test_a_chat_tokenizer_marks_what_the_assistant_says(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "a cube"}]
    encoded = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    said = [token for token, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(said) == "a cube<|im_end|>"


def test_the_clip_tokenizer_reads_back_as_clips(tmp_path: Path) -> None:
    tokenizer = tiny_clip_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    back = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(back, CLIPTokenizer) and back.model_max_length == 16
    ids = back("A red ÇUBE", padding="max_length")["input_ids"]
    assert ids == tokenizer("A red ÇUBE", padding="max_length")["input_ids"] and len(ids) == 16
    assert back.decode(ids, skip_special_tokens=True) == "a red çube"
