"""Outputs without a projector: their generator reads the words of the reply."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from modalink.conversation import Conversation, Turn
from modalink.errors import GenerationError, PartError
from modalink.inference import Sampling, Session
from modalink.inference.request import Request
from modalink.inference.text import Reader
from modalink.kinds import parse
from modalink.model import System, compose, skeleton
from modalink.model.items import Shown
from modalink.planning.doctor import examine
from modalink.recipe import Recipe, SystemSpec
from modalink.roles import ConditionShape, Generator
from modalink.testing import TinyGeneratorConfig
from modalink.testing.checkpoints import tiny_llama, tiny_stable_diffusion


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worded")
    generator = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(folder / "diffusion")), "steps": 2}
    return SystemSpec.model_validate(
        {
            "inputs": {},
            "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
            "prompt": {"template": "vicuna-v1.1"},
            "outputs": {"image": {"generator": generator}},
        }
    )


@pytest.fixture(scope="module")
def session(spec):
    return Session(compose(spec))


def test_each_reply_is_made_a_medium_of_by_the_generators_own_conditions_for_its_words(session):
    answer = session.ask("What is there?", max_new_tokens=6, seed=3)
    generator = session.system.generators["image"]
    rng = [torch.Generator().manual_seed(3)]
    (expected,) = generator.sample(generator.encode_text([answer.text]), rng=rng)
    ((modality, picture),) = answer.media
    assert answer.text and modality == "image" and np.array_equal(picture, expected)
    assert [type(piece).__name__ for piece in answer.conversation.turns[-1].content] == ["Text", "Medium"]


def test_a_reply_goes_on_as_if_its_medium_were_not_there(session):
    answer = session.ask("What is there?", max_new_tokens=6)
    *before, last = answer.conversation.turns
    plain = Conversation((*before, Turn("assistant", last.content[:1])))
    prompts = [
        session.system.processor.prepare(Conversation((*talk.turns, before[0])), reply=True)
        for talk in (answer.conversation, plain)
    ]
    assert prompts[0].input_ids == prompts[1].input_ids and not prompts[0].targets
    learned = session.system.processor.prepare(answer.conversation, show=Shown(targets=True))
    assert not learned.targets and not learned.media


def test_without_words_nothing_is_made(session, monkeypatch):
    monkeypatch.setattr(Reader, "text", "")
    answer = session.ask("Hm?", max_new_tokens=3)
    assert answer.media == [] and session.system.generators["image"].encode_text(["a"])


def test_who_wants_conditions_alone_gets_those_of_the_words(session):
    question = Conversation.from_messages([{"role": "user", "content": "Hm?"}])
    prompt = session.system.processor.prepare(question, reply=True)
    (completion,) = session.engine.generate([Request(prompt, media=False)])
    expected = session.system.generators["image"].encode_text([completion.text])
    assert not completion.media and torch.equal(completion.conditions["image"]["tokens"], expected["tokens"])


def test_words_that_a_generator_cannot_read_cost_their_medium_alone(session, monkeypatch):
    read = session.system.generators["image"].encode_text
    talks = [Conversation.from_messages([{"role": "user", "content": text}]) for text in ("Hm?", "What is it there?")]
    requests = [
        Request(session.system.processor.prepare(talk, reply=True), Sampling(max_new_tokens=6)) for talk in talks
    ]
    plain = session.engine.generate(requests)
    assert plain[0].text != plain[1].text

    def refuse(texts):
        if texts == [plain[0].text]:
            raise GenerationError("no letter of it has a sound")
        return read(texts)

    monkeypatch.setattr(session.system.generators["image"], "encode_text", refuse)
    mute, whole = session.engine.generate(requests)
    assert (mute.text, mute.media) == (plain[0].text, ()) and "image" not in mute.conditions
    assert mute.missing == ("image 1: no letter of it has a sound",)
    assert np.array_equal(whole.media[0].source, plain[1].media[0].source) and not whole.missing
    (bare,) = session.engine.generate([replace(requests[0], media=False)])
    assert bare.conditions == {} and bare.text == mute.text


def test_the_llm_gets_no_signal_tokens(spec, session):
    model = session.system.model
    assert model.config.signals == {} and not [name for name, _ in model.named_parameters() if "new_rows" in name]
    assert not len(model.output_projectors)


def test_it_is_saved_and_loaded(session, tmp_path):
    session.system.save(tmp_path)
    again = Session(System.load(tmp_path)).ask("What is there?", max_new_tokens=6)
    assert np.array_equal(again.media[0][1], session.ask("What is there?", max_new_tokens=6).media[0][1])


def test_the_doctor_says_what_is_read(spec):
    stage = {
        "name": "talk",
        "train": {"llm": {"lr": 1e-4}},
        "objectives": [{"kind": "language"}],
        "batch": 2,
        "steps": 2,
    }
    stage["data"] = [{"source": "tiny_world", "count": 20, "tasks": ["draw"]}]
    recipe = Recipe.model_validate({"name": "worded", **spec.to_dict(), "stages": [stage]})
    found = {finding.topic: finding for finding in examine(recipe)}
    assert found["widths"].lines == ("image out: the words of each reply, generator 16 x 32",)
    assert [topic for topic, finding in found.items() if finding.status == "failed"] == []


class DeafConfig(TinyGeneratorConfig):
    def build(self, *, weights=True):
        class Plain(Generator):
            condition_shapes, sample = self.condition_shapes(), None

        return Plain()


class ReaderConfig(TinyGeneratorConfig):
    def condition_shapes(self):
        return {"characters": ConditionShape(1, 40, masked=True, vocabulary=30)}


def test_a_generator_that_reads_no_text_needs_a_projector(spec):
    deaf = spec.model_copy(
        update={"outputs": {"image": spec.outputs["image"].model_copy(update={"generator": DeafConfig()})}}
    )
    for build in (compose, skeleton):
        with pytest.raises(
            PartError, match="'tiny' has no conditions of its own for the words of a reply; give the output"
        ):
            build(deaf)


def test_a_projector_makes_no_ids(spec):
    made = {"signal_tokens": 2, "projector": parse("modalink.projectors.outputs", {"kind": "mlp"})}
    outputs = {"image": spec.outputs["image"].model_copy(update=made | {"generator": ReaderConfig()})}
    with pytest.raises(PartError, match="reads characters as 40 ids of 30, which no projector makes; leave out"):
        skeleton(spec.model_copy(update={"outputs": outputs}))


@pytest.mark.parametrize(
    ("given", "message"),
    [({"signal_tokens": 2}, "beside 2 signal tokens"), ({"projector": {"kind": "mlp"}}, "beside a projector")],
)
def test_signal_tokens_and_a_projector_come_together(spec, given, message):
    data = spec.to_dict()
    data["outputs"]["image"] |= given
    with pytest.raises(ValueError, match=message):
        SystemSpec.model_validate(data)
