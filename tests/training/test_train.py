"""A run as a whole: what it changes, what it writes, what it refuses."""

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from modalink.errors import CheckpointError, TrainingError
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.settings import RunSettings
from modalink.training.events import Event, RunFinished, StageStarted, Warned
from modalink.training.train import train


def _state(system: System) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in system.model.named_parameters()}


def _losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "instruct" / "metrics.jsonl").read_text().splitlines()]


def test_each_stage_changes_exactly_what_it_trains(make_recipe, data, tmp_path: Path) -> None:
    recipe = make_recipe()
    system = compose(recipe, seed=recipe.seed)
    groups = {name: [n for n, _ in members] for name, members in system.model.trainable_groups().items()}
    states = [_state(system)]
    seen: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "instruct":
            states.append(_state(system))
        if isinstance(event, RunFinished):
            states.append(_state(system))
        seen.append(type(event).__name__)

    train(recipe, tmp_path / "run", system=system, on_event=on_event)
    for stage, before, after in zip(recipe.stages, states[:-1], states[1:], strict=True):
        changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
        assert changed == {name for group in stage.train for name in groups[group]}
    assert seen.count("StepDone") == 12
    assert seen.count("CheckpointSaved") == 6


def test_new_tokens_learn_to_ask_where_nothing_is_said(make_recipe, instruct, data, tmp_path: Path) -> None:
    """A stage on conditions alone trains what is read of a new token; nothing trains the row by which it is written."""
    train_groups = {group: {"lr": 1e-2} for group in ("outputs.image.projector", "llm.new_tokens")}
    drawn = [{"source": "messages", "path": data["draw"]}]
    recipe = make_recipe(instruct(train=train_groups, objectives=[{"kind": "align"}], data=drawn))
    system = compose(recipe, seed=recipe.seed)
    before = _state(system)
    train(recipe, tmp_path / "run", system=system)
    changed = {name for name, tensor in _state(system).items() if not torch.equal(tensor, before[name])}
    rows = {part: f"model.language_model.{part}.new_rows" for part in ("model.embed_tokens", "lm_head")}
    assert rows["model.embed_tokens"] in changed and rows["lm_head"] in before and rows["lm_head"] not in changed
    assert all(name == rows["model.embed_tokens"] or name.startswith("output_projectors.") for name in changed)


def test_a_run_folder_holds_what_is_needed_to_know_it(make_recipe, tmp_path: Path) -> None:
    recipe, run = make_recipe(), tmp_path / "run"
    train(recipe, run)
    assert Recipe.model_validate(yaml.safe_load((run / "recipe.yaml").read_text())) == recipe
    manifest = json.loads((run / "manifest.json").read_text())
    parts = {part["part"]: part for part in manifest["parts"]}
    assert len(parts["llm"]["sha256"]) == 64
    assert parts["inputs.image.projector"]["parameters"] == 2112
    assert manifest["environment"]["packages"]["torch"] == torch.__version__.split("+")[0]
    trained = [row["group"] for row in manifest["stages"]["pretrain"] if row["trained"]]
    assert trained == ["inputs.image.projector"]
    record = json.loads((run / "instruct" / "metrics.jsonl").read_text().splitlines()[-1])
    assert record["step"] == 6
    assert {"loss", "losses", "lr", "grad_norm", "tokens", "items", "seconds", "tokens_per_s"} <= record.keys()
    reasons = [json.loads(line)["reason"] for line in (run / "pretrain" / "ledger.jsonl").read_text().splitlines()]
    assert set(reasons) == {"missing"}


def test_the_saved_model_answers_as_the_trained_one(make_recipe, tmp_path: Path) -> None:
    recipe, run = make_recipe(), tmp_path / "run"
    system = compose(recipe, seed=recipe.seed)
    train(recipe, run, system=system)
    again = System.load(run / "model")
    for name, parameter in system.model.named_parameters():
        torch.testing.assert_close(dict(again.model.named_parameters())[name], parameter, rtol=0, atol=0)


def test_epochs_count_the_data(make_recipe, pretrain, tmp_path: Path) -> None:
    recipe = make_recipe(pretrain(steps=None, epochs=2, batch=7))
    events: list[Event] = []
    train(recipe, tmp_path / "run", on_event=events.append)
    assert [e.steps for e in events if isinstance(e, StageStarted)] == [2]


