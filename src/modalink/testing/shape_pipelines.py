"""Tiny random pipelines that make meshes, in diffusers' format; the same seed writes the same weights."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import HeunDiscreteScheduler, PriorTransformer
from diffusers.pipelines.shap_e import ShapERenderer
from transformers import (
    CLIPImageProcessor,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
)

from modalink.testing.checkpoints.diffusion import clip_text_config
from modalink.testing.tokenizers import tiny_clip_tokenizer
from modalink.zoo.build.marching_cubes import marching_cubes

_SMALL: dict[str, Any] = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_SMALL |= {"initializer_range": 0.2, "initializer_factor": 5.0}
_PRIOR: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "embedding_dim": 16}
_PRIOR |= {"num_embeddings": 16, "additional_embeddings": 0, "time_embed_act_fn": "gelu", "norm_in_type": "layer"}
_PRIOR |= {"encoder_hid_proj_type": None, "added_emb_type": None, "time_embed_dim": 32, "clip_embed_dim": 32}
_RENDERER: dict[str, Any] = {"param_names": ("nerstf.mlp.0.weight", "nerstf.mlp.1.weight"), "d_latent": 16}
_RENDERER |= {"param_shapes": ((8, 93), (8, 8)), "d_hidden": 8, "n_hidden_layers": 3, "insert_direction_at": 2}
_NOISE: dict[str, Any] = {"beta_schedule": "exp", "num_train_timesteps": 1024, "prediction_type": "sample"}
_NOISE |= {"use_karras_sigmas": True, "clip_sample": True}
_WIDTHS = {"text": 20, "image": 16}


def tiny_shap_e(
    folder: Path | str,
    *,
    reads: Literal["text", "image"] = "text",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **renderer: Any,
) -> Path:
    """A Shap-E: 16 x 16 latents; a vector of 20 numbers of a text, or 4 x 16 states of a picture of 16 px."""
    folder = Path(folder)
    own = {"embedding_proj_dim": _WIDTHS[reads], "embedding_proj_norm_type": "layer" if reads == "image" else None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower: Any = _text_tower(folder) if reads == "text" else _image_tower(folder)
        parts = {
            "text_encoder" if reads == "text" else "image_encoder": tower,
            "prior": PriorTransformer(**_PRIOR, **own),
            "shap_e_renderer": ShapERenderer(**(_RENDERER | renderer)),
        }
    table = parts["shap_e_renderer"].mesh_decoder
    table.cases, table.masks = marching_cubes()
    for name, part in parts.items():
        torch.nn.Module.to(part, dtype)
        part.save_pretrained(folder / name)
    HeunDiscreteScheduler(**_NOISE).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "ShapEPipeline" if reads == "text" else "ShapEImg2ImgPipeline",
        "prior": ["diffusers", "PriorTransformer"],
        "scheduler": ["diffusers", "HeunDiscreteScheduler"],
        "shap_e_renderer": ["shap_e", "ShapERenderer"],
    }
    both = {
        "text": {"text_encoder": "CLIPTextModelWithProjection", "tokenizer": "CLIPTokenizer"},
        "image": {"image_encoder": "CLIPVisionModel", "image_processor": "CLIPImageProcessor"},
    }
    index |= {name: ["transformers", kind] for name, kind in both[reads].items()}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return folder


def _text_tower(folder: Path) -> CLIPTextModelWithProjection:
    tokenizer = tiny_clip_tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    config = clip_text_config(tokenizer, 16, projection_dim=_WIDTHS["text"], **_SMALL)
    return CLIPTextModelWithProjection(config)


def _image_tower(folder: Path) -> CLIPVisionModel:
    side = {"height": 16, "width": 16}
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=side).save_pretrained(folder / "image_processor")
    return CLIPVisionModel(CLIPVisionConfig(hidden_size=_WIDTHS["image"], image_size=16, patch_size=8, **_SMALL))
