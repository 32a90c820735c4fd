"""Conversations kept in folders: what is loaded is what was saved, media included, and goes on the same."""

import json

import numpy as np
import pytest
from mixed import mixed_system, saying
from PIL import Image
from plug_in import installing
from whistle import WhistleConfig

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import DataError, MediumError, OptionError
from modalink.inference import Session, load_conversation, save_conversation
from modalink.modalities import audio, get
from modalink.modalities.audio import Sound


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with installing() as install:
        install(WhistleConfig)
        yield Session(mixed_system(tmp_path_factory.mktemp("parts")))


def test_a_conversation_with_media_goes_on_as_if_it_had_never_been_closed(session, tmp_path):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "a.jpg")
    with saying(session.system, None, "image", "audio", "image"):
        first = session.ask("Make it.", image=tmp_path / "a.jpg")
    folder = save_conversation(first.conversation, tmp_path / "kept")
    names = ["1-image.jpg", "2-image.png", "3-audio.wav", "4-image.png"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "conversation.json"]
    assert (folder / names[0]).read_bytes() == (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").unlink()
    folder.rename(tmp_path / "moved")
    loaded = load_conversation(tmp_path / "moved")
    assert [turn.text for turn in loaded.turns] == [turn.text for turn in first.conversation.turns]
    assert [medium.use for _, medium in loaded.media()] == [None, "both", "both", "both"]
    for (_, medium), (_, made) in zip(list(loaded.media())[1:], list(first.conversation.media())[1:], strict=True):
        record = get(medium.modality)
        assert np.array_equal(np.asarray(record.read(medium.source)), np.asarray(record.read(made.source)))
    with saying(session.system, "audio", None):
        again = session.ask("And now?", after=loaded)
    assert [made.modality for made in again.made] == ["audio"]
    save_conversation(again.conversation, tmp_path / "moved")
    assert len(list(load_conversation(tmp_path / "moved").media())) == 5


def test_a_sound_in_memory_keeps_its_channels(tmp_path):
    values = np.stack([np.linspace(-0.5, 0.5, 800), np.full(800, 0.25)], 1).astype(np.float32)
    sources = [Sound(values, 8000), audio.open_audio(Sound(values, 8000)), Sound(values[:, 0], 8000)]
    talk = Conversation((Turn("user", tuple(Medium("audio", source) for source in sources)),))
    folder = save_conversation(talk, tmp_path / "kept")
    media = [medium for _, medium in load_conversation(folder).media()]
    kept = [audio.open_audio(medium.source).all_channels() for medium in media]
    assert [one.shape for one in kept] == [(800, 2), (800, 2), (800, 1)]
    assert (kept[0] == values).all() and (kept[1] == values).all() and (kept[2] == values[:, :1]).all()


def test_what_cannot_be_kept_or_loaded_is_told(tmp_path):
    talk = Conversation((Turn("user", (Text("Hi"),)),), id="mine")
    (tmp_path / "other").mkdir()
    with pytest.raises(OptionError, match="found something else than a conversation there"):
        save_conversation(talk, tmp_path / "other")
    missing = Conversation((Turn("user", (Medium("image", tmp_path / "none.png"),)),))
    with pytest.raises(MediumError, match=r"none\.png"):
        save_conversation(missing, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(DataError, match=r"conversation\.json: there is no such file"):
        load_conversation(tmp_path / "other")
    assert load_conversation(save_conversation(talk, tmp_path / "new")) == talk
    for source in ("../a.png", "/etc/passwd"):
        block = {"role": "user", "content": [{"type": "image", "image": source}]}
        (tmp_path / "new" / "conversation.json").write_text(json.dumps({"messages": [block]}))
        with pytest.raises(DataError, match="needed the name of a file in it"):
            load_conversation(tmp_path / "new")
    (tmp_path / "new" / "conversation.json").write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        load_conversation(tmp_path / "new")
