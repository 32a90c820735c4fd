"""Links from the LLM to generators, whole: built from what a generator declares, trained, saved, asked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modalink.conversation import Conversation
from modalink.errors import PartError, RecipeError
from modalink.inference import Completion, Engine, Request, Sampling
from modalink.model import System, compose, skeleton
from modalink.model.collating import collate
from modalink.planning.doctor import examine
from modalink.recipe import Recipe
from modalink.training.train import train
from tests.support.duet import SHAPES, Duet, DuetConfig, FilmDuetConfig

TRANSFORMER: dict[str, Any] = {
    "kind": "transformer", "width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 16,
}  # fmt: skip
FLOW: dict[str, Any] = {"kind": "flow", "width": 16, "layers": 1, "heads": 2, "feed_forward": 16, "steps": 3}
BY_NAME = {
    "words": {"kind": "connector", "layers": 1, "head_width": 8},
    "style": TRANSFORMER,
}
LINKS: dict[str, dict[str, Any]] = {
    "by name": {"projectors": BY_NAME, "signal_tokens": 6},
    "heads": {"projector": {"kind": "heads", "width": 8, "trunk": TRANSFORMER}},
    "layers": {"projector": TRANSFORMER, "states": {"layers": [0, -1], "weights": "learned", "embeddings": True}},
    "prompt": {"projectors": {"words": {"kind": "mlp"}, "style": TRANSFORMER}, "states": {"at": "prompt"}},
    "before": {"projector": TRANSFORMER, "states": {"at": "before", "embeddings": True}},
    "flow": {"projectors": {"words": FLOW, "style": TRANSFORMER}},
    "fewer tokens": {"projector": TRANSFORMER | {"tokens": 4}},
}
QUESTIONS = ("Draw a red cube.", "Draw it.", "What?")


@pytest.fixture
def make(make_recipe, instruct, install):
    """A recipe with one stage that trains all links, of these settings of its output."""
    install(DuetConfig), install(FilmDuetConfig)

    def build(output: dict[str, Any], **stage: Any) -> Recipe:
        data = make_recipe(instruct(steps=1, batch=4)).to_dict()
        data["stages"][0] |= stage
        data["outputs"]["image"] |= {"projector": None, "generator": {"kind": "duet"}} | output
        return Recipe.model_validate(data)

    return build


def ask(system: System, modality: str = "image", beams: int = 1, seed: int = 0) -> list[Completion]:
    """What it answers to questions when it begins with a medium: asked together, and each alone, which is the same."""
    first = system.model.config.signals[modality][0]
    head, spoken = system.model.get_output_embeddings(), torch.tensor([first])
    hook = head.register_forward_hook(lambda module, args, logits: logits.index_fill(-1, spoken, 1e4))
    length = len(system.model.config.signals[modality])
    talks = [[{"role": "user", "content": question}] for question in QUESTIONS]
    requests = [
        Request(
            system.processor.prepare(Conversation.from_messages(talk), reply=True),
            Sampling(max_new_tokens=2 * length, beams=beams, seed=seed),
        )
        for talk in talks
    ]
    engine = Engine(system)
    together = engine.generate(requests)
    for request, completion in zip(requests, together, strict=True):
        (alone,) = engine.generate([request])
        found, expected = completion.conditions[modality], alone.conditions[modality]
        for name in SHAPES:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)
    hook.remove()
    return together


def whole(system: System, completion: Completion, question: str, modality: str = "image") -> Any:
    """The conditions of one pass over the question and the answer, without a cache."""
    conversation = Conversation.from_messages([{"role": "user", "content": question}])
    prompt = system.processor.prepare(conversation, reply=True)
    ids = torch.tensor([[*prompt.input_ids, *completion.ids]])
    return system.model(input_ids=ids, return_conditions=True).conditions[modality]


@pytest.mark.parametrize("link", LINKS)
def test_a_step_moves_every_part_and_what_is_saved_answers_the_same(make, tmp_path, link: str) -> None:
    kinds = ["language", "align", *["flow"] * (link == "flow")]
    recipe = make(LINKS[link], objectives=[{"kind": kind} for kind in kinds])
    before = dict(compose(recipe, seed=recipe.seed).model.trainable_groups()["outputs.image.projector"])
    run = train(recipe, tmp_path / "run")
    system = System.load(run / "model")
    after = dict(system.model.trainable_groups()["outputs.image.projector"])
    assert before.keys() == after.keys()
    still = [name for name, parameter in before.items() if torch.equal(parameter, after[name])]
    assert not still

    answers = ask(system)
    for question, completion in zip(QUESTIONS, answers, strict=True):
        made = completion.conditions["image"]
        made.check(SHAPES)
        assert len(made) == len(completion.media) == 2
        if link != "flow":  # which draws each from its own noise
            expected = whole(system, completion, question)
            for name in SHAPES:
                torch.testing.assert_close(made[name], expected[name], rtol=1e-3, atol=1e-4)
            assert torch.equal(made.mask("words"), expected.mask("words"))
    assert (answers[0].conditions["image"]["style"] - answers[1].conditions["image"]["style"]).abs().max() > 1e-5


@pytest.mark.parametrize("link", ["prompt", "before"])
def test_beams_hear_the_same_prompt(make, link: str) -> None:
    system = compose(make(LINKS[link]))
    for one, other in zip(ask(system), ask(system, beams=2), strict=True):
        assert one.ids == other.ids
        for name in SHAPES:
            torch.testing.assert_close(one.conditions["image"][name], other.conditions["image"][name])


def test_a_link_that_draws_has_the_noise_of_its_item_and_seed(make) -> None:
    system = compose(make(LINKS["flow"]))
    (first, second), again, other = (ask(system, seed=seed)[0].conditions["image"] for seed in (0, 0, 1))
    assert torch.equal(first["words"], again.take([0])["words"])
    assert (first["words"] - second["words"]).abs().min() > 1e-4, "the second medium of an answer has noise of its own"
    assert (first["words"] - other.take([0])["words"]).abs().min() > 1e-4


def test_a_prompts_mask_tells_how_long_it_is(make) -> None:
    system = compose(make(LINKS["prompt"] | {"states": {"at": "prompt", "count": 6}}))
    assert ask(system)[0].conditions["image"].mask("words").all()
    ids = torch.tensor([[5, 6, 7, *system.model.config.signals["image"]]])
    made = system.model(input_ids=ids, return_conditions=True).conditions["image"]
    assert made.mask("words").tolist() == [[True] * 3 + [False] * 3]
    assert made["words"][0, 3:].abs().max() == 0


def test_fewer_tokens_leave_the_rest_to_the_mask(make) -> None:
    made = ask(compose(make(LINKS["fewer tokens"])))[0].conditions["image"]
    assert made.mask("words").tolist() == [[True] * 4 + [False] * 2] * 2
    assert made["words"][:, 4:].abs().max() == 0


def test_the_declared_norm_is_kept(make, monkeypatch) -> None:
    shapes = SHAPES | {"style": replace(SHAPES["style"], norm="l2", scale=3.0)}
    monkeypatch.setattr(DuetConfig, "condition_shapes", lambda self: shapes)
    monkeypatch.setattr(Duet, "condition_shapes", shapes)
    made = ask(compose(make({"projector": TRANSFORMER})))[0].conditions["image"]
    torch.testing.assert_close(made["style"].norm(dim=-1), torch.full((2,), 3.0), rtol=1e-5, atol=0)


def test_seventy_seven_signal_tokens_take_one_pass(make) -> None:
    passes = []
    for tokens in (2, 77):
        system = compose(make({"projector": TRANSFORMER, "signal_tokens": tokens}))
        lengths: list[int] = []
        decoder = system.model.language_model.get_decoder()
        decoder.register_forward_hook(
            lambda module, args, kwargs, output, lengths=lengths: lengths.append(kwargs["inputs_embeds"].shape[1]),
            with_kwargs=True,
        )
        ask(system)
        assert lengths.count(tokens) > 0
        passes.append(len(lengths))
    assert passes[0] == passes[1]


FILM = {"signal_tokens": 2, "generator": {"kind": "film_duet"}}


def both(recipe: Recipe, **film: Any) -> Recipe:
    data = recipe.to_dict()
    data["outputs"]["video"] = FILM | film
    return Recipe.model_validate(data)


def test_a_projector_that_was_trained_for_pictures_drives_clips(make, tmp_path) -> None:
    recipe = both(make({"projector": TRANSFORMER}), use="image")
    assert "outputs.video.projector" not in {*skeleton(recipe).trainable_groups()}
    fresh = compose(recipe, seed=recipe.seed)
    system = System.load(train(recipe, tmp_path / "run") / "model")
    before, drawn, filmed = ask(fresh), ask(system), ask(system, "video")
    for untrained, one, other in zip(before, drawn, filmed, strict=True):
        assert untrained.conditions["image"]["words"].sub(one.conditions["image"]["words"]).abs().max() > 1e-3
        for name in SHAPES:
            assert torch.equal(one.conditions["image"][name], other.conditions["video"][name])
        picture, clip = one.media[0].source, other.media[0].source
        assert np.array_equal(np.asarray(clip)[0], np.asarray(picture))


def test_its_signal_tokens_are_read_as_the_others_and_written_as_its_own(make) -> None:
    system = compose(both(make({"projector": TRANSFORMER}), use="image"))
    signals, embedding = system.model.config.signals, system.model.get_input_embeddings()
    assert torch.equal(embedding(torch.tensor(signals["video"])), embedding(torch.tensor(signals["image"])))
    assert torch.equal(embedding.weight[signals["video"]], embedding.weight[signals["image"]])
    states = torch.randn(1, embedding.embedding_dim)
    with torch.no_grad():
        system.model.get_output_embeddings().new_rows.normal_()
    logits = system.model.get_output_embeddings()(states)[0]
    assert logits[signals["video"]].sub(logits[signals["image"]]).abs().min() > 1e-4


def test_a_generator_of_other_conditions_needs_a_projector_of_its_own(make, monkeypatch) -> None:
    recipe = both(make({"projector": TRANSFORMER}), use="image")
    other = {**SHAPES, "style": replace(SHAPES["style"], width=7)}
    monkeypatch.setattr(FilmDuetConfig, "condition_shapes", lambda self: other)
    with pytest.raises(PartError, match=r"outputs.video: uses the projector of image, .* reads words 6 x 8, style 7"):
        skeleton(recipe)
    tiny = both(recipe, use="image").to_dict()
    assert tiny["outputs"]["video"]["use"] == "image"


@pytest.mark.parametrize(
    ("film", "message"),
    [
        ({"use": "sound"}, "found 'sound', which has no projector of its own; those that have one: image"),
        ({"use": "image", "signal_tokens": 3}, "found 3, needed 2 as image, whose projector it uses"),
        ({"use": "image", "states": {"at": "prompt"}}, "the states are those of image"),
        ({"use": "image", "projector": TRANSFORMER}, "found projector and use, needed one of them"),
        ({}, "projector: is missing beside 2 signal tokens"),
    ],
)
def test_a_share_that_cannot_be_is_refused(make, film: dict[str, Any], message: str) -> None:
    with pytest.raises((RecipeError, ValueError), match=message):
        both(make({"projector": TRANSFORMER}), **film)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"projectors": {"words": TRANSFORMER}}, "found words, needed one for each of: words, style"),
        ({"projectors": {"words": TRANSFORMER, "stile": TRANSFORMER}}, "found words, stile, needed one for each of"),
        ({"projector": TRANSFORMER | {"tokens": 7}}, "found tokens: 7 for the condition 'words' of 6 tokens"),
        (
            {"projectors": {"words": TRANSFORMER, "style": TRANSFORMER | {"tokens": 1}}},
            "found tokens: 1 for the condition 'style' of 1 tokens without a mask",
        ),
        ({"projector": TRANSFORMER, "states": {"layers": [9]}}, "outputs.image: states: found the layer 9"),
    ],
)
def test_what_does_not_fit_the_declaration_is_refused(make, output: dict[str, Any], message: str) -> None:
    with pytest.raises(PartError, match=message):
        skeleton(make(output))


def test_a_stage_may_train_one_name_or_a_section_of_it(make) -> None:
    recipe = make(LINKS["by name"], train={"outputs.image.projector.words.exit": {"lr": 1e-2}})
    lines = [line for finding in examine(recipe) for line in finding.lines]
    exit_line = next(line for line in lines if line.startswith("outputs.image.projector.words.exit"))
    width = skeleton(recipe).get_input_embeddings().embedding_dim
    assert exit_line.split()[1] == str((width + 1) * 8 + 9 * 8 + 8) and "trained in" in exit_line


def test_weights_of_names_weigh_the_alignment(make) -> None:
    recipe = make({"projector": TRANSFORMER}, objectives=[{"kind": "align", "weights": {"style": 0.0}}])
    objective: Any = recipe.stages[0].objectives[0]
    texts = Duet().encode_text(["a", "b c"])
    moved = replace(texts, tensors={"words": texts["words"] + 1, "style": texts["style"] + 5})
    torch.testing.assert_close(objective.distances(moved, texts), torch.ones(2))
    heavier = objective.replace(weights={"style": 3.0})
    torch.testing.assert_close(heavier.distances(moved, texts), torch.full((2,), (1 + 3 * 25) / 4))
    with pytest.raises(Exception, match="unknown condition 'stile'"):
        objective.replace(weights={"stile": 1.0}).distances(moved, texts)


def test_the_flow_objective_needs_a_link_that_draws(make) -> None:
    with pytest.raises(ValueError, match="needs an output projector that draws conditions"):
        make({"projector": TRANSFORMER}, objectives=[{"kind": "language"}, {"kind": "flow"}])


def test_a_flow_step_is_the_same_in_one_pass_and_in_several(make, tmp_path) -> None:
    found = []
    for micro in (4, 1):
        objectives = [{"kind": "flow"}]
        groups = {"outputs.image.projector.words": {"lr": 1e-2}}
        recipe = make(LINKS["flow"], objectives=objectives, train=groups, micro_batch=micro, batch=8)
        run = train(recipe, tmp_path / str(micro))
        state = System.load(run / "model").model.output_projectors["image"]["words"].state_dict()
        found.append(state)
    for name, values in found[0].items():
        if name.endswith("in_proj_bias"):
            continue  # of keys it changes nothing, and Adam makes steps of rounding errors
        torch.testing.assert_close(values, found[1][name], rtol=1e-3, atol=1e-5)


def test_a_batch_says_where_its_samples_begin(make) -> None:
    system = compose(make(LINKS["prompt"]))
    talk = [{"role": "user", "content": "Draw."}, {"role": "assistant", "content": [_picture()]}]
    sample = system.processor.prepare(Conversation.from_messages(talk))
    batch = collate([sample, sample], packed=True, pad_id=0)
    assert batch.signals["image"].origins == (0, len(sample.input_ids))


def _picture() -> dict[str, Any]:
    return {"type": "image", "image": Image.new("RGB", (8, 8))}
