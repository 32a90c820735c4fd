"""A projector that learned to draw with Stable Diffusion drives AnimateDiff as it is: motion is all that differs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from modalink.conversation import Conversation
from modalink.inference import Engine, Request, Sampling
from modalink.model import System, skeleton
from modalink.recipe import Recipe
from modalink.testing.pipelines import tiny_motion_adapter
from modalink.training.train import train


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe], instruct: Callable[..., dict], tmp_path: Path) -> Recipe:
    data = make_recipe(instruct(steps=3)).to_dict()
    image = data["outputs"]["image"]
    image["generator"] |= {"solver": "ddim", "steps": 3, "guidance": 3.0}
    motion = str(tiny_motion_adapter(tmp_path / "motion"))
    film = {"kind": "animatediff", "checkpoint": image["generator"]["checkpoint"], "motion": motion, "frames": 1}
    film |= {
        "beta_schedule": "checkpoint",
        "steps": 3,
        "guidance": 3.0,
    }  # the noise of pictures, so that both walk alike
    data["outputs"]["video"] = {"signal_tokens": 2, "use": "image", "generator": film}
    return Recipe.model_validate(data)


def test_a_projector_that_learned_to_draw_drives_animatediff(recipe: Recipe, tmp_path: Path) -> None:
    assert [name for name in skeleton(recipe).trainable_groups() if name.startswith("outputs")] == [
        "outputs.image.projector"
    ]
    system = System.load(train(recipe, tmp_path / "run") / "model")
    pictures, films = system.generators["image"], system.generators["video"]
    own = pictures.unet.state_dict()
    moving = {name: weight for name, weight in films.unet.state_dict().items() if "motion_modules" not in name}
    assert own.keys() == moving.keys() and all(torch.equal(weight, moving[name]) for name, weight in own.items())

    drawn, filmed = (ask(system, modality) for modality in ("image", "video"))
    conditions = drawn.conditions["image"]["tokens"]
    assert torch.equal(conditions, filmed.conditions["video"]["tokens"])
    picture, clip = np.asarray(drawn.media[0].source).astype(int), np.asarray(filmed.media[0].source)[0].astype(int)
    assert picture.shape == clip.shape
    assert np.abs(picture - clip).max() > 1, "the motion adapter moves it"
    for name, parameter in films.unet.named_parameters():
        if "motion_modules" in name and "proj_out" in name:
            parameter.zero_()
    (still,) = ask(system, "video").media
    assert np.abs(picture - np.asarray(still.source)[0].astype(int)).max() <= 1


def ask(system: System, modality: str):
    """Its answer to one question, which begins with a medium."""
    spoken = torch.tensor(system.model.config.signals[modality][:1])
    head = system.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, args, logits: logits.index_fill(-1, spoken, 1e4))
    question = Conversation.from_messages([{"role": "user", "content": "Show a red cube."}])
    prompt = system.processor.prepare(question, reply=True)
    (completion,) = Engine(system).generate([Request(prompt, Sampling(max_new_tokens=2, seed=3))])
    hook.remove()
    return completion
