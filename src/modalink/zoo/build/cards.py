"""Writes parts: weights in bfloat16 safetensors, and the card that says how a part was made and how good it is."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn

from modalink import tensor_files
from modalink.devices import multiplies_bfloat16
from modalink.zoo.build.loop import Metrics, Schedule
from modalink.zoo.build.options import Options

_ABOUT = {
    "llm": "Llama language model that knows the tiny world in words; lower-case byte-level tokenizer, ChatML.",
    "t5": "T5 in the form of Flan-T5, an encoder-decoder for tiny forms; tokenizer and template of `llm`.",
    "vision": "CLIP vision tower (patch 8, 64 patch tokens). Read its last layer: there each patch knows its object.",
    "audio": "Whisper's encoder for windows of two seconds, a token for 20 ms; each knows the note that sounds there.",
    "video": "VideoMAE tower for eight frames, 4 x 4 patches of each two; each token knows the object that it shows.",
    "points": "Point-BERT over 32 neighbourhoods of coloured points; each knows the solid that it lies on.",
    "unified": "ImageBind's towers for pictures, clips and sounds, whose tokens know what they show.",
    "text": "CLIP text tower that turns captions into conditions for the UNet.",
    "vae": "Image autoencoder of Stable Diffusion's kind: 64 x 64 pixels to 4 x 16 x 16 latents.",
    "unet": "Conditional UNet of Stable Diffusion's kind, v-prediction, with classifier-free guidance.",
    "sound_classifier": "Small convolutional network that reads sounds back into notes; used in training no "
    "other part.",
    "sound_lm": "MusicGen over codes of partials: captions to sounds of 2 s at 16 kHz.",
    "sound_text": "T5's encoder of captions of sounds, as that of `sound_lm` begins.",
    "solid_text": "CLIP's text tower, whose one vector of a caption conditions the prior of solids.",
    "clip_text": "T5's encoder, whose states of a caption condition the transformer of clips.",
    "clip_transformer": "Latte's transformer over the latents of eight frames, which predicts them clean.",
    "clip_classifier": "Small convolutional network that reads clips back into actors; used in training no other part.",
    "solid_renderer": "Shap-E's renderer: 64 x 8 latents to a network that knows depth and colour of a solid's points.",
    "solid_prior": "Shap-E's prior: restores the latents of solids from noise, given a caption's vector.",
    "solid_classifier": "Small network over points that reads clouds and meshes back into solids; used in training no "
    "other part.",
    "scene_classifier": "Small convolutional network that reads pictures back into objects; used in training no other "
    "part.",
}


def save_bf16(module: nn.Module, folder: Path) -> None:
    """Save a transformers or diffusers model in bfloat16 without touching the one in training."""
    copy = deepcopy(module).to(torch.bfloat16)
    copy.save_pretrained(folder)  # type: ignore[operator]  # both families have it
    tensor_files.share(folder)


def save_tensors_bf16(module: nn.Module, folder: Path) -> None:
    """Save the weights alone in bfloat16, of a model whose shape is said elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in module.state_dict().items()}
    tensor_files.save(weights, folder / "model.safetensors")


def write_index(folder: Path, pipeline: str, parts: Mapping[str, Any], card: str) -> None:
    """Write what a folder of parts is as a pipeline of diffusers, and its card.

    Args:
        folder: The pipeline's.
        pipeline: Class of diffusers.
        parts: Subfolder -> library and class, or what else the index says.
        card: The card's text.
    """
    index = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__, **parts}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "README.md").write_text(HEAD + card)


HEAD = "---\nlicense: apache-2.0\n---\n\n"
"""What every card begins with, as the hub reads it."""


def write(
    options: Options,
    name: str,
    folder: str,
    schedule: Schedule,
    module: nn.Module,
    validation: Metrics,
    test: Metrics,
    code: str = "",
) -> None:
    """Write the model card of a finished part into its folder; `code` is the module of its builder, if not `name`."""
    arithmetic = "bfloat16 autocast" if multiplies_bfloat16(torch.device("cpu")) else "float32"
    parameters = sum(parameter.numel() for parameter in module.parameters())
    figures = "\n".join(f"| {key} | {value:.4g} |" for key, value in test.items())
    target = options.out / folder
    target.mkdir(parents=True, exist_ok=True)
    (target / "README.md").write_text(
        f"{HEAD}# {folder}\n\n{_ABOUT[name]}\n\n"
        f"- Made by: `modalink zoo build {name}` (seed {schedule.seed}), on a CPU in {arithmetic}.\n"
        f"- Trained: {schedule.steps} steps of {schedule.batch} samples, AdamW, learning rate {schedule.lr:g}, "
        f"{validation.get('seconds', 0):.0f} s.\n"
        "- Data: the procedural tiny world of `modalink.tiny_world`, training split only.\n"
        f"- Size: {parameters:,} parameters, stored in bfloat16.\n- Licence: Apache-2.0, like the package.\n\n"
        f"Held-out test split (compositions never seen in training; see `modalink/zoo/build/{code or name}.py`):\n\n"
        f"| measure | value |\n| --- | --- |\n{figures}\n"
    )
    (options.work / name / "result.json").write_text(json.dumps({"validation": validation, "test": test}, indent=1))
