"""A projector whose sections come from a checkpoint: what is saved, what is referenced, what a stage trains."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from modalink.errors import PartError, UnknownNameError
from modalink.model import System, compose, skeleton
from modalink.model.groups import inner_name, table
from modalink.recipe import Recipe, SystemSpec, TrainGroup, train_groups
from modalink.recipe.tiny import tiny_form
from modalink.runs.manifest import manifest
from modalink.testing.checkpoints import tiny_blip2, tiny_clip_vision, tiny_llama
from modalink.training.freezing import freeze

PROJECTOR = "inputs.image.projector"
SIZES = {"width": 16, "layers": 3, "heads": 4, "feed_forward": 32, "queries": 5}
EXIT = {f"{PROJECTOR}.exit": TrainGroup(lr=1e-3)}


@pytest.fixture
def spec(tmp_path: Path) -> SystemSpec:
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(tmp_path / "vision"))}
    projector = {"kind": "q_former", "checkpoint": str(tiny_blip2(tmp_path / "blip2")), **SIZES}
    return SystemSpec.model_validate(
        {
            "inputs": {"image": {"encoder": encoder, "projector": projector}},
            "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))},
            "prompt": {"template": "vicuna-v1.1"},
        }
    )


def learned(system: System, train: dict[str, TrainGroup]) -> set[str]:
    """Let some groups learn, change what learns, and give the sections that did."""
    trained = freeze(system.model, system.model.trainable_groups(), train)
    before = {name: parameter.detach().clone() for name, parameter in system.model.named_parameters()}
    with torch.no_grad():
        for members in trained.values():
            for _, parameter in members:
                parameter.add_(0.1)
    changed = [n for n, p in system.model.named_parameters() if not torch.equal(p, before[n])]
    return {".".join(inner_name(name).split(".")[:4]) for name in changed}


def references(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())["references"]
    return found


def test_the_stage_trains_exactly_the_sections_it_names(spec: SystemSpec) -> None:
    system = compose(spec)
    assert {f"{PROJECTOR}.{name}" for name in ("queries", "q_former", "exit")} < {*train_groups(spec)}
    assert learned(system, EXIT) == {f"{PROJECTOR}.exit"}
    both = {f"{PROJECTOR}.queries": TrainGroup(lr=1e-4), PROJECTOR: TrainGroup(lr=1e-3)}
    trained = freeze(system.model, system.model.trainable_groups(), both)
    assert [name for name, _ in trained[f"{PROJECTOR}.queries"]] == ["model.input_projectors.image.queries"]
    assert all(not name.endswith("queries") for name, _ in trained[PROJECTOR]) and len(trained[PROJECTOR]) > 10
    with pytest.raises(UnknownNameError, match=rf"'{PROJECTOR}.exid'"):
        freeze(system.model, system.model.trainable_groups(), {f"{PROJECTOR}.exid": TrainGroup(lr=1.0)})


def test_the_table_tells_which_sections_learn(spec: SystemSpec) -> None:
    rows = {row.group: row for row in table(skeleton(spec).trainable_groups(), EXIT, {})}
    assert rows[f"{PROJECTOR}.exit"].parameters == 16 * 32 + 32 and rows[f"{PROJECTOR}.exit"].lr == 1e-3
    assert not rows[PROJECTOR].trained and rows[PROJECTOR].parameters > 10_000


def test_frozen_sections_are_saved_by_reference(spec: SystemSpec, tmp_path: Path) -> None:
    system = compose(spec)
    learned(system, EXIT)
    system.save(tmp_path / "saved")
    held = load_file(tmp_path / "saved/model.safetensors")
    assert {*held} == {f"model.input_projectors.image.exit.{name}" for name in ("weight", "bias")}
    assert references(tmp_path / "saved").keys() == {
        "llm",
        "inputs.image.encoder",
        f"{PROJECTOR}.queries",
        f"{PROJECTOR}.q_former",
    }
    loaded, state = System.load(tmp_path / "saved"), system.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.model.state_dict().items())
    loaded.save(tmp_path / "again")
    assert references(tmp_path / "again") == references(tmp_path / "saved")


def test_a_trained_section_is_saved_whole_and_needs_its_checkpoint_no_more(spec: SystemSpec, tmp_path: Path) -> None:
    system = compose(spec)
    assert learned(system, {PROJECTOR: TrainGroup(lr=1e-3)}) == {
        f"{PROJECTOR}.{name}" for name in ("queries", "q_former", "exit")
    }
    system.save(tmp_path / "saved")
    assert references(tmp_path / "saved").keys() == {"llm", "inputs.image.encoder"}
    (tmp_path / "blip2/model.safetensors").unlink()
    loaded, state = System.load(tmp_path / "saved"), system.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.model.state_dict().items())


def test_another_checkpoint_in_its_place_is_refused(spec: SystemSpec, tmp_path: Path) -> None:
    system = compose(spec)
    system.save(tmp_path / "saved")
    file = tmp_path / "blip2/model.safetensors"
    tensors = load_file(file)
    tensors["query_tokens"] += 1
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(PartError, match=rf"{PROJECTOR}.q_former: .* now has weights of hash"):
        System.load(tmp_path / "saved")


def test_the_manifest_has_the_same_rows_for_all_stages(spec: SystemSpec) -> None:
    """Of which one trains a section, one the whole; checkpoints of sections are told with their hashes."""
    stage = {"objectives": [{"kind": "language"}], "data": [{"source": "tiny_world"}], "batch": 4, "steps": 2}
    trains = {"align": f"{PROJECTOR}.exit", "tune": PROJECTOR}
    stages = [{"name": name, "train": {group: {"lr": 1e-4}}, **stage} for name, group in trains.items()]
    recipe = Recipe.model_validate({"name": "two", **spec.to_dict(), "stages": stages})
    found = manifest(recipe, compose(spec), torch.device("cpu"))
    align, tune = found["stages"].values()
    assert [row["group"] for row in align] == [row["group"] for row in tune]
    assert [row["group"] for row in align if row["trained"]] == [f"{PROJECTOR}.exit"]
    assert {row["group"] for row in tune if row["trained"]} == {PROJECTOR, f"{PROJECTOR}.exit"}
    hashes = {part["part"]: part.get("sha256") for part in found["parts"]}
    own = hashes[f"{PROJECTOR}.q_former"]
    assert hashes[PROJECTOR] is None and own and own == hashes[f"{PROJECTOR}.queries"]


def test_minigpt_4_trains_3_million_parameters_and_has_a_tiny_form() -> None:
    """Its only trained part is one map (arXiv 2304.10592, section 3); at any size, stages name the same sections."""
    hub_id = "Salesforce/blip2-flan-t5-xxl"
    stage = {"name": "align", "train": {f"{PROJECTOR}.exit": {"lr": 1e-4}}, "objectives": [{"kind": "language"}]}
    stage |= {"data": [{"source": "tiny_world", "tasks": ["caption"]}], "batch": 4, "steps": 2}
    recipe = Recipe.model_validate(
        {
            "name": "minigpt-4",
            "inputs": {
                "image": {
                    "encoder": {"kind": "vision", "checkpoint": hub_id, "layer": "output", "keep_cls": True},
                    "projector": {"kind": "q_former", "checkpoint": hub_id},
                }
            },
            "llm": {"checkpoint": "lmsys/vicuna-7b-v1.5"},
            "prompt": {"template": "vicuna-v1.1"},
            "stages": [stage],
        }
    )
    rows = {row.group: row for row in table(skeleton(recipe).trainable_groups(), recipe.stages[0].train, {})}
    assert sum(row.parameters for row in rows.values() if row.trained) == 768 * 4096 + 4096
    assert rows[PROJECTOR].parameters == 105_162_240
    tiny = Recipe.model_validate(tiny_form(recipe))
    assert tiny.stages[0].train.keys() == recipe.stages[0].train.keys()
    assert not tiny.inputs["image"].projector.borrowed()
