"""NExT-GPT and CoDi-2 make what they make: pictures, clips and sounds, learned through all their stages at tiny size.

With `--tiny` clips and sounds are made by the zoo's generators, which are of other kinds; here they have tiny random ones
of their own kinds, learned by what they are published with.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from modalink import modalities
from modalink.inference import Session
from modalink.model import System
from modalink.recipe import Recipe, load
from modalink.recipe.tiny import tiny_form
from modalink.testing.pipelines import tiny_zeroscope
from modalink.testing.sound_pipelines import tiny_audioldm, tiny_audioldm2
from modalink.training.train import train

SOUNDS = {"audioldm": tiny_audioldm, "audioldm2": tiny_audioldm2}
VIDEO: dict[str, Any] = {"size": None, "frames": 2, "steps": 2}


def pairs(folder: Path, modality: str) -> dict[str, Any]:
    """Three media of a modality with captions, to be made."""
    folder.mkdir()
    record = modalities.get(modality)
    for number, caption in enumerate(("a red cube", "a blue ball", "a tone")):
        record.write(record.example(number), folder / f"{number}{record.written}")
        (folder / f"{number}.txt").write_text(caption)
    return {"source": "pairs", "path": str(folder), "modality": modality, "direction": "draw", "weight": 0.25}


def whole(name: str, folder: Path) -> Recipe:
    """The recipe at tiny size with everything that goes out, and two steps a stage."""
    full = load(name)
    data = tiny_form(full) | {"name": "whole"}
    kind = full.outputs["audio"].generator.kind
    made = {"video": (tiny_zeroscope, VIDEO), "audio": (SOUNDS[kind], {"seconds": None, "steps": 2})}
    given = []
    for modality, (pipeline, options) in made.items():
        output = full.outputs[modality]
        own = output.model_dump(mode="json")
        links = {name: link.tiny().model_dump(mode="json") for name, link in output.links.items()}
        own |= {"projector": links[""]} if "" in links else {"projectors": links}
        if modality == "audio" and kind == "audioldm2":
            own["generator"]["text_tokens"], own["projectors"]["tokens"]["tokens"] = 8, 4
        own["generator"] |= options | {"checkpoint": str(pipeline(folder / modality))}
        data["outputs"][modality] = own
        given.append(pairs(folder / f"{modality} pairs", modality))
    for stage, published in zip(data["stages"], full.stages, strict=True):
        stage |= {"steps": 2, "batch": 24, "warmup": 0, "precision": "float32"}
        stage["objectives"] = published.model_dump(mode="json")["objectives"]
        new = {group: {"lr": 1e-3} for group in published.train if group.startswith(("outputs.video", "outputs.audio"))}
        if new:
            stage["train"] |= new
            stage["data"] = [{**source, "weight": 1.0} for source in stage["data"]] + given
            stage["mixture"] = "ratio"
    return Recipe.model_validate(data)


@pytest.mark.parametrize("name", ["next-gpt-7b", "codi-2-7b"])
def test_it_learns_in_all_stages_and_makes_every_modality(name: str, tmp_path: Path) -> None:
    recipe = whole(name, tmp_path)
    system = System.load(train(recipe, tmp_path / "run") / "model")
    head = system.model.get_output_embeddings()
    for modality in recipe.outputs:
        run = system.model.config.signals[modality]
        spoken = torch.tensor(run[:1])
        hook = head.register_forward_hook(lambda module, args, logits, said=spoken: logits.index_fill(-1, said, 1e4))
        longer = {"seconds": 0.1} if modality == "audio" else {}  # than the encoder's shortest sound
        answer = Session(system).ask("Make something.", max_media=1, max_new_tokens=len(run), **longer)
        hook.remove()
        assert answer.notes == () and [kind for kind, _ in answer.media] == [modality]
        (path,) = answer.save_media(tmp_path / "media")
        assert modalities.get(modality).open(path).read() is not None
