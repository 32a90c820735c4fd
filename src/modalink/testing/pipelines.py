"""Tiny random pipelines of diffusers beside Stable Diffusion's, in the formats that released ones have."""

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Gemma2Config,
    Gemma2Model,
)

from modalink.testing.checkpoints import tiny_stable_diffusion
from modalink.testing.checkpoints.diffusion import NOISE, clip_text_config
from modalink.testing.tokenizers import tiny_clip_tokenizer, tiny_tokenizer

_VIDEO: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 2,
}


def tiny_stable_diffusion_xl(folder: Path | str, *, scheduler: Any = None, seed: int = 0) -> Path:
    """A Stable Diffusion XL folder: 32 px images, 16 tokens of width 32 + 24, a pooled vector of width 20."""
    folder = tiny_stable_diffusion(
        folder,
        scheduler=scheduler or diffusers.EulerDiscreteScheduler(**NOISE, steps_offset=1, timestep_spacing="leading"),
        seed=seed,
        cross_attention_dim=56,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=20 + 6 * 4,
    )
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_2")
    second = clip_text_config(tiny_clip_tokenizer(), 24, projection_dim=20)
    _save(folder / "text_encoder_2", lambda: CLIPTextModelWithProjection(second), seed)
    index = _index("StableDiffusionXLPipeline", folder, force_zeros_for_empty_prompt=True)
    index |= {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
    _write(folder, index | {"tokenizer_2": index["tokenizer"]}, drop=("safety_checker", "requires_safety_checker"))
    return folder


def tiny_stable_unclip(folder: Path | str, *, scheduler: Any = None, seed: int = 0) -> Path:
    """A Stable unCLIP folder of image variations: 32 px images from vectors of width 20 and no words."""
    folder = tiny_stable_diffusion(
        folder,
        scheduler=scheduler
        or diffusers.DDIMScheduler(**NOISE, clip_sample=False, steps_offset=1, prediction_type="v_prediction"),
        seed=seed,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=2 * 20,
    )
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**sizes, image_size=32, patch_size=8, projection_dim=20)
    _save(folder / "image_encoder", lambda: CLIPVisionModelWithProjection(vision), seed)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder / "feature_extractor")

    def normalizer() -> Any:
        made = StableUnCLIPImageNormalizer(20)
        torch.nn.init.normal_(made.mean)
        torch.nn.init.uniform_(made.std, 0.5, 2.0)
        return made

    _save(folder / "image_normalizer", normalizer, seed)
    noising = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    noising.save_pretrained(folder / "image_noising_scheduler")
    index = _index("StableUnCLIPImg2ImgPipeline", folder)
    index |= {
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "feature_extractor": ["transformers", type(processor).__name__],
        "image_normalizer": ["stable_diffusion", "StableUnCLIPImageNormalizer"],
        "image_noising_scheduler": ["diffusers", "DDPMScheduler"],
    }
    _write(folder, index, drop=("safety_checker", "requires_safety_checker"))
    return folder


def tiny_zeroscope(folder: Path | str, *, scheduler: Any = None, seed: int = 0) -> Path:
    """A text-to-video folder: 32 px frames, 4-channel 16 x 16 latents, 16 text tokens of width 32."""
    folder = tiny_stable_diffusion(folder, scheduler=scheduler, seed=seed)
    shutil.rmtree(folder / "unet")
    _save(folder / "unet", lambda: diffusers.UNet3DConditionModel(**_VIDEO), seed)
    index = _index("TextToVideoSDPipeline", folder) | {"unet": ["diffusers", "UNet3DConditionModel"]}
    _write(folder, index, drop=("safety_checker", "requires_safety_checker", "feature_extractor", "image_encoder"))
    return folder


def tiny_motion_adapter(folder: Path | str, *, seed: int = 0) -> Path:
    """A motion adapter for the UNet of `tiny_stable_diffusion`, for clips of at most 8 frames."""

    def adapter() -> Any:
        made = diffusers.MotionAdapter(
            block_out_channels=(8, 16),
            motion_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=4,
            motion_max_seq_length=8,
        )
        # A new adapter's last map is zero: it would move nothing.
        for name, parameter in made.named_parameters():
            if "proj_out" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        return made

    _save(Path(folder), adapter, seed)
    return Path(folder)


def tiny_sana(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **transformer: Any) -> Path:
    """A Sana folder: 32 px images, 8-channel 8 x 8 latents, text states of width 16."""
    folder, tokenizer = Path(folder), tiny_tokenizer()
    gemma = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    _save(folder / "text_encoder", lambda: Gemma2Model(gemma), seed)
    tokenizer.save_pretrained(folder / "tokenizer")
    sizes: dict[str, Any] = {"sample_size": 8, "in_channels": 8, "out_channels": 8, "num_layers": 2}
    sizes |= {"num_attention_heads": 2, "attention_head_dim": 8, "num_cross_attention_heads": 2}
    sizes |= {"cross_attention_head_dim": 8, "cross_attention_dim": 16, "caption_channels": 16}
    _save(folder / "transformer", lambda: diffusers.SanaTransformer2DModel(**(sizes | transformer)), seed)
    widths, layers, plain = (8, 8, 16), (1, 1, 1), ((), (), (5,))
    vae: dict[str, Any] = {"latent_channels": 8, "attention_head_dim": 4, "scaling_factor": 0.41407}
    for side in ("encoder", "decoder"):
        vae |= {f"{side}_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock")}
        vae |= {f"{side}_block_out_channels": widths, f"{side}_layers_per_block": layers}
        vae |= {f"{side}_qkv_multiscales": plain}
    _save(folder / "vae", lambda: diffusers.AutoencoderDC(**vae), seed)
    walker = scheduler or diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
    )
    walker.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "SanaPipeline",
        "scheduler": ["diffusers", type(walker).__name__],
        "text_encoder": ["transformers", "Gemma2Model"],
        "tokenizer": ["transformers", type(tokenizer).__name__],
        "transformer": ["diffusers", "SanaTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderDC"],
    }
    _write(folder, index)
    return folder


def _save(folder: Path, make: Any, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make().save_pretrained(folder)


def _index(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
    return index | {"_class_name": name, **more}


def _write(folder: Path, index: dict[str, Any], drop: tuple[str, ...] = ()) -> None:
    kept = {key: value for key, value in index.items() if key not in drop}
    (folder / "model_index.json").write_text(json.dumps(kept, indent=2) + "\n")
