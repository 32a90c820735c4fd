"""The classifiers that judge what is made: right on held-out media of the world, and strict."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modalink.errors import PartError
from modalink.modalities.audio import Sound as Samples
from modalink.modalities.points import Cloud
from modalink.tiny_world import WORLDS
from modalink.tiny_world.media import SHOW
from modalink.tiny_world.scenes import COLOURS
from modalink.zoo import classifiers
from modalink.zoo.sound_classifier import SoundClassifier

MODALITIES = list(classifiers.CLASSIFIERS)


def classifier(modality: str) -> Any:
    found = classifiers.load(modality)
    assert found is not None
    return found


@pytest.mark.parametrize("modality", MODALITIES)
def test_held_out_media_are_read_rightly(modality: str) -> None:
    things = [WORLDS[modality].sample(seed, "test") for seed in range(80)]
    shares = classifiers.shares(modality, things, classifier(modality)([SHOW[modality](thing) for thing in things]))
    assert shares["whole"] >= 0.95 and shares["medium"] >= 0.92


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_part_that_is_other_missing_or_too_much_is_wrong(modality: str) -> None:
    world, rule = WORLDS[modality], classifiers.RULES[modality]
    thing = next(
        t for t in (world.sample(seed, "test") for seed in range(99)) if len(classifiers.parts(modality, t)) == 2
    )
    parts = classifiers.parts(modality, thing)
    assert classifiers.right(modality, thing, parts) and classifiers.right(modality, thing, parts[::-1])
    assert not classifiers.right(modality, thing, parts[:1]) and not classifiers.right(
        modality, thing, [*parts, parts[0]]
    )
    for name in rule.right:
        other = replace(parts[0], **{name: "another"})
        assert not classifiers.right(modality, thing, [other, *parts[1:]])
        hits = classifiers.hits(modality, parts[0], [other])
        assert not hits["whole"] and [key for key, hit in hits.items() if not hit] == [name, "whole"]
    for name in rule.told:
        assert classifiers.right(modality, thing, [replace(parts[0], **{name: "another"}), *parts[1:]])


def test_shares_are_of_parts_and_of_whole_media() -> None:
    things = [t for t in (WORLDS["points"].sample(seed, "test") for seed in range(40)) if len(t.solids) == 2][:2]
    first, second = (list(thing.solids) for thing in things)
    shares = classifiers.shares("points", things, [first, [replace(second[0], size="huge"), second[1]]])
    assert (shares["whole"], shares["size"], shares["colour"], shares["medium"]) == (0.75, 0.75, 1.0, 0.5)


def test_nothing_is_read_of_silence_and_loudness_does_not_matter() -> None:
    read = classifier("audio")
    assert read([Samples(np.zeros(count, np.float32), 16_000) for count in (32_000, 3)]) == [[], []]
    assert read([Samples(np.full(3, 0.5, np.float32), 16_000)]) == [[]]
    sound = WORLDS["audio"].sample(3, "test")
    loud = SHOW["audio"](sound)
    quiet = Samples(loud.values * 0.1, loud.rate_hz)
    assert read([loud]) == read([quiet]) == [list(sound.notes)]


def test_of_a_cloud_without_colours_the_forms_are_read() -> None:
    bodies = WORLDS["points"].sample(3, "test")
    cloud = SHOW["points"](bodies)
    (found,) = classifier("points")([Cloud(cloud.points)])
    assert [solid.solid for solid in found] == [solid.solid for solid in bodies.solids]
    assert all(solid.colour in COLOURS for solid in found)


def test_a_damaged_folder_is_refused(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text('{"width": "wide"}')
    with pytest.raises(PartError, match="width"):
        SoundClassifier.load(tmp_path)
