"""A saved run answers as the system did before it was saved."""

import pytest
from PIL import Image

import modalink
from modalink.errors import CheckpointError


def test_a_loaded_run_answers_and_draws_the_same(artist, picture, tmp_path):
    said = artist.ask("What?", image=picture(1), max_new_tokens=8).text
    artist.system.save(tmp_path / "run" / "model")
    for place in (tmp_path / "run", str(tmp_path / "run" / "model")):
        session = modalink.load(place, device="cpu")
        assert session.ask("What?", image=picture(1), max_new_tokens=8).text == said
        drawn, before = session.ask("Draw it.", max_new_tokens=5), artist.ask("Draw it.", max_new_tokens=5)
        assert [image.tobytes() for _, image in drawn.media] == [image.tobytes() for _, image in before.media] != []
        assert not any(parameter.requires_grad for parameter in session.system.generators["image"].parameters())


def test_a_folder_without_a_finished_run_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "recipe.yaml").write_text("name: half\n")
    with pytest.raises(CheckpointError, match=r"half: the run is not finished; .* --run half` goes on"):
        modalink.load("half")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty: found no run there; train one with"):
        modalink.load("empty")
    with pytest.raises(CheckpointError, match=r"found no run in a folder runs/dmeo; .* As a hub id: runs/dmeo"):
        modalink.load("runs/dmeo")


def test_media_are_written_beside_each_other(artist, tmp_path):
    answer = artist.ask("Draw it.", max_new_tokens=5)
    first, second = answer.save_media(tmp_path / "new"), answer.save_media(tmp_path / "new")
    assert [path.name for path in (*first, *second)] == ["answer-1-image.png", "answer-2-image.png"]
    assert Image.open(second[0]).tobytes() == answer.media[0][1].tobytes()
