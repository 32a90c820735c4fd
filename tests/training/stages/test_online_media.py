"""Stages that have media made and learn from what rewards say of them."""

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modalink.errors import ModalinkError, TrainingError
from modalink.generators.stable_diffusion import StableDiffusion
from modalink.modalities.image import _StoredImage
from modalink.model import Prepared
from modalink.ragged import Ragged
from modalink.recipe import Recipe
from modalink.rewards import Answered
from modalink.settings import run_settings
from modalink.training.caching.fill import fill
from modalink.training.media_rollouts import Kept, MadeMedium, Request
from modalink.training.train import train
from tests.support.first_step import learned
from tests.support.forks import ended, ended_together
from tests.support.run_files import recipe_file, records_of
from tests.training import child, rollout_child

GROUPS = ("outputs.image.projector", "llm.lora", "llm.new_tokens")
HERE = "tests.training.stages.test_online_media"
KINDS = {
    "denoising_policy": {"steps": 3, "guidance": 1.0},
    "diffusion_nft": {"steps": 3, "guidance": 1.0},
    "condition_policy": {"steps": 3, "guidance": 1.0, "sigma": 0.3},
}


def red(answers: Sequence[Answered]) -> list[float]:
    """Likes pictures the more the redder they are than blue."""
    pictures = [np.asarray(answer.made("image")[0], np.float32) / 255 for answer in answers]
    return [float((picture[..., 0] - picture[..., 2]).mean()) for picture in pictures]


def fussy(answers: Sequence[Answered]) -> list[float | None]:
    """Judges no second medium."""
    return [None if i % 2 else red([answer])[0] for i, answer in enumerate(answers)]


def constant(answers: Sequence[Answered]) -> list[float]:
    return [1.0] * len(answers)


