"""Odd requests to generators that restore media from noise: a clear error before any work, or a medium that can be used."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modalink import modalities
from modalink.errors import GenerationError, Stopped
from modalink.generators.animatediff import AnimateDiffConfig
from modalink.generators.latte import LatteConfig
from modalink.generators.ltx import LtxConfig
from modalink.generators.sana import SanaConfig
from modalink.generators.shap_e import ShapEConfig
from modalink.generators.stable_audio import StableAudioConfig
from modalink.generators.stable_diffusion import StableDiffusionConfig
from modalink.generators.stable_diffusion_xl import StableDiffusionXlConfig
from modalink.generators.zeroscope import ZeroscopeConfig
from modalink.roles import Conditions
from modalink.testing import clip_pipelines, pipelines, sound_pipelines
from modalink.testing.checkpoints import tiny_stable_diffusion
from modalink.testing.shape_pipelines import tiny_shap_e

REQUESTS = 60
"""Of each generator: 540 in all."""
KINDS: dict[str, Callable[[Path], Any]] = {
    "stable_diffusion": lambda place: StableDiffusionConfig(checkpoint=str(tiny_stable_diffusion(place))),
    "stable_diffusion_xl": lambda place: StableDiffusionXlConfig(
        checkpoint=str(pipelines.tiny_stable_diffusion_xl(place))
    ),
    "zeroscope": lambda place: ZeroscopeConfig(checkpoint=str(pipelines.tiny_zeroscope(place)), frames=2),
    "animatediff": lambda place: AnimateDiffConfig(
        checkpoint=str(tiny_stable_diffusion(place / "pipeline")),
        motion=str(pipelines.tiny_motion_adapter(place / "motion")),
        frames=2,
    ),
    "latte": lambda place: LatteConfig(checkpoint=str(clip_pipelines.tiny_latte(place)), text_tokens=12),
    "ltx": lambda place: LtxConfig(checkpoint=str(clip_pipelines.tiny_ltx(place)), size=16, frames=3, text_tokens=12),
    "sana": lambda place: SanaConfig(checkpoint=str(pipelines.tiny_sana(place)), tokens=12),
    "stable_audio": lambda place: StableAudioConfig(checkpoint=str(sound_pipelines.tiny_stable_audio(place))),
    "shap_e": lambda place: ShapEConfig(checkpoint=str(tiny_shap_e(place)), grid=6),
}
NUMBERS = [0, -1, 1, 2, 10**6, 10**30, 1e-9, float("nan"), float("inf"), -0.0, "2", "many", True, b"1", [], 2.5]
SIZES = [0, 16, 33, "16x32", "32x", (16, 32), (0, 16), (16,), (10**6, 8), 2**14, "9" * 400, (8.0, 16.0), -16, {}, 4]
SECONDS = [1e-3, 6e-3, 6.1e-3, 1e-9, "0.002", "1 s", -1, 47.6, 4.7e-3]
TEXTS = ["", " ", "\x00", "a red cube", "<|endoftext|>", "\U0001f600" * 50, "word " * 999]


@pytest.mark.parametrize("kind", KINDS)
def test_odd_requests_end_in_words_or_in_a_medium(kind: str, tmp_path: Path) -> None:
    config = KINDS[kind](tmp_path / "parts")
    generator, chance = config.build(), random.Random(kind)
    record = modalities.get(min(config.makes()))
    works: list[int] = []
    network = next(getattr(generator, name) for name in ("unet", "transformer", "prior") if hasattr(generator, name))
    network.register_forward_pre_hook(lambda *_: works.append(0))
    outcomes = {"made": 0, "refused": 0, "stopped": 0}
    for number in range(REQUESTS):
        request, begun = _odd(generator, chance), len(works)
        try:
            (medium,) = generator.sample(**request)
        except Stopped:
            outcomes["stopped"] += 1
        except GenerationError as error:
            outcomes["refused"] += 1
            assert len(works) == begun, f"{request}: refused after work had begun: {error}"
            assert "found" in str(error) and len(str(error)) < 500, error
        else:
            outcomes["made"] += 1
            record.write(medium, tmp_path / f"{number}{record.written}")
            read = record.read(tmp_path / f"{number}{record.written}")
            shape = np.asarray(medium).shape
            # What reads a sound reads the mean of its channels.
            assert np.asarray(read).shape == (shape[:1] if record.name == "audio" else shape)
    assert min(outcomes.values()) >= 2, outcomes


def _odd(generator: Any, chance: random.Random) -> dict[str, Any]:
    """A request with one to three odd things about it."""
    conditions = generator.encode_text([chance.choice(TEXTS)])
    request: dict[str, Any] = {"rng": [torch.Generator().manual_seed(chance.randrange(9))], "steps": 2}
    request |= {"size": 16} if "size" in generator.options else {}
    for _ in range(chance.randint(1, 2)):
        match chance.randrange(6):
            case 0:
                conditions = _broken(conditions, chance)
            case 1:
                request["negative"] = chance.choice([generator.encode_text(["x"]), generator.encode_text(["x"] * 3)])
                request["guidance"] = chance.choice([0.5, 1.0, 4.0])
            case 2:
                stops = chance.choice([0, 1, 2])
                answers = iter([False] * stops + [True] * 99)
                request["should_stop"] = lambda answers=answers: next(answers)
            case 3:
                sized = "size" in generator.options
                request["size" if sized else "seconds"] = chance.choice(SIZES if sized else SECONDS)
            case 4:
                option = chance.choice(sorted(generator.options - {"size"}))
                request[option] = chance.choice([n for n in NUMBERS if (option, n) != ("steps", 10**6)])
            case 5:
                request[chance.choice(["rng", "colour", "frames"])] = chance.choice([[], [torch.Generator()] * 2])
    return {"conditions": conditions, **request}


def _broken(conditions: Conditions, chance: random.Random) -> Conditions:
    name, values = chance.choice(sorted(conditions.tensors.items(), key=lambda item: item[0]))
    poisoned = values.clone()
    poisoned.view(-1)[chance.randrange(values.numel())] = chance.choice([float("nan"), float("inf")])
    shapes = [poisoned, values[..., :-1], values[:, :1], values[:, None], torch.cat([values, values], 1)]
    masks = {} if chance.random() < 0.5 else dict(conditions.masks)
    broken = chance.choice(shapes)
    masks = {key: mask for key, mask in masks.items() if key != name or broken.shape[:-1] == mask.shape}
    return Conditions({**conditions.tensors, name: broken}, masks)
