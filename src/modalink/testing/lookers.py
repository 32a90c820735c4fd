"""Tiny random checkpoints of those who look at made media: encoders of texts and media alike, and detectors."""

from pathlib import Path
from typing import Any

from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessorPil,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessorPil,
)

from modalink.testing.checkpoints._drawn import save
from modalink.testing.tokenizers import _merges, tiny_clip_tokenizer, tiny_tokenizer

_SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "initializer_range": 0.2, "initializer_factor": 8.0,
}  # fmt: skip


def tiny_clip(folder: Path | str, *, seed: int = 0) -> Path:
    """A whole CLIP (32 px, patch 8; texts of 64 tokens; vectors of width 8) with its preprocessor and tokenizer."""
    tokenizer = tiny_clip_tokenizer(length=64)
    text = {**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 64} | {
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 1,
    }  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=_SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=8)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return save(folder, CLIPModel, config, seed, processor)


def tiny_clap_of_words(folder: Path | str, *, seed: int = 0) -> Path:
    """A whole CLAP (windows of a second; vectors of width 8) with its feature extractor and a tokenizer."""
    tokenizer = tiny_tokenizer()
    audio: dict[str, Any] = {"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2]}
    audio |= {"spec_size": 128, "num_mel_bins": 64, "window_size": 4, "hidden_size": 16, "aff_block_r": 2}
    text = {**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 128}
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    extractor = ClapFeatureExtractor(
        sampling_rate=16_000, hop_length=160, max_length_s=1, frequency_max=8000, truncation="rand_trunc"
    )
    return save(folder, ClapModel, config, seed, extractor)


def tiny_yolos(folder: Path | str, labels: tuple[str, ...], *, seed: int = 0) -> Path:
    """A detector of classes (32 px, 5 boxes), which finds nonsense."""
    names = dict(enumerate(labels))
    config = YolosConfig(
        **_SMALL, image_size=[32, 32], patch_size=8, num_detection_tokens=5, use_mid_position_embeddings=False,
        id2label=names, label2id={name: number for number, name in names.items()},
    )  # fmt: skip
    size = {"height": 32, "width": 32}
    return save(folder, YolosForObjectDetection, config, seed, YolosImageProcessorPil(size=size))


def tiny_owlvit(folder: Path | str, *, seed: int = 0) -> Path:
    """A detector of any words (32 px, 16 boxes), which finds nonsense."""
    known = tiny_clip_tokenizer(length=64)
    # Texts whose first token is 0 are padding to OWL-ViT.
    vocab = {name: (number - 1) % len(known) for name, number in known.get_vocab().items()}
    tokenizer = CLIPTokenizer(
        vocab=vocab, merges=_merges(known.backend_tokenizer), pad_token="<|endoftext|>", model_max_length=64
    )
    text = {**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 64} | {
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 1,
    }  # fmt: skip
    config = OwlViTConfig(
        text_config=text, vision_config=_SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=16
    )
    tokenizer.save_pretrained(folder)
    processor = OwlViTImageProcessorPil(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32})
    return save(folder, OwlViTForObjectDetection, config, seed, processor)
