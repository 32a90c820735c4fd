"""A system that makes clips along a flow: what makes its conditions and adapters in its denoiser learn, and it is asked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from modalink import modalities
from modalink.inference import Session
from modalink.model import System
from modalink.recipe import Recipe
from modalink.recipe.groups import Group
from modalink.testing.clip_pipelines import tiny_ltx
from modalink.training.train import train
from tests.integration.test_any_to_any import pairs
from tests.support.run_files import records_of

LORA, PROJECTOR = Group.denoiser_lora("video"), "outputs.video.projector"


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe], tmp_path: Path) -> Recipe:
    generator = {"kind": "ltx", "checkpoint": str(tiny_ltx(tmp_path / "ltx")), "size": "24x16", "frames": 3, "fps": 10}
    generator |= {"text_tokens": 8, "steps": 2, "lora": {"rank": 2, "alpha": 4}}
    stage = {
        "name": "restore",
        "train": {PROJECTOR: {"lr": 1e-2}, LORA: {"lr": 1e-2}},
        "objectives": [{"kind": "diffusion"}],
        "data": [pairs(tmp_path / "pairs", "video")],
        "mixture": "ratio",
        "batch": 3,
        "steps": 15,
        "warmup": 0,
        "schedule": "constant",
        "precision": "float32",
    }
    plain = make_recipe().to_dict()
    plain["outputs"] = {"video": plain["outputs"]["image"] | {"generator": generator}}
    return Recipe.model_validate(plain | {"stages": [stage]})


def test_it_learns_to_restore_clips_and_makes_them(recipe: Recipe, tmp_path: Path) -> None:
    run = train(recipe, tmp_path / "run")
    records = records_of(run, "restore")
    assert all(set(record["grad_norms"]) == {PROJECTOR, LORA} for record in records)
    assert min(norm for record in records for norm in record["grad_norms"].values()) > 0
    losses = [record["losses"]["diffusion"] for record in records]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    system = System.load(run / "model")
    signals = system.model.config.signals["video"]
    spoken = torch.tensor(signals[:1])
    system.model.get_output_embeddings().register_forward_hook(
        lambda module, args, logits: logits.index_fill(-1, spoken, 1e4)
    )
    asked = {"max_media": 1, "max_new_tokens": len(signals)}
    answer = Session(system).ask("Make something.", frames=5, **asked)
    ((kind, clip),) = answer.media
    assert (answer.notes, kind, clip.num_frames, clip.size) == ((), "video", 5, (24, 16))
    (path,) = answer.save_media(tmp_path / "media")
    assert np.array_equal(np.asarray(modalities.get("video").read(path)), np.asarray(clip))
    refused = Session(system).ask("Make something.", frames=4, **asked)
    assert "frames: found 4, needed one more than a multiple of 2" in refused.notes[0] and refused.media == []
