"""Examples for the report: replies with the media that were made, in their order and of bounded size."""

import numpy as np
import pytest
import torch
from mixed import mixed_system, saying
from plug_in import installing
from whistle import WhistleConfig

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import GenerationError
from modalink.evaluation import examples
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world import made
from modalink.evaluation.tiny_world.examples import of_made
from modalink.modalities.audio import Sound
from modalink.roles import Conditions
from modalink.tiny_world import WORLDS
from modalink.tiny_world.media import SHOW

SCRIPT = (None, "image", None, "audio", "image", None)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with installing() as install:
        install(WhistleConfig)
        yield mixed_system(tmp_path_factory.mktemp("parts"))


def talks(count):
    return [Conversation((Turn("user", (Text("Make it."),)),)) for _ in range(count)]


def kinds(pieces):
    return [piece["url"].split(";")[0] if "url" in piece else "text" if "text" in piece else "note" for piece in pieces]


ORDER = ["text", "data:image/png", "text", "data:audio/wav", "data:image/png", "text"]


def test_media_are_made_of_the_first_replies_alone(system):
    with saying(system, *SCRIPT):
        found = list(replies(system, talks(3), max_new_tokens=16, media=2))
    assert [len(reply.media) for reply in found] == [3, 3, 0]
    assert {*found[2].conditions} == {"image", "audio"} and len({reply.text for reply in found}) == 1


def test_words_and_media_stand_in_their_order(system):
    with saying(system, *SCRIPT):
        (example,) = examples.of_conversations(system, talks(1), 16)
    assert example["asked"] == [{"text": "Make it."}] and kinds(example["reply"]) == ORDER


def test_what_could_not_be_made_is_told(system, monkeypatch):
    sample = type(system.generators["audio"]).sample

    def diverged(self, conditions, **options):
        nothing = {name: values * float("nan") for name, values in conditions.tensors.items()}
        return sample(self, Conditions(nothing), **options)

    monkeypatch.setattr(type(system.generators["audio"]), "sample", diverged)
    with saying(system, *SCRIPT):
        (example,) = examples.of_conversations(system, talks(1), 16)
    assert kinds(example["reply"])[-1] == "note" and "data:audio/wav" not in kinds(example["reply"])
    assert "audio 2: conditions: found NaN or infinite numbers in 'pitches'" in example["reply"][-1]["note"]


def test_number_and_size_of_media_are_bounded(monkeypatch):
    pictures = [Medium("image", np.full((8, 8, 3), value, np.uint8)) for value in range(6)]
    found = examples.pieces(pictures)
    assert kinds(found) == ["data:image/png"] * 4 + ["note"] * 2
    assert found[4]["note"] == "left out here: a page shows 4 media and 1 MiB of them of a turn"
    sounds = [Medium("audio", Sound(np.zeros(240_000, np.float32), 24_000))] * 3
    large = examples.pieces([*sounds, *pictures[:1]])
    assert sum(len(piece.get("url", "")) for piece in large) <= examples.MOST_CHARACTERS
    assert kinds(large) == ["data:audio/wav", "note", "note", "data:image/png"]


def test_a_medium_that_cannot_be_shown_says_why():
    (piece,) = examples.pieces([Medium("image", np.full((4, 4, 3), np.nan))])
    assert piece["modality"] == "image" and piece["note"].startswith("cannot be shown: ")


def test_the_tiny_world_asks_for_media_and_reads_them_back(system):
    assert made.makes(system.spec.outputs) == ["audio"]
    with saying(system, "audio", None):
        found = made.ask(system, "audio", "test", 2, seed=0)
    assert all(kinds(item.pieces)[0] == "data:audio/wav" for item in found)
    assert [item.right for item in found] == [False, False]  # a whistle is no note of the world
    shown = of_made(found, 1)
    assert [example.right for example in shown] == [False, False] and shown[0].made == found[0].pieces
    assert shown[0].wanted in shown[0].prompt and shown[0].wanted != shown[1].wanted


class _Player:
    """Plays the world's own sounds, but for the second, of which nothing comes."""

    def encode_text(self, texts):
        return Conditions({"number": torch.arange(len(texts), dtype=torch.float32)[:, None]})

    def sample(self, conditions, *, rng):
        number = int(conditions["number"][0, 0])
        if number == 1:
            raise GenerationError("nothing")
        return [SHOW["audio"](WORLDS["audio"].sample(number, "test"))]


def test_what_is_right_is_counted_by_part_by_attribute_and_whole():
    found = made.from_captions(_Player(), "audio", "test", 4, seed=0)
    assert [item.right for item in found] == [True, False, True, True] and found[1].medium is None
    shares = made.score(found, "made.audio")
    lost = len(found[1].thing.notes)
    parts = sum(len(item.thing.notes) for item in found)
    assert (shares["made.audio.parts"].right, shares["made.audio.parts"].of) == (parts - lost, parts)
    assert shares["made.audio.media"].value == shares["made.audio.replies"].value == 0.75
    assert shares["made.audio.by_attribute.timbre"].right == parts - lost
    assert found[0].sentence == WORLDS["audio"].describe(found[0].thing) and found[1].sentence == "nothing"


def test_what_nobody_judges_has_no_verdict():
    clip = made.Made("video", WORLDS["video"].sample(0, "test"), None, None)
    assert clip.right is None and clip.sentence == ""


def test_a_generator_that_reads_no_text_has_no_ceiling():
    assert made.from_captions(object(), "audio", "test", 2, seed=0) == []
