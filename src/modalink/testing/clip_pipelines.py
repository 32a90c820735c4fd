"""Tiny random pipelines of transformers that make clips, in diffusers' format; a seed writes the same weights."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import T5Config, T5EncoderModel

from modalink.testing.sound_pipelines import ending_text, t5_sizes
from modalink.testing.tokenizers import tiny_tokenizer


def tiny_latte(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **transformer: Any) -> Path:
    """A Latte: T5's states of 24 numbers, clips of 3 frames of 32 px, 4-channel 16 x 16 latents in patches of 2 x 2."""
    folder, tokenizer = Path(folder), tiny_tokenizer(bos=False)
    own: dict[str, Any] = {"sample_size": 16, "in_channels": 4, "out_channels": 8, "num_layers": 2, "patch_size": 2}
    own |= {"num_attention_heads": 2, "attention_head_dim": 8, "cross_attention_dim": 16, "caption_channels": 24}
    own |= {"norm_type": "ada_norm_single", "norm_elementwise_affine": False, "activation_fn": "gelu-approximate"}
    own |= {"attention_bias": True, "video_length": 3, "norm_eps": 1e-6}
    blocks: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 4, "latent_channels": 4}
    blocks |= {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        diffusers.LatteTransformer3DModel(**(own | transformer)).save_pretrained(folder / "transformer")
        diffusers.AutoencoderKL(**blocks, sample_size=32).save_pretrained(folder / "vae")
        T5EncoderModel(T5Config(**t5_sizes(len(tokenizer)))).save_pretrained(folder / "text_encoder")
    ending_text(tokenizer).save_pretrained(folder / "tokenizer")
    walker = scheduler or diffusers.DDIMScheduler(clip_sample=False)
    walker.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "LattePipeline",
        "scheduler": ["diffusers", type(walker).__name__],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", type(tokenizer).__name__],
        "transformer": ["diffusers", "LatteTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return folder
