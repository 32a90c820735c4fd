"""Many conversations answered at once must give what one alone gives."""

import numpy as np
import pytest
import torch

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.drawings import sample
from modalink.inference import Session
from modalink.model import compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
    projector = {"kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2}
    generator = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(folder / "diffusion"))}
    data = {
        "inputs": {"image": {"encoder": encoder, "projector": {"kind": "mlp"}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
        "outputs": {"image": {"signal_tokens": 3, "projector": projector, "generator": {**generator, "steps": 2}}},
    }
    return compose(SystemSpec.model_validate(data))


@pytest.fixture(scope="module")
def artist(system):
    """The system, which now asks for an image after two words of its answer to "Draw it."."""
    inputs = system.processor(conversation=_talk("Draw it."))
    head = system.model.get_output_embeddings()
    with torch.no_grad():
        head.new_rows.fill_(-10)
        drawn = system.model.generate(**inputs, max_new_tokens=2, do_sample=False)
        here = system.model(input_ids=drawn, output_hidden_states=True).hidden_states[-1][0, -1]
        head.new_rows[0] = 100 * here / here.norm()
    return system


def _talk(text: str, *pictures: int) -> Conversation:
    shown = [np.random.default_rng(p).integers(0, 255, (32, 32, 3), dtype=np.uint8) for p in pictures]
    return Conversation((Turn("user", (*(Medium("image", p) for p in shown), Text(text))),))


TALKS = [_talk("Yes?"), _talk("What is in the image, and what else?", 1), _talk("How many?", 2, 3), _talk("Draw it.")]


def test_a_batch_says_what_each_says_alone(system):
    alone = [next(replies(system, [talk], max_new_tokens=12)).text for talk in TALKS]
    together = [reply.text for reply in replies(system, TALKS, max_new_tokens=12, batch=3)]
    assert together == alone
    assert len(set(alone)) > 1


def test_pictures_are_those_of_the_session_that_users_ask(artist):
    reply = list(replies(artist, TALKS, max_new_tokens=8))[3]
    answer = Session(artist).chat(_talk("Draw it."), max_new_tokens=8)
    made = sample(artist.generators["image"], [reply.conditions["image"].take([0])], seed=0)
    (_, wanted), *_ = answer.media
    difference = np.abs(np.asarray(made[0], int) - np.asarray(wanted, int))
    assert difference.max() <= 1 and np.asarray(wanted).std() > 1
    assert reply.text == answer.text.strip()


def test_only_rows_with_a_whole_run_have_conditions(artist):
    short = list(replies(artist, [_talk("Draw it.")], max_new_tokens=2))
    assert short[0].conditions == {}, "three signal tokens do not fit into two"


@pytest.mark.parametrize("stop", ["[IMG0]", "[IMG1]"])
def test_an_image_that_was_begun_is_finished_before_its_reply_ends(stop, artist, monkeypatch):
    drawn = next(replies(artist, [_talk("Draw it.")], max_new_tokens=8))
    monkeypatch.setattr(artist.processor, "template", artist.processor.template.replace(stops=(stop,)))
    reply = next(replies(artist, [_talk("Draw it.")], max_new_tokens=20))
    assert reply.text == Session(artist).chat(_talk("Draw it."), max_new_tokens=20).text
    found, expected = (its.conditions["image"]["tokens"][0] for its in (reply, drawn))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.fixture
def speaker(tmp_path):
    """A system that reads and says text alone."""
    data = {
        "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
        "inputs": {},
    }
    return compose(SystemSpec.model_validate(data))


WORDS = [_talk("Yes?"), _talk("What is it, and what else?"), _talk("How many?")]


def test_stop_strings_end_replies_as_they_end_a_sessions_answers(speaker):
    said = [reply.text for reply in replies(speaker, WORDS, max_new_tokens=12)]
    stop = said[1][2:4]
    speaker.processor.template = speaker.processor.template.replace(stops=(stop,))
    together = [reply.text for reply in replies(speaker, WORDS, max_new_tokens=12)]
    alone = [Session(speaker).chat(talk, max_new_tokens=12).text for talk in WORDS]
    assert together == alone == [text.split(stop)[0].strip() for text in said]
    assert together[1] != said[1]


def test_defaults_that_an_llm_brings_along_change_nothing(speaker):
    said = [reply.text for reply in replies(speaker, WORDS, max_new_tokens=12)]
    speaker.model.generation_config.repetition_penalty = 5.0
    assert [reply.text for reply in replies(speaker, WORDS, max_new_tokens=12)] == said
