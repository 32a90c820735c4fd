"""Media as one answer's options say: passed to the generator, or refused with what it takes."""

import dataclasses

import pytest
import torch

from modalink.errors import GenerationError, Stopped
from modalink.inference import Sampling
from modalink.inference.making import sample
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.roles import Conditions, Generator


def drawn(system: System, **options):
    """An image for fixed conditions, as bytes."""
    conditions = system.generators["image"].encode_text(["a red cube"])
    stop = options.pop("should_stop", None)
    (image,) = sample(system, "image", conditions, [torch.Generator().manual_seed(0)], Sampling(**options), stop)
    return image.tobytes()


def test_each_option_changes_what_is_made(artist):
    plain = drawn(artist.system)
    assert plain == drawn(artist.system, steps=2, guidance=3.0, size=32)
    changes = [{"steps": 3}, {"guidance": 5.0}, {"size": "16x32"}, {"negative": "blue circles"}]
    made = [drawn(artist.system, **change) for change in changes]
    assert len({plain, *made}) == 5


def test_an_empty_negative_is_what_guidance_steers_away_from_anyway(artist):
    assert drawn(artist.system, negative="") == drawn(artist.system)


def test_guidance_steers_away_from_what_the_projector_makes_of_nothing(artist):
    data = artist.system.spec.to_dict()
    data["outputs"]["image"]["nothing"] = "zeros"
    system = compose(SystemSpec.model_validate(data))
    generator, away = system.generators["image"], system.model.nothing("image")
    conditions = generator.encode_text(["a red cube"])
    assert artist.system.model.nothing("image") is None and away["tokens"].abs().max() > 0.1
    (expected,) = generator.sample(conditions, rng=[torch.Generator().manual_seed(0)], negative=away)
    assert drawn(system) == expected.tobytes() != drawn(artist.system)
    assert drawn(system, guidance=1.0) == drawn(artist.system, guidance=1.0)
    assert drawn(system, negative="blue") == drawn(artist.system, negative="blue")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"frames": 4},
            "found frames, which outputs.image.generator does not take; its options: guidance, negative, size, steps",
        ),
        ({"seconds": 2, "frames": 4}, "found frames, seconds, which outputs.image.generator does not take"),
        (
            {"size": 33},
            r"size: found 33 x 33 px \(width x height\), needed sides that are multiples of 2, for example 32",
        ),
        ({"size": 16384}, "at most 67,108,864 are made at once"),
        ({"negative": "blue", "guidance": 1.0}, "found a negative condition with guidance 1.0, which steers away from"),
    ],
)
def test_what_the_generator_cannot_make_is_refused(artist, options, words):
    with pytest.raises(GenerationError, match=words):
        drawn(artist.system, **options)


class Mute(Generator):
    """Reads no words, and shows what it was asked."""

    options = frozenset({"frames", "guidance"})

    def sample(self, conditions, *, rng, negative=None, should_stop=None, **options):
        return [{"negative": negative, **options}]


ONE = Conditions({"tokens": torch.zeros(1, 2)})


def test_words_are_no_negative_for_a_generator_that_reads_none(artist):
    system = dataclasses.replace(artist.system, generators={"video": Mute()})
    with pytest.raises(GenerationError, match=r"found negative, which outputs.video.generator does not take; its opt"):
        sample(system, "video", ONE, [], Sampling(negative="blue"))


def test_of_several_generators_each_is_given_what_it_takes(artist):
    image = artist.system.generators["image"]
    system = dataclasses.replace(artist.system, generators={"video": Mute(), "image": image})
    sampling = Sampling(frames=4, size=16, negative="blue")
    assert sample(system, "video", ONE, [], sampling) == [{"negative": None, "frames": 4}]
    (small,) = sample(system, "image", image.encode_text(["x"]), [torch.Generator().manual_seed(0)], sampling)
    assert small.size == (16, 16)
    with pytest.raises(GenerationError, match=r"found seconds, which outputs.image.generator does not take"):
        sample(system, "image", image.encode_text(["x"]), [torch.Generator()], Sampling(seconds=1))


def test_a_stop_between_two_steps_leaves_nothing_behind(artist):
    plain, asked = drawn(artist.system, steps=4), []
    with pytest.raises(Stopped, match="after 2 of 4 steps"):
        drawn(artist.system, steps=4, should_stop=lambda: asked.append(0) or len(asked) == 3)
    assert drawn(artist.system, steps=4) == plain
