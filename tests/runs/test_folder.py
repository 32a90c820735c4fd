"""The run folder."""

import errno
from pathlib import Path

import pytest
import yaml

from modalink.errors import CheckpointError
from modalink.recipe import Init
from modalink.runs.folder import differences, locked, open_run, write_text
from modalink.runs.saved_weights import find


def test_differences_name_places_in_both_trees() -> None:
    before = {"seed": 0, "stages": [{"batch": 2}, {"batch": 4}], "gone": 1}
    now = {"seed": 0, "stages": [{"batch": 3}], "new": {"a": 1}}
    assert differences(before, now) == {
        "stages.0.batch": (2, 3),
        "stages.1": ({"batch": 4}, "absent"),
        "gone": (1, "absent"),
        "new": ("absent", {"a": 1}),
    }


def test_a_folder_is_made_once_and_known_again(make_recipe, tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    assert open_run(run, make_recipe()) is False
    assert open_run(run, make_recipe()) is True


def test_a_run_of_an_earlier_version_is_known_again_by_what_its_keys_meant(make_recipe, tmp_path: Path) -> None:
    recipe = make_recipe()
    open_run(tmp_path, recipe)
    written = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    for stage in written["stages"]:
        del stage["optimizer"]
        stage["condition_dropout"] = 0.3
        for objective in stage["objectives"]:
            objective.pop("condition_dropout", None)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    assert open_run(tmp_path, recipe) is True
    written["stages"][1]["condition_dropout"] = 0.4
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    with pytest.raises(CheckpointError, match=r"objectives\.2\.condition_dropout: the run has 0\.4, the recipe 0\.3"):
        open_run(tmp_path, recipe)


DAMAGED = {
    "nothing": b"",
    "bytes": bytes(range(256)),
    "UTF-16": "name: a".encode("utf-16"),
    "no YAML": b"a: [",
    "a list": b"- a",
    "a word": b"recipe",
    "a tag": b"name: !!python/object/apply:os.system [ls]",
    "deep": b"[" * 5000,
    "no recipe": b"stages: {a: 1}\noutputs: [1]\n",
    "stages of words": b"name: a\nstages: [a, b]\noutputs: {image: 3}\n",
    "half": b"name: a\nllm: {checkpoint: zoo:llm",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_recipe_of_a_run_is_named_with_its_remedy(make_recipe, tmp_path: Path, content: bytes) -> None:
    open_run(tmp_path, make_recipe())
    (tmp_path / "recipe.yaml").write_bytes(content)
    for opened in (
        lambda: open_run(tmp_path, make_recipe()),
        lambda: find(Init.model_validate({"from": str(tmp_path)}), print),
    ):
        with pytest.raises(CheckpointError, match=r"^\S*recipe\.yaml: this file of the run is damaged, .*restore it"):
            opened()


def test_an_empty_folder_and_a_start_that_was_cut_off_are_no_run_yet(make_recipe, tmp_path: Path) -> None:
    (tmp_path / ".recipe.yaml.partial").write_text("name: ti")
    assert open_run(tmp_path, make_recipe()) is False
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_two_processes_cannot_train_in_one_folder(make_recipe, tmp_path: Path) -> None:
    open_run(tmp_path, make_recipe())
    with locked(tmp_path), pytest.raises(CheckpointError, match="another process is training in this run folder"):
        locked(tmp_path).__enter__()
    with locked(tmp_path):
        pass


def test_a_file_in_the_place_of_the_folder_is_told(make_recipe, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(CheckpointError, match="found a file, needed a folder"):
        open_run(tmp_path / "run", make_recipe())


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.json"
    write_text(path, "old")

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("modalink.files.sync", full)
    with pytest.raises(CheckpointError, match=r"manifest\.json: cannot be written .*No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["a\udc80", "a\0b", "a" * 300])
def test_a_name_that_no_folder_can_have_is_told(make_recipe, tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_run(tmp_path / name, make_recipe())
    assert "needed a name in UTF-8" in str(caught.value) or "choose a run folder with a shorter name" in str(
        caught.value
    )
    str(caught.value).encode()


def test_a_folder_that_went_away_is_told(make_recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    open_run(run, make_recipe())
    with locked(run) as check:
        check()
        run.rename(tmp_path / "other")
        with pytest.raises(CheckpointError, match="run is gone: this run folder was removed or renamed while training"):
            check()
        open_run(run, make_recipe())
        with pytest.raises(CheckpointError, match="run is gone"):
            check()


def test_a_folder_in_the_place_of_a_file_is_named_and_left_alone(make_recipe, tmp_path: Path) -> None:
    (tmp_path / "manifest.json" / "mine").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"the folder .*manifest\.json is in the way, which training did not put"):
        write_text(tmp_path / "manifest.json", "new")
    assert (tmp_path / "manifest.json" / "mine").is_dir()
    (tmp_path / "recipe.yaml").mkdir()
    with pytest.raises(CheckpointError, match=r"recipe\.yaml: found a folder, needed a run's recipe"):
        open_run(tmp_path, make_recipe())
