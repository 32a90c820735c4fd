"""Tiny towers that hear, each with its feature extractor."""

import re
from pathlib import Path
from typing import Any

import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    HubertModel,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from modalink.encoders import _beats
from modalink.testing.checkpoints._drawn import SPREAD, by_name, save


def tiny_whisper(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A whole Whisper (windows of one second: 50 tokens of width 32, 2 blocks) with its feature extractor."""
    settings = {"vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "max_source_positions": 50}
    settings |= {
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    }
    settings |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    settings |= {"init_std": SPREAD, "begin_suppress_tokens": None} | config
    extractor = WhisperFeatureExtractor(feature_size=config.get("num_mel_bins", 80), chunk_length=1)
    return save(folder, WhisperForConditionalGeneration, WhisperConfig(**settings), seed, extractor)


def tiny_ast(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """An Audio Spectrogram Transformer (windows of 64 frames of 16 bands; patches of 8, every 6: 2 rows of 10)."""
    settings: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 4, "patch_size": 8, "frequency_stride": 6, "time_stride": 6}
    settings |= {"max_length": 64, "num_mel_bins": 16, "initializer_range": SPREAD} | config
    extractor = ASTFeatureExtractor(num_mel_bins=settings["num_mel_bins"], max_length=settings["max_length"])
    return save(folder, ASTForAudioClassification, ASTConfig(**settings), seed, extractor)


def tiny_clap(folder: Path | str, *, seed: int = 0, words: int = 64, **audio: Any) -> Path:
    """A whole CLAP (windows of a second; 4 rows of 16 tokens of width 32) with its feature extractor.

    Its tower of words knows `words` tokens. `audio` replaces fields of its tower of sounds; with `enable_fusion` it
    fuses.
    """
    settings: dict[str, Any] = {"patch_embeds_hidden_size": 8, "depths": [1, 1, 1], "num_attention_heads": [2, 2, 2]}
    settings |= {"spec_size": 128, "num_mel_bins": 64, "window_size": 4, "hidden_size": 32, "aff_block_r": 2} | audio
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    truncation = "fusion" if settings.get("enable_fusion") else "rand_trunc"
    extractor = ClapFeatureExtractor(
        sampling_rate=16_000, hop_length=160, max_length_s=1, frequency_max=8000, truncation=truncation
    )
    config = ClapConfig(text_config=text | {"vocab_size": words}, audio_config=settings, projection_dim=32)
    return save(folder, ClapModel, config, seed, extractor)


def tiny_hubert(folder: Path | str, model: Any = HubertModel, *, seed: int = 0, **config: Any) -> Path:
    """HuBERT or its kin (`Wav2Vec2Model`, `WavLMModel`): 400 samples make a token of width 32, 320 more another."""
    settings: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 4, "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4}
    settings |= {"num_conv_pos_embeddings": 16, "initializer_range": SPREAD} | config
    return save(folder, model, model.config_class(**settings), seed, Wav2Vec2FeatureExtractor())


def tiny_beats(folder: Path | str, *, seed: int = 0, **cfg: Any) -> Path:
    """A BEATs as its authors write it, a classifier behind it: 2 blocks of width 32; each weight by its own name."""
    settings: dict[str, Any] = {"embed_dim": 16, "encoder_layers": 2, "encoder_embed_dim": 32, "conv_pos": 16}
    settings |= {"encoder_ffn_embed_dim": 64, "encoder_attention_heads": 4, "conv_pos_groups": 4, "num_buckets": 32}
    settings |= {"max_distance": 40, "predictor_class": 7, "finetuned_model": True} | cfg
    full = _beats.Architecture.model_validate(settings).model_dump() | settings
    with torch.device("meta"):
        own = _beats.Beats(_beats.Architecture.model_validate(full)).state_dict()
    shapes = {_authors_name(name): tensor.shape for name, tensor in own.items()}
    table = "encoder.layers.0.self_attn.relative_attention_bias.weight"
    shapes |= {"predictor.weight": torch.Size([7, 32]), "predictor.bias": torch.Size([7])}
    weights = {name: by_name(name, shape, seed) for name, shape in shapes.items()}
    if table in weights:
        weights |= {table.replace(".0.", f".{n}."): weights[table] for n in range(1, full["encoder_layers"])}
    Path(folder).mkdir(parents=True, exist_ok=True)
    torch.save({"cfg": full, "model": weights}, Path(folder) / "BEATs_tiny.pt")
    return Path(folder)


def _authors_name(name: str) -> str:
    """The name of a tensor of BEATs in its authors' checkpoints."""
    for authors, ours in _beats.NAMES.items():
        if found := re.match(_beats.beginning(ours), name):
            return authors.replace("*", *found.groups() or [""]) + name[found.end() :]
    return name
