"""A resumed run knows the data that it read before."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from modalink.errors import CheckpointError
from modalink.recipe import Recipe
from modalink.settings import RunSettings
from modalink.training.events import Event, StepDone, Warned
from modalink.training.train import train


@pytest.fixture
def own(data: dict[str, str], tmp_path: Path) -> Path:
    """The records about pictures, with pictures of their own beside them."""
    (tmp_path / "data").mkdir()
    for path in Path(data["ask"]).parent.iterdir():
        (tmp_path / "data" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "data" / "ask.jsonl"


class _Stop(Exception):
    pass


def _stopped(recipe: Recipe, run: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            raise _Stop

    with pytest.raises(_Stop):
        train(recipe, run, on_event=stop)


def test_changed_data_are_told_or_end_the_run(
    make_recipe: Callable[..., Recipe], pretrain, own: Path, tmp_path: Path
) -> None:
    recipe, run = make_recipe(pretrain(data=[{"source": "messages", "path": str(own)}])), tmp_path / "run"
    _stopped(recipe, run)
    Image.new("RGB", (32, 32)).save(own.parent / "3.png")
    with pytest.raises(CheckpointError) as caught:
        train(recipe, run, settings=RunSettings(on_changed_data="fail"))
    words = "stage pretrain: its data changed since this run read them:"
    line = f"\n  messages {own}: 1 of 8 files changed: {own.parent / '3.png'}"
    assert str(caught.value).startswith(words + line)
    events: list[Event] = []
    train(recipe, run, on_event=events.append)
    told = [event.text for event in events if isinstance(event, Warned)]
    assert [text.startswith(words + line) for text in told] == [True]
    kept = json.loads((run / "pretrain" / "data.json").read_text())
    assert kept["changes"] == [[line.strip()]]


def test_damaged_words_about_the_data_are_told(
    make_recipe: Callable[..., Recipe], pretrain, own: Path, tmp_path: Path
) -> None:
    recipe, run = make_recipe(pretrain(data=[{"source": "messages", "path": str(own)}])), tmp_path / "run"
    _stopped(recipe, run)
    for content in ("{", "[]", '{"sources": {"a": 1}, "changes": []}'):
        (run / "pretrain" / "data.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"data\.json: .*; delete it, and the data are taken as they are"):
            train(recipe, run)