@pytest.fixture
def stage(data: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """A stage that has pictures drawn; keywords change it."""
    return lambda kind, **changes: {
        "name": "draw",
        "kind": "online_media",
        "train": {"outputs.image.projector": {"lr": 1e-2}, "llm.lora": {"lr": 1e-2}},
        "objectives": [{"kind": kind, **KINDS[kind], **changes.pop("objective", {})}],
        "rewards": [{"kind": "function", "function": f"{HERE}:red"}],
        "data": [{"source": "messages", "path": data["draw"]}],
        "batch": 3,
        "media": 4,
        "steps": 2,
        "schedule": "constant",
        "checkpoint_every": 2,
        "precision": "float32",
        **changes,
    }


def test_rewards_rise(make_recipe: Callable[..., Recipe], stage, tmp_path: Path) -> None:
    """That those of each objective do, its own tests prove."""
    learns = {"outputs.image.projector": {"lr": 3e-2}}
    run = train(make_recipe(stage("condition_policy", train=learns, media=8, steps=5)), tmp_path / "run")
    first, *_, last = records_of(run, "draw")
    assert last["reward"] > first["reward"] + first["reward_std"] / 4
    assert first["units"] == {"condition_policy": 24} and first["media"] == 24 and first["signal"] == 1.0
    assert first["rewards"] == {"function": first["reward"]} and first["unjudged"] == 0
    assert not [*(run / "draw" / "rollouts").iterdir()]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_declared_groups_and_nothing_else(
    make_recipe: Callable[..., Recipe], stage, tmp_path: Path, kind: str
) -> None:
    recipe = make_recipe(stage(kind, train={group: {"lr": 1e-2} for group in GROUPS}))
    system, record = learned(recipe, tmp_path)
    assert record["units"] == {kind: 4}
    assert set(record["grad_norms"]) == {*GROUPS} and min(record["grad_norms"].values()) > 0
    frozen = [system.generators["image"], system.model.model.input_projectors]
    assert all(parameter.grad is None for module in frozen for parameter in module.parameters())


@pytest.mark.parametrize("kind", ["denoising_policy", "diffusion_nft"])
def test_killed_in_the_middle_of_drawing_it_is_resumed_to_the_bit(
    make_recipe: Callable[..., Recipe], stage, tmp_path: Path, kind: str
) -> None:
    """Of two chunks a step the first of step 4 is on the disk: it is read, and not drawn again."""
    changes = {"steps": 4, "beside": 8, **({"ema": 0.5} if kind == "diffusion_nft" else {"inner_epochs": 2})}
    recipe = make_recipe(stage(kind, **changes))
    whole, killed, output = train(recipe, tmp_path / "whole"), tmp_path / "killed", tmp_path / "output"
    assert ended(rollout_child.__file__, [recipe_file(recipe, killed), str(killed), "7"], output) == -signal.SIGKILL, (
        output.read_text()
    )
    left = sorted(path.name for path in (killed / "draw" / "rollouts").iterdir())
    assert left == [f"0000000{step}-0-000{n}.safetensors" for step, n in ((2, 0), (2, 1), (3, 0))]
    train(recipe, killed)
    assert records_of(killed, "draw") == records_of(whole, "draw")
    name = "model/model.safetensors"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_what_other_weights_drew_or_what_is_torn_is_drawn_again(tmp_path: Path) -> None:
    requests = [Request(Prepared(name, [1], [1]), place, "image", 0) for place, name in enumerate("ab")]
    media = [MadeMedium({"media": torch.arange(3.0) + i}, 0.5, {"red": 0.5}, "why") for i in range(2)]
    kept = Kept(tmp_path, 3, 0, "weights")
    assert kept.read(requests) is None
    kept.write(requests, media)
    found = kept.read(requests)
    assert found is not None
    assert [(one.reward, one.parts, one.why) for one in found] == [(0.5, {"red": 0.5}, "why")] * 2
    assert [one.tensors["media"].tolist() for one in found] == [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]
    assert kept.read(requests[::-1]) is None and Kept(tmp_path, 3, 0, "others").read(requests) is None
    kept.path.write_bytes(kept.path.read_bytes()[:-4])
    assert kept.read(requests) is None


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_learns(
    make_recipe: Callable[..., Recipe], stage, tmp_path: Path, kind: str
) -> None:
    recipe = make_recipe(stage(kind, batch=2, steps=1, micro_batch=1))
    one, two, output = tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(child.__file__, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    (alone,), (together,) = records_of(one, "draw"), records_of(two, "draw")
    assert together["units"] == alone["units"] and together["media"] == alone["media"] == 8
    assert together["reward"] == pytest.approx(alone["reward"], abs=1e-4)
    assert together["losses"] == pytest.approx(alone["losses"], abs=1e-3)
    assert together["grad_norms"] == pytest.approx(alone["grad_norms"], rel=5e-2)


def test_several_updates_weigh_how_likely_media_were_when_they_were_drawn(
    make_recipe: Callable[..., Recipe], stage, tmp_path: Path
) -> None:
    """The first of two epochs is on the policy that drew; in the second, ratios have left 1 and are clipped."""
    run = train(make_recipe(stage("condition_policy", steps=1, inner_epochs=2)), tmp_path / "run")
    (record,) = records_of(run, "draw")
    assert abs(record["losses"]["condition_policy"]) > 1e-4


def test_what_cannot_be_judged_teaches_nothing(make_recipe: Callable[..., Recipe], stage, tmp_path: Path) -> None:
    rewards = [{"kind": "function", "function": f"{HERE}:fussy"}]
    (record,) = records_of(
        train(make_recipe(stage("condition_policy", rewards=rewards, steps=1)), tmp_path / "run"), "draw"
    )
    assert (record["unjudged"], record["media"], record["units"]) == (6, 12, {"condition_policy": 6})
    lines = [json.loads(line) for line in (tmp_path / "run" / "draw" / "ledger.jsonl").read_text().splitlines()]
    found = [line["detail"] for line in lines if line["reason"] == "unjudged"]
    assert found == [f"2 of 4 media have no reward: function: {HERE}:fussy gave None"] * 3


def test_prompts_alone_teach_what_requests_with_replies_teach(
    make_recipe: Callable[..., Recipe], stage, data: dict[str, str], tmp_path: Path
) -> None:
    """Given the words of the replies; no medium is looked at, so that nothing is missed where there is none."""
    records = [json.loads(line) for line in Path(data["draw"]).read_text().splitlines()]
    asked = [{"id": one["id"], "prompt": one["messages"][0]["content"][0]["text"]} for one in records]
    (file := tmp_path / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    alone = stage("condition_policy", data=[{"source": "prompts", "path": str(file)}], words="Here it is: ")
    (tmp_path / "with").mkdir()
    runs = [
        train(make_recipe(one), tmp_path / name)
        for one, name in ((stage("condition_policy"), "with"), (alone, "alone"))
    ]
    one, other = (records_of(run, "draw") for run in runs)
    assert one == other and len(one) == 2 and one[0]["grad_norm"] > 0


@pytest.mark.parametrize(
    ("beside", "seen"), [([], set()), ([{"kind": "align"}], set()), ([{"kind": "diffusion"}], {"0.png", "1.png"})]
)
def test_media_of_replies_in_the_data_are_decoded_only_where_an_objective_reads_them(
    make_recipe: Callable[..., Recipe],
    stage,
    data: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    beside: list[dict[str, Any]],
    seen: set[str],
) -> None:
    """Neither in training nor for a cache that is filled ahead, which keeps no latents of them either."""
    lines = Path(data["draw"]).read_text().splitlines(keepends=True)[:2]
    (file := Path(data["draw"]).with_name("two.jsonl")).write_text("".join(lines))
    given = stage("denoising_policy", data=[{"source": "messages", "path": str(file)}], batch=2, steps=1)
    recipe = make_recipe(given | {"objectives": [*given["objectives"], *beside]})
    decoded, read = set[str](), _StoredImage.read

    def counted(self: _StoredImage) -> Image.Image:
        decoded.add(Path(self.label).name)
        return read(self)

    monkeypatch.setattr(_StoredImage, "read", counted)
    train(recipe, tmp_path / "run")
    assert decoded == seen
    decoded.clear()
    encoded, encode = list[int](), StableDiffusion.encode_media

    def counted_latents(self: StableDiffusion, media: Ragged) -> Ragged:
        encoded.append(len(media))
        return encode(self, media)

    monkeypatch.setattr(StableDiffusion, "encode_media", counted_latents)
    fill(recipe, settings=run_settings(cache=tmp_path / "cache", device="cpu"))
    assert decoded == seen and bool(encoded) == bool(seen)


def worded(answers: Sequence[Answered]) -> list[float]:
    """Demands that captions are the words of prompts, or what is told beside them."""
    for answer in answers:
        (caption,) = answer.facts["captions"]
        told = answer.facts.get("size") is not None
        assert caption == "a ball" if told else caption in ("Draw a cube.", "Draw a cone."), answer
    return red(answers)


def test_rewards_read_what_was_asked_and_an_objective_about_media_says_that_there_are_none(
    make_recipe: Callable[..., Recipe], stage, tmp_path: Path
) -> None:
    lines = [{"prompt": "Draw a cube."}, {"prompt": "Draw a cone."}]
    lines += [{"prompt": "Draw a ball.", "facts": {"captions": ["a ball"], "size": 1}}]
    (file := tmp_path / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    given = {"data": [{"source": "prompts", "path": str(file)}], "steps": 1}
    rewards = [{"kind": "function", "function": f"{HERE}:worded"}]
    (record,) = records_of(
        train(make_recipe(stage("condition_policy", rewards=rewards, **given)), tmp_path / "run"), "draw"
    )
    assert record["media"] == 12 and record["unjudged"] == 0
    objectives = [{"kind": "condition_policy", **KINDS["condition_policy"]}, {"kind": "diffusion"}]
    with pytest.raises(ModalinkError, match="found a request for image without a medium, and an objective that learns"):
        train(make_recipe(stage("condition_policy", **given) | {"objectives": objectives}), tmp_path / "other")


def test_it_ends_in_words_where_nothing_is_better_than_anything(
    make_recipe: Callable[..., Recipe], stage, tmp_path: Path
) -> None:
    rewards = [{"kind": "function", "function": f"{HERE}:constant"}]
    recipe = make_recipe(stage("condition_policy", rewards=rewards, limits={"patience": 2}))
    with pytest.raises(TrainingError, match="stage draw: found no prompt whose replies differ in worth in 2 steps"):
        train(recipe, tmp_path / "run")


ALIGN = {"kind": "align"}
POLICY = {"kind": "condition_policy"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objectives": [ALIGN]}, "found no objective to draw media, needed exactly one"),
        ({"objectives": [POLICY, {"kind": "diffusion_nft"}]}, "found condition_policy, diffusion_nft to draw media"),
        ({"updates": 2}, "needed a batch that they divide"),
        ({"media": 1}, "greater than or equal to 2"),
        (
            {"kind": "preference"},
            "learns from media that a stage makes and has judged, which one of kind 'preference' does not",
        ),
        ({"evaluate": {"every": 1, "data": [{"source": "tiny_world"}]}}, "evaluate by benchmarks"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    make_recipe: Callable[..., Recipe], stage, changes: dict[str, Any], words: str
) -> None:
    given = stage("condition_policy") | changes
    if given["kind"] == "preference":
        given = {name: value for name, value in given.items() if name not in ("rewards", "media")}
    with pytest.raises((ValueError, ModalinkError), match=words):
        make_recipe(given)
