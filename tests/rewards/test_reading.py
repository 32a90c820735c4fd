"""The reward that asks a run how likely it finds words of a medium."""

import numpy as np
import pytest
import torch
from PIL import Image

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import RecipeError, TrainingError
from modalink.kinds import parse
from modalink.rewards import Answered, Differentiable
from modalink.testing import check_reward


@pytest.fixture(scope="module")
def run(make_reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    make_reader(folder).save(folder / "saved")
    return folder / "saved"


def reading(run, **settings):
    return parse("modalink.rewards", {"kind": "reading", "run": str(run), **settings})


def noise(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8))


def drawn(seed, **facts):
    asked = Conversation((Turn("user", (Text("a red cube"),)),), "asked")
    return Answered(asked, (Medium("image", noise(seed)),), facts)


def test_it_is_the_mean_log_probability_of_the_words(run):
    config = reading(run)
    reward = config.build()
    values = reward.score([drawn(seed, captions=["two balls"]) for seed in range(3)])
    system = reward.reader.system
    for seed, value in enumerate(values):
        prepared = system.prepare(reward.reader.shown("image", noise(seed), "two balls"), learning=True)
        batch = system.batch([prepared])
        logits = system.model(**batch.inputs()).logits
        expected = -torch.nn.functional.cross_entropy(logits.float(), batch.wanted)
        assert value == pytest.approx(expected.item(), abs=1e-4)
    order = sorted(range(3), key=lambda i: -values[i])
    answers = [drawn(i, captions=["two balls"]) for i in order]
    check_reward(config, answers)
    assert reward.score([drawn(0)]) == reward.score([drawn(0, captions="a red cube")])
    assert reading(run, question="Why?").build().score([drawn(0)]) != reward.score([drawn(0)])


def test_its_gradient_goes_back_to_the_pixels(run):
    reward = reading(run).build()
    assert isinstance(reward, Differentiable)
    seen, captions = (torch.rand(2, 3, 32, 32) * 255).round() / 255, ["a red cube", "two balls"]
    before, gradient = reward.gradient("image", seen, captions)
    better, _ = reward.gradient("image", (seen + 0.1 * gradient.sign()).clamp(0, 1), captions)
    assert (better > before).all()
    with pytest.raises(TrainingError, match=r"the reward 'reading' \(.*\): found video that this system makes and"):
        reward.gradient("video", torch.rand(1, 2, 3, 8, 8), ["a cube"])


def test_what_shows_nothing_is_not_judged_and_there_is_no_tiny_form(run):
    reward = reading(run).build()
    asked = Conversation((Turn("user", (Text("a red cube"),)),), "asked")
    (judged,) = reward.judge([Answered(asked, (Text("Here."),))])
    assert (judged.value, judged.why) == (None, "the reply made nothing that the run reads")
    with pytest.raises(RecipeError, match="has no tiny form"):
        reading(run).tiny()
