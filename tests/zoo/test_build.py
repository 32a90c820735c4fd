"""Building: every part builds in two steps, and a part that was interrupted ends with the very same weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from modalink import zoo
from modalink.errors import UnknownNameError
from modalink.tiny_world import CELLS, COLOURS, SHAPES, WorldObject, sample_scene, split_of
from modalink.zoo.build import BUILDERS, build
from modalink.zoo.build.loop import Schedule, Trainer, told
from modalink.zoo.build.targets import (
    ATTRIBUTES,
    OBJECT_WIDTH,
    WIDTH,
    agreement_loss,
    attribute_hits,
    attribute_loss,
    cell_targets,
    object_loss,
    object_targets,
    same_targets,
)
from modalink.zoo.build.vision import CELL_OF_PATCH, near_miss

_TINY = 1e-4


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    build([], folder / "parts", folder / "work", steps_scale=_TINY)
    return folder


def test_every_part_builds_and_has_the_shape_of_the_part_that_ships(built: Path) -> None:
    shipped = {file.relative_to(zoo.PARTS): file for file in zoo.PARTS.rglob("*.safetensors")}
    made = {file.relative_to(built / "parts"): file for file in (built / "parts").rglob("*.safetensors")}
    assert shipped.keys() == made.keys()
    for name, file in shipped.items():
        assert _shapes(file) == _shapes(made[name]), name
    settings = [file.read_text() for file in (built / "parts").rglob("*config.json")]
    assert settings and not any(str(built) in text for text in settings)
    assert {folder.name for folder in (built / "work").iterdir()} == BUILDERS.keys() | {"llm_all", "sound_text"}


def _shapes(file: Path) -> dict[str, torch.Size]:
    # The number of word pieces depends on the sampled text, which may change between versions of the world.
    rows = {"model.embed_tokens.weight", "lm_head.weight", "shared.weight", "embeddings.token_embedding.weight"}
    return {key: value.shape[1:] if key in rows else value.shape for key, value in load_file(file).items()}


def test_building_again_continues_from_the_finished_checkpoint(built: Path) -> None:
    weights = built / "parts" / "scene_classifier" / "model.safetensors"
    before = load_file(weights)
    build(["scene_classifier"], built / "parts", built / "work", steps_scale=_TINY)
    after = load_file(weights)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_unknown_part_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'scene_clasifier'.*did you mean 'scene_classifier'"):
        build(["scene_classifier", "scene_clasifier"], tmp_path / "parts", tmp_path / "work", steps_scale=_TINY)
    assert not (tmp_path / "work").exists()


class _Killed(Exception):
    pass


def _train(folder: Path, *, kill_at: int | None = None) -> nn.Linear:
    torch.manual_seed(0)
    module = nn.Linear(4, 3)
    trainer = Trainer(module, Schedule(steps=12, lr=0.1, batch=8, ema=0.9, checkpoint_s=0.0, log_every=4), folder)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        if step == kill_at:
            raise _Killed
        inputs = torch.from_numpy(np.random.default_rng(step).normal(size=(8, 4))).float()
        return (module(inputs) + torch.randn(8, 3)).square().mean(), {}

    trainer.run(loss_of, dict)
    return module


def test_an_interrupted_training_ends_with_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole")
    with pytest.raises(_Killed):
        _train(tmp_path / "killed", kill_at=7)
    resumed = _train(tmp_path / "killed")
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)


def test_the_log_has_a_line_of_numbers_for_every_interval(tmp_path: Path) -> None:
    _train(tmp_path / "logged")
    lines = [json.loads(line) for line in (tmp_path / "logged" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [4, 8, 12]


def test_people_are_told_the_step_of_how_many_and_the_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told("llm", 1200, 6400, 249.0, {"loss": 0.05}) == "llm  1200/6400  loss 0.05  18 min left"
    assert told("llm", 6380, 6400, 1320.0, {"whole": 0.98765}) == "llm  6380/6400  whole 0.9877  4 s left"
    _train(tmp_path / "spoken")
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [["spoken", f"{step}/12"] for step in (4, 8, 12, 12)]
    assert all(line[-1].endswith(" s left") for line in lines)


def test_a_gradient_that_is_not_finite_stops_before_the_update(tmp_path: Path) -> None:
    module = nn.Linear(2, 1)
    before = module.weight.detach().clone()
    trainer = Trainer(module, Schedule(steps=5, lr=0.1, batch=1), tmp_path)
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.run(lambda step: (module(torch.full((1, 2), float("nan"))).sum(), {}), dict)
    assert torch.equal(module.weight, before)


def test_the_rate_warms_up_and_falls() -> None:
    schedule = Schedule(steps=1000, lr=1.0, batch=1, warmup=100)
    rates = [schedule.lr_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.03
    assert schedule.scaled(0.5).steps == 500


def test_targets_name_every_object_of_a_cell_and_ask_nothing_of_empty_ones() -> None:
    scene = sample_scene(1, "train")
    targets = cell_targets([scene])[0]
    assert targets[:, 0].sum() == len(scene.objects)
    for item in scene.objects:
        row = targets[CELLS.index(item.cell)].tolist()
        assert (SHAPES[row[1]], COLOURS[row[2]]) == (item.shape, item.colour)
    assert (targets[targets[:, 0] == 0][:, 1:] == -100).all()


def test_perfect_logits_have_no_loss_and_all_hits() -> None:
    targets = cell_targets([sample_scene(i, "train") for i in range(4)])
    sure = [
        40.0 * nn.functional.one_hot(targets[..., i].clamp(min=0), classes)
        for i, classes in enumerate(ATTRIBUTES.values())
    ]
    logits = torch.cat(sure, dim=-1)
    assert logits.shape[-1] == WIDTH
    assert attribute_loss(logits, targets).item() == pytest.approx(0, abs=1e-6)
    assert set(attribute_hits(logits, targets).values()) == {1.0}
    assert attribute_hits(-logits, targets)["whole"] == 0


def test_objects_have_targets_of_their_own_and_pairs_are_compared() -> None:
    one, other = WorldObject("circle", "red", "large", "top"), WorldObject("circle", "blue", "large", "left")
    attributes, cells = object_targets([one, None, other])
    assert attributes.tolist() == [[1, 0, 0, 1], [-100] * 4, [1, 0, 5, 1]]
    assert cells.tolist() == [1, -100, 3]
    assert same_targets([(one, other), (one,), (one, one)]).tolist() == [[1, 0, 1], [-100] * 3, [1, 1, 1]]


def test_losses_of_objects_and_pairs_vanish_where_the_logits_are_right_or_nothing_is_asked() -> None:
    one, other = WorldObject("circle", "red", "large", "top"), WorldObject("circle", "blue", "large", "left")
    attributes, cells = object_targets([one, None])
    classes = [*ATTRIBUTES.values(), len(CELLS)]
    wanted = [*attributes[0].tolist(), int(cells[0])]
    sure = torch.cat([40.0 * nn.functional.one_hot(torch.tensor(w), n) for w, n in zip(wanted, classes, strict=True)])
    assert sure.shape == (OBJECT_WIDTH,)
    right = torch.stack([sure, torch.randn(OBJECT_WIDTH)])
    assert object_loss(right, attributes, cells).item() == pytest.approx(0, abs=1e-6)
    assert object_loss(right.roll(1, 0), attributes, cells).item() > 1
    same = same_targets([(one, other), (one,)])
    logits = torch.zeros(2, 3, 2)
    assert agreement_loss(logits, same).item() == pytest.approx(np.log(2))
    logits[0, [0, 1, 2], same[0]] = 40
    assert agreement_loss(logits, same).item() == pytest.approx(0, abs=1e-6)
    assert agreement_loss(logits[1:], same[1:]).item() == 0


def test_patches_ask_for_the_cell_under_their_centre() -> None:
    grid = CELL_OF_PATCH.reshape(8, 8)
    assert grid[0].tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert grid[:, 0].tolist() == [0, 0, 0, 3, 3, 6, 6, 6]


def test_a_near_miss_differs_in_one_attribute_and_stays_in_training() -> None:
    rng = np.random.default_rng(0)
    for seed in range(200):
        scene = sample_scene(seed, "train")
        other = near_miss(scene, rng)
        changed = [(a, b) for a, b in zip(scene.objects, other.objects, strict=True) if a != b]
        assert len(changed) == 1
        one, two = changed[0]
        assert sum(getattr(one, key) != getattr(two, key) for key in ("shape", "colour", "size", "cell")) == 1
        assert split_of(two) == "train"
