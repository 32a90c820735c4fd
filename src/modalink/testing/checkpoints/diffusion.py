"""A tiny Stable Diffusion, and the text encoder that other tiny pipelines have too."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from modalink.testing.checkpoints._drawn import save
from modalink.testing.tokenizers import tiny_clip_tokenizer

NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
"""The noise schedule of Stable Diffusion."""
_UNET: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
_INDEX = """{
  "_class_name": "StableDiffusionPipeline",
  "feature_extractor": [null, null],
  "image_encoder": [null, null],
  "requires_safety_checker": false,
  "safety_checker": [null, null],
  "scheduler": ["diffusers", "SCHEDULER"],
  "text_encoder": ["transformers", "CLIPTextModel"],
  "tokenizer": ["transformers", "CLIPTokenizer"],
  "unet": ["diffusers", "UNet2DConditionModel"],
  "vae": ["diffusers", "AutoencoderKL"]
}
"""


def clip_text_config(tokenizer: CLIPTokenizer, width: int, **changes: Any) -> CLIPTextConfig:
    """A CLIP text encoder of two layers for the tokens of a tokenizer; `changes` replace or add fields."""
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "max_position_embeddings": tokenizer.model_max_length}
    marks = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return CLIPTextConfig(**{"vocab_size": len(tokenizer), **marks, **sizes, **changes})


def tiny_stable_diffusion(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **unet: Any) -> Path:
    """A Stable Diffusion pipeline folder: 32 px images, 4-channel 16 x 16 latents, 16 text tokens of width 32."""
    folder = Path(folder)
    tokenizer = tiny_clip_tokenizer()
    save(folder / "text_encoder", CLIPTextModel, clip_text_config(tokenizer, 32), seed, None)
    tokenizer.save_pretrained(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=32,
        ).save_pretrained(folder / "vae")
        UNet2DConditionModel(**(_UNET | unet)).save_pretrained(folder / "unet")
    walker = scheduler or DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    walker.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(_INDEX.replace("SCHEDULER", type(walker).__name__))
    return folder
