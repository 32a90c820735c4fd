"""Tiny random pipelines that make sounds, in diffusers' format; the same seed writes the same weights."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    AutoencoderOobleck,
    DDIMScheduler,
    EDMDPMSolverMultistepScheduler,
    StableAudioDiTModel,
    StableAudioProjectionModel,
    UNet2DConditionModel,
)
from tokenizers import processors
from transformers import (
    ClapConfig,
    ClapModel,
    ClapTextConfig,
    ClapTextModelWithProjection,
    EncodecConfig,
    GPT2Config,
    GPT2Model,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from modalink.testing.tokenizers import tiny_tokenizer
from modalink.testing.voices import tiny_hifigan

_NOISE: dict[str, Any] = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}
_NOISE |= {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
_BLOCKS: dict[str, Any] = {"sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 16)}
_BLOCKS |= {"layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 2}
_BLOCKS |= {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
_BLOCKS |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
_SPREAD = 0.2


def tiny_audioldm(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **unet: Any) -> Path:
    """An AudioLDM: CLAP's vectors of 16 numbers, 16 frames of 8 bands, 4 samples a frame at 16 kHz."""
    folder, tokenizer = Path(folder), _tokenizer()
    own = {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 16}
    own |= {"class_embeddings_concat": True, "cross_attention_dim": (8, 16)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text = ClapTextConfig(**_clap_text(len(tokenizer)))
        ClapTextModelWithProjection(text).save_pretrained(folder / "text_encoder")
        UNet2DConditionModel(**(_BLOCKS | own | unet)).save_pretrained(folder / "unet")
        _vae().save_pretrained(folder / "vae")
    tokenizer.save_pretrained(folder / "tokenizer")
    return _whole(folder, scheduler, seed, "AudioLDMPipeline")


def tiny_audioldm2(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **unet: Any) -> Path:
    """An AudioLDM 2: GPT-2's states of 12 and T5's of 24 numbers, 16 frames of 8 bands, 4 samples a frame at 16 kHz."""
    folder, tokenizer = Path(folder), _tokenizer()
    blocks = {"cross_attention_dim": ((None, 12, 24),) * 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sounds = {"patch_embeds_hidden_size": 8, "depths": [1, 1, 1], "num_attention_heads": [2, 2, 2]}
        sounds |= {"spec_size": 128, "num_mel_bins": 64, "window_size": 4, "hidden_size": 32, "aff_block_r": 2}
        clap = ClapConfig(text_config=_clap_text(len(tokenizer)), audio_config=sounds, projection_dim=16)
        ClapModel(clap).save_pretrained(folder / "text_encoder")
        T5EncoderModel(T5Config(**t5_sizes(len(tokenizer)))).save_pretrained(folder / "text_encoder_2")
        gpt2: dict[str, Any] = {"vocab_size": 8, "n_embd": 12, "n_layer": 2, "n_head": 2, "n_positions": 64}
        gpt2 |= {"initializer_range": _SPREAD, "bos_token_id": 0, "eos_token_id": 0}
        GPT2Model(GPT2Config(**gpt2)).save_pretrained(folder / "language_model")
        AudioLDM2ProjectionModel(16, 24, 12).save_pretrained(folder / "projection_model")
        AudioLDM2UNet2DConditionModel(**(_BLOCKS | blocks | unet)).save_pretrained(folder / "unet")
        _vae().save_pretrained(folder / "vae")
    tokenizer.save_pretrained(folder / "tokenizer")
    ending_text(tokenizer).save_pretrained(folder / "tokenizer_2")
    return _whole(folder, scheduler, seed, "AudioLDM2Pipeline")


def tiny_stable_audio(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **transformer: Any) -> Path:
    """A Stable Audio: T5's states of 24 numbers, 12 latents of 8 samples in stereo at 16 kHz, 6 ms in all."""
    folder, tokenizer = Path(folder), _tokenizer()
    own: dict[str, Any] = {"sample_size": 12, "in_channels": 4, "out_channels": 4, "num_layers": 2}
    own |= {"attention_head_dim": 8, "num_attention_heads": 2, "num_key_value_attention_heads": 1, "time_proj_dim": 8}
    own |= {"cross_attention_dim": 8, "cross_attention_input_dim": 16, "global_states_input_dim": 32}
    codec: dict[str, Any] = {"encoder_hidden_size": 8, "decoder_channels": 4, "decoder_input_channels": 4}
    codec |= {"downsampling_ratios": [2, 4], "channel_multiples": [1, 2], "sampling_rate": 16_000}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        StableAudioDiTModel(**(own | transformer)).save_pretrained(folder / "transformer")
        AutoencoderOobleck(**codec).save_pretrained(folder / "vae")
        StableAudioProjectionModel(24, 16, 0, 4).save_pretrained(folder / "projection_model")
        T5EncoderModel(T5Config(**t5_sizes(len(tokenizer)))).save_pretrained(folder / "text_encoder")
    ending_text(tokenizer).save_pretrained(folder / "tokenizer")
    scheduler = scheduler or EDMDPMSolverMultistepScheduler(sigma_data=1.0, prediction_type="v_prediction")
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableAudioPipeline"}))
    return folder


def tiny_musicgen(folder: Path | str, *, seed: int = 0, **decoder: Any) -> Path:
    """A MusicGen: T5's states of 24 numbers, 4 codebooks of 1,024, 8 samples a step at 16 kHz."""
    tokenizer, folder = _tokenizer(), Path(folder)
    own: dict[str, Any] = {
        "vocab_size": 1024,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "ffn_dim": 32,
        "num_attention_heads": 2,
    }
    own |= {"pad_token_id": 1024, "bos_token_id": 1024, "max_position_embeddings": 64, "initializer_factor": 0.5}
    codec: dict[str, Any] = {"num_filters": 4, "upsampling_ratios": [4, 2], "codebook_dim": 8, "hidden_size": 8}
    codec |= {"sampling_rate": 16_000, "target_bandwidths": [80.0], "use_causal_conv": False}
    config = MusicgenConfig(
        text_encoder=T5Config(**t5_sizes(len(tokenizer))),
        audio_encoder=EncodecConfig(**codec),
        decoder=MusicgenDecoderConfig(**(own | decoder)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MusicgenForConditionalGeneration(config)
        for layer in model.audio_encoder.quantizer.layers:  # they begin as zeros
            layer.codebook.embed.normal_()
        model.generation_config.update(decoder_start_token_id=1024, pad_token_id=1024, bos_token_id=1024)
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def t5_sizes(vocabulary: int) -> dict[str, Any]:
    sizes = {"d_model": 24, "d_kv": 6, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    return sizes | {"vocab_size": vocabulary, "pad_token_id": 0, "eos_token_id": 2}


def _tokenizer() -> Any:
    tokenizer = tiny_tokenizer(bos=False)
    tokenizer.model_max_length = 16
    return tokenizer


def ending_text(tokenizer: Any) -> Any:
    """The tokenizer with T5's token behind each text."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.eos_token_id)]
    )
    return tokenizer


def _clap_text(vocabulary: int) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    return sizes | {"vocab_size": vocabulary, "projection_dim": 16, "pad_token_id": 0, "initializer_range": _SPREAD}


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )


def _whole(folder: Path, scheduler: Any, seed: int, pipeline: str) -> Path:
    tiny_hifigan(folder / "vocoder", seed=seed)
    (scheduler or DDIMScheduler(**_NOISE)).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    return folder
