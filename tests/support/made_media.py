"""A small system that makes media of all kinds, and folders in official layouts."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import seeded_media
from PIL import Image
from plug_in import installing
from whistle import WhistleConfig

from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.lookers import tiny_clip
from modalink.tiny_world import describe, render, sample_scene


@pytest.fixture(scope="module")
def maker() -> Iterator[Callable[..., System]]:
    """Composes a system of the zoo that makes media of the words of its replies."""
    with installing() as install:
        install(seeded_media.SeededConfig)
        install(WhistleConfig)

        def make(modality: str = "image", *, reads: bool = True, kind: str = "seeded") -> System:
            seeing = {
                "image": {"encoder": {"kind": "vision", "checkpoint": "zoo:vision"}, "projector": {"kind": "linear"}}
            }
            generator = {"kind": kind, "modality": modality}
            if kind == "stable_diffusion":
                generator = {"kind": kind, "checkpoint": "zoo:diffusion", "steps": 2}
            spec = {
                "inputs": seeing if reads else {},
                "llm": {"checkpoint": "zoo:llm"},
                "prompt": {"template": "chatml", "system": ""},
                "outputs": {modality: {"generator": generator}},
            }
            return compose(SystemSpec.model_validate(spec))

        yield make


@pytest.fixture(scope="module")
def painter(maker: Callable[..., System]) -> System:
    """Reads images and makes them; no test changes it."""
    return maker()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_clip(tmp_path_factory.mktemp("lookers") / "clip"))


@pytest.fixture
def painter_run(painter: System, tmp_path: Path) -> Path:
    """A finished run of that system."""
    painter.save(tmp_path / "painter" / "model")
    return tmp_path / "painter"


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO's folder with six scenes of the tiny world, two captions each."""
    images, annotations = [], []
    for number in range(6):
        scene = sample_scene(number, "validation")
        name = f"COCO_val2014_{number + 1:012d}.png"
        path = tmp_path / "coco" / "val2014" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(render(scene))).save(path)
        images.append({"id": number + 1, "file_name": name})
        for caption in (describe(scene), f"this shows {describe(scene)}"):
            annotations.append({"id": len(annotations), "image_id": number + 1, "caption": caption})
    content = json.dumps({"images": images, "annotations": annotations})
    (tmp_path / "coco" / "captions_val2014.json").write_text(content, encoding="utf-8")
    return tmp_path / "coco"