def test_bfloat16_trains_float32_weights(make_recipe, instruct, tmp_path: Path) -> None:
    recipe, run = make_recipe(instruct(precision="bfloat16", steps=2)), tmp_path / "run"
    train(recipe, run)
    saved = load_file(run / "instruct" / "checkpoints" / "step-00000002" / "weights.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    losses = _losses(run)
    train(make_recipe(instruct(steps=2)), tmp_path / "exact")
    exact = _losses(tmp_path / "exact")
    assert losses == pytest.approx(exact, rel=0.02)
    assert losses != exact


def test_a_run_of_another_recipe_is_refused_with_the_keys_that_differ(make_recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(make_recipe(), run)
    with pytest.raises(CheckpointError) as caught:
        train(make_recipe(seed=1, batch=6), run)
    assert "\n  seed: the run has 0, the recipe 1" in str(caught.value)
    assert "\n  stages.0.batch: the run has 2, the recipe 6" in str(caught.value)
    assert str(caught.value).count("the run has") == 3


def test_a_folder_with_other_files_is_refused_and_left_alone(make_recipe, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"found 1 files \(thesis\.tex\) and no recipe\.yaml"):
        train(make_recipe(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_full_disk_while_saving_ends_the_run_with_the_checkpoint_before_and_it_goes_on(
    make_recipe: Callable[..., Recipe], instruct, tmp_path: Path
) -> None:
    recipe, run = make_recipe(instruct()), tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(event: Event) -> None:
        if getattr(event, "step", None) == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))

    try:
        with pytest.raises(CheckpointError, match=r"step-00000004: cannot be written .* are free there"):
            train(recipe, run, on_event=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (run / "instruct" / "checkpoints").iterdir()] == ["step-00000002"]
    events: list[Event] = []
    train(recipe, run, on_event=events.append)
    assert [e.first_step for e in events if isinstance(e, StageStarted)] == [2]
    whole = tmp_path / "whole"
    train(recipe, whole)
    assert (run / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()


def test_a_part_that_nothing_reaches_is_an_error_that_names_it(make_recipe, pretrain, data, tmp_path: Path) -> None:
    stage = pretrain(data=[{"source": "messages", "path": data["draw"]}], objectives=[{"kind": "language"}])
    with pytest.raises(TrainingError, match=r"inputs\.image\.projector should train, but 4 of its 4 tensors"):
        train(make_recipe(stage), tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()


def test_a_wider_part_in_the_folder_of_a_run_is_told(make_recipe, data, tmp_path: Path) -> None:
    recipe, run = make_recipe(), tmp_path / "run"
    train(recipe, run)
    (run / "model").rename(tmp_path / "aside")
    other = make_recipe().replace(llm={"checkpoint": recipe.llm.checkpoint, "lora": {"rank": 3, "alpha": 4.0}})
    with pytest.raises(CheckpointError, match="which are not the"):
        train(recipe, run, system=compose(other, seed=0))


def test_a_trained_encoder_learns_up_to_the_layer_that_is_read(make_recipe, pretrain, tmp_path: Path) -> None:
    stage = pretrain(train={"inputs.image.encoder": {"lr": 1e-4}, "inputs.image.projector": {"lr": 1e-3}})
    events: list[Event] = []
    train(make_recipe(stage), tmp_path / "run", on_event=events.append)
    saved = load_file(tmp_path / "run" / "pretrain" / "checkpoints" / "step-00000006" / "weights.safetensors")
    layers = {name.split(".layers.")[1].split(".")[0] for name in saved if ".encoder.layers." in name}
    assert layers == {"0", "1"}
    assert not [event for event in events if isinstance(event, Warned)]


def test_a_later_run_computes_no_feature_again(
    make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe()
    settings = RunSettings(cache=tmp_path / "features")
    train(recipe, tmp_path / "first", settings=settings)
    monkeypatch.setattr(
        "modalink.model.modeling.ModalinkForConditionalGeneration.encode", lambda *_: pytest.fail("it is on the disk")
    )
    train(recipe, tmp_path / "second", settings=settings)
    weights = [load_file(tmp_path / run / "model" / "model.safetensors") for run in ("first", "second")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
