"""Tiny random voices in the formats that released ones have; the same seed writes the same weights."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    SpeechT5Config,
    SpeechT5ForTextToSpeech,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    VitsConfig,
    VitsModel,
    VitsTokenizer,
)

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,?!'-"
_SPREAD = 0.2


def tiny_speecht5(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A SpeechT5 that speaks: 8 bands, 2 frames a step, speakers of 12 numbers; its vocabulary as SentencePiece's."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *LETTERS]
    settings: dict[str, Any] = {"vocab_size": len(pieces), "hidden_size": 16, "num_mel_bins": 8}
    settings |= {f"{side}_layers": 1 for side in ("encoder", "decoder")}
    settings |= {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
    settings |= {f"{side}_ffn_dim": 32 for side in ("encoder", "decoder")}
    settings |= {"speech_decoder_prenet_units": 8, "speech_decoder_postnet_units": 8, "speaker_embedding_dim": 12}
    settings |= {"max_text_positions": 60, "max_speech_positions": 400, "initializer_range": _SPREAD}
    path = _saved(folder, SpeechT5ForTextToSpeech, SpeechT5Config(**(settings | config)), seed)
    state = load_file(path / "model.safetensors")
    state["speech_decoder_postnet.prob_out.bias"] -= 2.5  # else it stops at once
    save_file(state, path / "model.safetensors", metadata={"format": "pt"})
    (path / "spm_char.model").write_bytes(b"".join(_field(1, _field(1, piece.encode())) for piece in pieces))
    return path


def tiny_hifigan(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A HiFi-GAN: 8 bands in, 4 samples a frame out, 16 kHz."""
    settings: dict[str, Any] = {"model_in_dim": 8, "upsample_initial_channel": 8, "upsample_rates": [2, 2]}
    settings |= {"upsample_kernel_sizes": [4, 4], "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3]]}
    settings |= {"initializer_range": _SPREAD}
    return _saved(folder, SpeechT5HifiGan, SpeechT5HifiGanConfig(**(settings | config)), seed)


def tiny_vits(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A VITS that reads characters: 8 samples a frame, 16 kHz."""
    vocabulary = {c: number for number, c in enumerate(f"_ {LETTERS[:26]}'-")}
    settings: dict[str, Any] = {"vocab_size": len(vocabulary), "hidden_size": 8, "num_hidden_layers": 1, "ffn_dim": 16}
    settings |= {"flow_size": 8, "spectrogram_bins": 9, "upsample_initial_channel": 8, "upsample_rates": [4, 2]}
    settings |= {"upsample_kernel_sizes": [8, 4], "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3]]}
    settings |= {"duration_predictor_filter_channels": 8, "posterior_encoder_num_wavenet_layers": 1}
    settings |= {"prior_encoder_num_wavenet_layers": 1, "initializer_range": _SPREAD}
    path = _saved(folder, VitsModel, VitsConfig(**(settings | config)), seed)
    (path / "vocab.json").write_text(json.dumps(vocabulary))
    VitsTokenizer(path / "vocab.json", pad_token="_", unk_token="_", phonemize=False).save_pretrained(path)
    return path


def _field(number: int, value: bytes) -> bytes:
    """A field of a protobuf message that holds text or a message, of less than 128 bytes."""
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def _saved(folder: Path | str, model: Any, config: Any, seed: int) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model(config).save_pretrained(folder)
    return Path(folder)
