"""The tiny world's scorers on cases worked out by hand, and the whole evaluation on a system that knows nothing."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from modalink.evaluation.tiny_world import Share, Sizes, captions, drawings, evaluate, examples, questions
from modalink.evaluation.tiny_world.captions import Caption, parse
from modalink.evaluation.tiny_world.drawings import Drawing, DrawingRequest
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.renderers import RENDERERS
from modalink.evaluation.tiny_world.shares import nested
from modalink.model import compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion
from modalink.tiny_world import (
    QUESTION_KINDS,
    Question,
    Scene,
    WorldObject,
    describe,
    drawing_reply,
    sample_scene,
    split_of,
)
from modalink.tiny_world.scene_questions import SceneQuestion, normalise_answer, sample_scene_questions
from modalink.zoo.scene_classifier import SceneClassifier, SceneClassifierNet

RING = WorldObject("ring", "red", "small", "top left")
STAR = WorldObject("star", "blue", "large", "center")
SCENE = Scene((RING, STAR), background=1)
TRUE = "a small red ring at the top left, a large blue star in the center"


class TestShare:
    def test_interval_is_wilsons(self):
        low, high = Share(8, 10, 10).interval
        assert (round(low, 3), round(high, 3)) == (0.490, 0.943)

    def test_nothing_right_is_no_proof_of_zero(self):
        low, high = Share(0, 10, 10).interval
        assert low == 0 and 0.27 < high < 0.28

    def test_trials_and_not_things_decide_the_interval(self):
        narrow, wide = Share(90, 100, 100).interval, Share(90, 100, 25).interval
        assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]

    def test_empty_trials_do_not_count(self):
        assert Share.total([(1, 2), (0, 0), (2, 2)]) == Share(3, 4, 2)

    def test_nested_keeps_values_intervals_and_counts_apart(self):
        tree = nested({"a": Share(1, 2, 2), "b.c": Share(3, 3, 3)})
        assert tree["a"] == 0.5 and tree["b"]["c"] == 1.0
        assert tree["counts"] == {"a": 2, "b": {"c": 3}}
        assert tree["intervals"]["b"]["c"] == [0.4385, 1.0]


class TestParse:
    def test_everything_the_world_says_is_read_back(self):
        for number in range(400):
            scene = sample_scene(number, "test")
            wanted = Counter(tuple(getattr(o, a) for a in captions.ATTRIBUTES) for o in scene.objects)
            for text in (describe(scene), describe(scene, np.random.default_rng(number)), drawing_reply(scene)):
                found = Counter(tuple(m.get(a) for a in captions.ATTRIBUTES) for m in parse(text))
                assert found == wanted, text

    @pytest.mark.parametrize(
        ("text", "mentions"),
        [
            ("", []),
            ("i do not know", []),
            ("at the top", []),
            ("a red ring", [{"colour": "red", "shape": "ring"}]),
            ("a red ring, a tiny blue disc", [
                {"colour": "red", "shape": "ring"}, {"size": "small", "colour": "blue", "shape": "circle"},
            ]),
            ("red ring top left blue star middle", [
                {"colour": "red", "shape": "ring", "cell": "top left"},
                {"colour": "blue", "shape": "star", "cell": "center"},
            ]),
            ("At the TOP left: a violet box!", [{"cell": "top left", "colour": "purple", "shape": "square"}]),
        ],
    )  # fmt: skip
    def test_by_hand(self, text, mentions):
        assert parse(text) == mentions


class TestCaptions:
    @pytest.mark.parametrize(
        ("text", "attributes", "objects", "counts"),
        [
            (TRUE, 8 / 8, 2 / 2, 1),
            ("a large blue star in the center, a small red ring at the top left", 8 / 8, 2 / 2, 1),
            ("a small blue ring at the top left, a large red star in the center", 6 / 8, 0, 1),
            ("a small red ring at the top left", 4 / 8, 1 / 2, 0),
            (f"{TRUE}, a small green cross at the bottom, a large white square on the left", 8 / 16, 2 / 4, 0),
            ("nothing", 0, 0, 0),
        ],
    )
    def test_by_hand(self, text, attributes, objects, counts):
        found = captions.score([Caption(SCENE, text)])
        values = [found[f"caption_{name}"].value for name in ("attributes", "objects", "counts")]
        assert values == pytest.approx([attributes, objects, counts])

    def test_attributes_are_told_apart(self):
        found = captions.score([Caption(SCENE, TRUE.replace("small", "large"))])
        values = {name: found[f"caption_by_attribute.{name}"].value for name in ("shape", "colour", "size", "position")}
        assert values == {"shape": 1, "colour": 1, "size": 0.5, "position": 1}

    def test_compositions_never_seen_are_scored_alone(self):
        known = next(o for n in range(99) for o in sample_scene(n, "train").objects)
        new = next(
            o
            for n in range(99)
            for o in sample_scene(n, "test").objects
            if split_of(o) == "test" and o.cell != known.cell
        )
        scene = Scene((known, new), 0)
        found = captions.score([Caption(scene, describe(Scene((known,), 0)))])
        assert found["unseen.caption_attributes"].value < 1
        assert found["unseen.caption_attributes"].of == 4


class TestQuestions:
    def test_all_kinds_equally_often_and_no_scene_twice(self):
        asked = sample_scene_questions("test", 90, seed=0)
        assert Counter(item.question.kind for item in asked) == dict.fromkeys(QUESTION_KINDS, 10)
        assert len({item.scene for item in asked}) == 90
        assert asked == sample_scene_questions("test", 90, seed=0)
        assert not {item.scene for item in asked} & {item.scene for item in sample_scene_questions("test", 90, seed=1)}

    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            ("Red.", "red"),
            ("a violet box", "purple square"),
            ("2", "two"),
            ("the middle", "center"),
            ("top  left", "top left"),
        ],
    )
    def test_normalised(self, said, meant):
        assert normalise_answer(said) == normalise_answer(meant)

    def test_near_misses_stay_wrong(self):
        item = SceneQuestion(SCENE, Question("position", "where is the ring?", "top left"))
        assert (
            not AnsweredQuestion(item, "top").right
            and not AnsweredQuestion(item, "top left left").right
            and not AnsweredQuestion(item, "").right
        )

    def test_scores_by_kind(self):
        asked = sample_scene_questions("test", 18, seed=0)
        answered = [AnsweredQuestion(a, a.question.answer if a.question.kind == "count" else "no idea") for a in asked]
        found = questions.score(answered, "vqa", "by")
        assert found["vqa"].value == pytest.approx(2 / 18)
        assert found["by.count"].value == 1 and found["by.colour"].value == 0

    def test_majority_knows_the_training_split_only(self):
        asked = sample_scene_questions("test", 90, seed=0)
        guesses = questions.majority(asked, seed=0)
        by_kind = {kind: {g.reply for g in guesses if g.asked.question.kind == kind} for kind in QUESTION_KINDS}
        assert all(len(replies) == 1 for replies in by_kind.values())
        assert 0.15 < questions.score(guesses, "m", "by")["m"].value < 0.5


class TestDrawings:
    def drawn(self, *seen: WorldObject) -> Drawing:
        return Drawing(DrawingRequest(SCENE, "draw it"), "here it is", Image.new("RGB", (64, 64)), tuple(seen))

    def test_right_needs_place_colour_and_shape(self):
        large = WorldObject("ring", "red", "large", "top left")
        found = drawings.score([self.drawn(large, STAR)])
        assert found["drawn_objects"].value == 1, "size is scored apart"
        assert found["drawn_pictures"].value == 0
        assert found["drawn_by_attribute.size"].value == 0.5

    @pytest.mark.parametrize(
        ("seen", "objects", "position"),
        [
            ((), 0, 0),
            ((STAR,), 0.5, 0.5),
            ((WorldObject("ring", "red", "small", "top"), STAR), 0.5, 0.5),
            ((WorldObject("ring", "green", "small", "top left"), STAR), 0.5, 1),
            ((WorldObject("cross", "red", "small", "top left"), STAR), 0.5, 1),
        ],
    )
    def test_by_hand(self, seen, objects, position):
        found = drawings.score([self.drawn(*seen)])
        assert found["drawn_objects"].value == objects
        assert found["drawn_by_attribute.position"].value == position

    def test_a_surplus_object_spoils_the_picture(self):
        extra = WorldObject("cross", "white", "small", "bottom")
        found = drawings.score([self.drawn(RING, STAR), self.drawn(RING, STAR, extra)])
        assert found["drawn_objects"].value == 1
        assert found["drawn_pictures"].value == 0.5

    def test_no_picture_is_wrong(self):
        none = drawings.read_drawings(
            SceneClassifier(SceneClassifierNet()), [DrawingRequest(SCENE, "draw it")], ["no"], [None]
        )
        assert drawings.score(none)["drawn_objects"].value == 0

    def test_each_picture_has_noise_of_its_own_whatever_the_batch(self, system):
        conditions = list(system.generators["image"].encode_text(["a red ring", "a blue star", "a red ring"]))
        three = drawings.sample(system.generators["image"], conditions, seed=0)
        one = drawings.sample(system.generators["image"], conditions[:1], seed=0)
        assert np.asarray(three[0]).shape == (32, 32, 3)
        assert np.abs(np.asarray(three[0], int) - np.asarray(one[0], int)).max() <= 1
        assert not np.array_equal(np.asarray(three[0]), np.asarray(three[2]))


class TestExamples:
    def test_the_first_and_some_wrong_ones(self):
        asked = sample_scene_questions("test", 30, seed=0)
        answered = [AnsweredQuestion(a, a.question.answer if i < 20 else "no idea") for i, a in enumerate(asked)]
        chosen = examples.of_questions(answered, 6)
        assert [e.prompt for e in chosen[:6]] == [a.question.text for a in asked[:6]]
        assert [e.right for e in chosen] == [True] * 6 + [False] * 2
        assert all(e.picture.startswith("data:image/png;base64,") for e in chosen)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """Tiny random parts: looks, answers and draws, all of it nonsense."""
    folder = tmp_path_factory.mktemp("parts")
    projector = {"kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2}
    generator = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(folder / "diffusion"))}
    vision = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
    return compose(
        SystemSpec.model_validate(
            {
                "inputs": {"image": {"encoder": vision, "projector": {"kind": "linear"}}},
                "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
                "prompt": {"template": "vicuna-v1.1"},
                "outputs": {
                    "image": {"signal_tokens": 3, "projector": projector, "generator": {**generator, "steps": 2}}
                },
            }
        )
    )


def test_a_system_that_knows_nothing_gets_all_its_numbers(system):
    torch.manual_seed(0)
    tasks = []
    sizes = Sizes(questions=9, captions=4, drawings=3, robustness=2, examples=2, ood_max_new_tokens=3)
    heldout = evaluate(system, sizes, classifier=SceneClassifier(SceneClassifierNet()), on_task=tasks.append)
    found = heldout.to_dict()
    assert found["split"] == "test" and len(tasks) == 7
    assert found["vqa"] < 0.5 and found["caption_attributes"] < 0.9 and found["drawn_objects"] < 0.9
    assert set(found["vqa_by_kind"]) == set(QUESTION_KINDS)
    assert {"majority", "no_image", "empty_image", "caption_no_image", "text_encoder", "caption_handover"} <= set(
        found["baselines"]
    )
    for name, value in found["baselines"].items():
        if not isinstance(value, dict):
            low, high = found["intervals"]["baselines"][name]
            assert 0 <= low <= value <= high <= 1, name
    assert set(found["robustness"]) == {"clean", "vqa", "kept", "outside", "inside_declined"}
    assert set(found["robustness"]["vqa"]) == set(found["robustness"]["kept"]) == set(RENDERERS)
    assert set(found["counts"]["robustness"]["vqa"].values()) == {2}
    assert found["counts"]["robustness"]["inside_declined"] == 9
    wanted = {"question", "caption", "drawing", "renderer", "picture", "message", "ood_question"}
    assert wanted <= {e["task"] for e in found["examples"]} <= {*wanted, "lost"}


def test_what_a_system_cannot_do_is_not_asked(tmp_path):
    vision = {"kind": "vision", "checkpoint": str(tiny_clip_vision(tmp_path / "vision"))}
    data = {
        "inputs": {"image": {"encoder": vision, "projector": {"kind": "linear"}}},
        "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
    }
    reader = compose(SystemSpec.model_validate(data))
    found = evaluate(
        reader, Sizes(questions=9, captions=2, drawings=2, robustness=0), on_task=lambda task: None
    ).to_dict()
    assert "vqa" in found and "robustness" not in found and not any(name.startswith("drawn") for name in found)
