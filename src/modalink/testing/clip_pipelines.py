"""Tiny random pipelines of transformers that make clips, in diffusers' format; a seed writes the same weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import T5Config, T5EncoderModel

from modalink.testing.sound_pipelines import ending_text, t5_sizes
from modalink.testing.tokenizers import tiny_tokenizer


def tiny_latte(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **transformer: Any) -> Path:
    """A Latte: T5's states of 24 numbers, clips of 3 frames of 32 px, 4-channel 16 x 16 latents in patches of 2 x 2."""
    folder = Path(folder)
    own: dict[str, Any] = {"sample_size": 16, "in_channels": 4, "out_channels": 8, "num_layers": 2, "patch_size": 2}
    own |= {"num_attention_heads": 2, "attention_head_dim": 8, "cross_attention_dim": 16, "caption_channels": 24}
    own |= {"norm_type": "ada_norm_single", "norm_elementwise_affine": False, "activation_fn": "gelu-approximate"}
    own |= {"attention_bias": True, "video_length": 3, "norm_eps": 1e-6}
    blocks: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 4, "latent_channels": 4}
    blocks |= {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    parts = {
        "transformer": lambda: diffusers.LatteTransformer3DModel(**(own | transformer)),
        "vae": lambda: diffusers.AutoencoderKL(**blocks, sample_size=32),
    }
    return _whole(folder, parts, scheduler or diffusers.DDIMScheduler(clip_sample=False), seed, "LattePipeline")


def tiny_ltx(
    folder: Path | str, *, scheduler: Any = None, seed: int = 0, vae: dict[str, Any] | None = None, **transformer: Any
) -> Path:
    """An LTX-Video: T5's states of 24 numbers, and a latent of 8 channels for 2 frames of 4 x 4 px.

    Args:
        folder: Where it is written.
        scheduler: A scheduler of diffusers; that of the published pipeline, its sizes fewer, if not given.
        seed: Of the weights.
        vae: Other settings of the autoencoder.
        transformer: Other settings of the transformer.
    """
    own: dict[str, Any] = {"in_channels": 8, "out_channels": 8, "num_attention_heads": 2, "attention_head_dim": 8}
    own |= {"cross_attention_dim": 16, "num_layers": 2, "caption_channels": 24}
    blocks: dict[str, Any] = {"latent_channels": 8, "patch_size": 2, "down_block_types": ("LTXVideoDownBlock3D",) * 2}
    blocks |= {"downsample_type": ("conv", "conv"), "upsample_residual": (False, False), "upsample_factor": (1, 1)}
    for side in ("", "decoder_"):
        blocks |= {f"{side}block_out_channels": (8, 8), f"{side}layers_per_block": (1, 1, 1)}
        blocks |= {f"{side}spatio_temporal_scaling": (True, False)}
    blocks |= {"decoder_inject_noise": (False, False, False)} | (vae or {})

    def autoencoder() -> Any:
        made = diffusers.AutoencoderKLLTXVideo(**blocks)
        torch.nn.init.normal_(made.latents_mean)
        torch.nn.init.uniform_(made.latents_std, 0.5, 2.0)
        return made

    parts = {"transformer": lambda: diffusers.LTXVideoTransformer3DModel(**(own | transformer)), "vae": autoencoder}
    shift = {"base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 16, "max_image_seq_len": 64}
    usual = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1, **shift)
    return _whole(Path(folder), parts, scheduler or usual, seed, "LTXPipeline")


def _whole(folder: Path, parts: dict[str, Callable[[], Any]], scheduler: Any, seed: int, pipeline: str) -> Path:
    """The folder of a pipeline of some networks, drawn in their order, behind T5's encoder."""
    tokenizer = tiny_tokenizer(bos=False)
    index: dict[str, Any] = {"_class_name": pipeline, "text_encoder": ["transformers", "T5EncoderModel"]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, make in parts.items():
            network = make()
            network.save_pretrained(folder / name)
            index[name] = ["diffusers", type(network).__name__]
        T5EncoderModel(T5Config(**t5_sizes(len(tokenizer)))).save_pretrained(folder / "text_encoder")
    ending_text(tokenizer).save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    index |= {"scheduler": ["diffusers", type(scheduler).__name__]}
    index |= {"tokenizer": ["transformers", type(tokenizer).__name__]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return folder
