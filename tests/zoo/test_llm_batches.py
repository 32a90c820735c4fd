"""What the tiny language model learns from: labels on replies alone, and superposed descriptions that lose nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from modalink import zoo
from modalink.tiny_world import (
    WORLDS,
    Dialogue,
    Question,
    Scene,
    Shown,
    WorldObject,
    describe,
    sample_across,
    sample_dialogue,
    sample_scene,
)
from modalink.tiny_world.clips.actors import Actor, ClipScene
from modalink.tiny_world.dialogues import SUBJECTS, interview
from modalink.tiny_world.solids.bodies import Solid
from modalink.tiny_world.sounds.notes import Note
from modalink.zoo.build.llm_batches import collate
from modalink.zoo.build.llm_student import Student, loss
from modalink.zoo.build.superposed import GROUPS, LAYOUTS, MOMENTS, PATCHES, SLICES, Slots, lay_out
from modalink.zoo.build.targets import NOT_ASKED, OBJECT_WIDTH, ROSTERS, match_targets

_SCENE = Scene(
    (WorldObject("circle", "red", "large", "top left"), WorldObject("star", "blue", "small", "center")), background=0
)
_SHOWN = Shown.of("image", _SCENE)
_TALK = Dialogue("questions", (("what color is the star?", "blue"), ("hi", "hello!")), (_SHOWN,))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(zoo.path("llm"))


def test_a_batch_holds_the_text_of_the_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = np.random.default_rng(0)
    talks = [sample_dialogue("train", rng, subject=subject) for subject in SUBJECTS for _ in range(8)]
    batch = collate(talks, tokenizer, rng)
    for number, talk in enumerate(talks):
        text = tokenizer.apply_chat_template(talk.messages(), tokenize=False)
        assert batch.ids[batch.owners == number].tolist() == tokenizer(text).input_ids
    assert set(batch.ids[batch.owners < 0].tolist()) <= {tokenizer.pad_token_id}
    assert len(batch.ids) < 0.6 * len(talks)


@pytest.mark.parametrize("layout", [0, 4])
def test_dialogues_of_one_batch_do_not_see_each_other(tokenizer: PreTrainedTokenizerFast, layout: int) -> None:
    torch.manual_seed(0)
    student, rng = Student(tokenizer).eval(), np.random.default_rng(0)
    talks = [sample_dialogue("train", rng, "caption", subject) for subject in WORLDS for _ in range(4)]
    together = collate(talks, tokenizer, np.random.default_rng(1), layout)
    embeds = together.slots.fill(student.llm.get_input_embeddings(), together.ids)
    together = replace(together, slots=Given(embeds))
    said = student(together).said
    number_of = together.owners[:, 1:][together.labels[:, 1:] >= 0]
    for number, talk in enumerate(talks):
        own = together.owners == number
        alone = collate([talk], tokenizer, np.random.default_rng(1), layout)
        filled = torch.zeros(1, alone.ids.shape[1], embeds.shape[-1])
        filled[0, : int(own.sum())] = embeds[own]
        assert torch.allclose(student(replace(alone, slots=Given(filled))).said, said[number_of == number], atol=1e-5)


class Given(Slots):
    """Embeddings that are there already: noise is drawn once."""

    def __init__(self, embeds: torch.Tensor) -> None:
        self.embeds = embeds

    def fill(self, _embedding: torch.nn.Module, _ids: torch.Tensor) -> torch.Tensor:
        return self.embeds


def test_only_replies_and_their_ends_are_labelled(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = collate([_TALK], tokenizer, np.random.default_rng(0))
    labelled = batch.labels[0][batch.labels[0] >= 0]
    assert tokenizer.decode(labelled) == "blue<|im_end|>hello!<|im_end|>"
    assert torch.equal(labelled, batch.ids[0][batch.labels[0] >= 0])


def test_the_scene_is_asked_for_where_it_has_been_told(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = collate([_TALK], tokenizer, np.random.default_rng(0))
    told = tokenizer.decode(batch.ids[0][: int(batch.known_at[0]) + 1])
    assert told == f"<|im_start|>user\n{describe(_SCENE)}\n"
    drawing = sample_dialogue("train", np.random.default_rng(0), "drawing")
    batch = collate([drawing], tokenizer, np.random.default_rng(0))
    assert tokenizer.decode(batch.ids[0][: int(batch.known_at[0]) + 1]).endswith(f"{drawing.turns[0][1]}<|im_end|>")


def test_named_objects_are_asked_for_where_their_answers_start(tokenizer: PreTrainedTokenizerFast) -> None:
    circle, star = _SCENE.objects
    asked = [
        Question("count", "how many objects are there?", "two"),
        Question("relation", "is the star above the circle?", "no", (star, circle)),
        Question("colour", "what color is the circle?", "red", (circle,)),
    ]
    talks = [_TALK, interview(_SHOWN, asked)]
    batch = collate(talks, tokenizer, np.random.default_rng(0))
    assert batch.named == [(star, circle), (circle,)]
    ends = [tokenizer.decode(batch.ids.flatten()[at - 12 : at + 2]) for at in batch.asked_at.tolist()]
    assert ends[0].endswith("above the circle?<|im_end|>\n<|im_start|>assistant\nno")
    assert ends[1].endswith("what color is the circle?<|im_end|>\n<|im_start|>assistant\nred")


def test_the_heads_learn_from_what_questions_name_and_skip_those_that_name_nothing(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    circle, star = _SCENE.objects

    def learned(*about: WorldObject) -> tuple[Student, dict[str, float]]:
        student, question = Student(tokenizer), Question("comparison", "do they agree?", "no", about)
        talk = interview(_SHOWN, [question])
        total, metrics = loss(student, collate([talk], tokenizer, np.random.default_rng(0)))
        total.backward()
        return student, metrics

    student, metrics = learned(circle, star)
    assert metrics["found"] > 0.5
    assert metrics["compared"] > 0.1
    assert student.find.weight.grad[OBJECT_WIDTH:].any()
    assert student.compare.weight.grad.any()
    student, metrics = learned(circle)
    assert metrics["compared"] == 0
    assert student.find.weight.grad[:OBJECT_WIDTH].any()
    assert not student.find.weight.grad[OBJECT_WIDTH:].any()
    student, metrics = learned()
    assert metrics.keys() == {"said", "parsed"}
    assert student.find.weight.grad is None


@pytest.mark.parametrize("side", LAYOUTS)
def test_a_superposed_layout_tells_every_object_near_its_cell_and_no_other_word(side: int) -> None:
    rng = np.random.default_rng(0)
    for seed in range(50):
        scene = sample_scene(seed, "train")
        slots = lay_out(Shown.of("image", scene), side, rng)
        assert len(slots) == side * side
        known = {word for o in scene.objects for word in f"{o.size} {o.colour} {o.shape} {o.cell}".split()}
        assert {word for slot in slots for word, _ in slot} <= known | {"nothing"}
        for item in scene.objects:
            told = [i for i, slot in enumerate(slots) if {item.shape, item.colour, item.size} <= {w for w, _ in slot}]
            assert told
            if len(scene.objects) == 1:
                rows, columns = np.divmod(np.array(told), side)
                assert abs(rows.mean() / side - item.row / 3) < 0.34
                assert abs(columns.mean() / side - item.column / 3) < 0.34


def test_a_superposed_position_is_the_weighted_sum_of_its_words(tokenizer: PreTrainedTokenizerFast) -> None:
    embedding = Student(tokenizer).llm.get_input_embeddings()
    slots = Slots(tokenizer)
    slots.add(0, 2, [[("red", 0.5), ("circle", 1.0)], [("nothing", 1.0)]])
    ids = torch.full((1, 5), tokenizer.pad_token_id)
    embeds = slots.fill(embedding, ids)
    red, circle = (embedding.weight[tokenizer.convert_tokens_to_ids(f"Ġ{word}")] for word in ("red", "circle"))
    # Within the noise that training adds to each position.
    assert torch.allclose(embeds[0, 2], 0.5 * red + circle, atol=0.12)
    assert torch.equal(embeds[0, 1], embedding(ids)[0, 1])
    assert not torch.allclose(embeds[0, 3], embedding(ids)[0, 3], atol=0.12)


@pytest.mark.parametrize(
    ("modality", "positions"),
    [("audio", MOMENTS), ("video", SLICES * PATCHES * PATCHES), ("points", GROUPS)],
)
def test_other_things_are_laid_out_as_their_encoders_tokens_and_no_part_is_lost(modality: str, positions: int) -> None:
    rng, world = np.random.default_rng(0), WORLDS[modality]
    for seed in range(60):
        shown = Shown.of(modality, world.sample(seed, "train"))
        slots = lay_out(shown, 8, rng)
        assert len(slots) == positions
        for part in getattr(shown.thing, world.parts):
            words = {word for name in world.attributes for word in getattr(part, name).split()}
            assert any(words <= {word for word, _ in slot} for slot in slots), (part, slots)


def test_a_clips_words_move_with_its_actor() -> None:
    rng = np.random.default_rng(0)
    actor = Actor("square", "red", "large", "rises", "slowly", "center")
    slots = lay_out(Shown.of("video", ClipScene((actor,), background=0)), 8, rng)
    rows = [
        np.mean([i % 16 // PATCHES for i in range(16 * t, 16 * t + 16) if slots[i][0][0] != "nothing"]) for t in (0, 3)
    ]
    assert rows[0] > rows[1]


def test_parts_of_other_things_are_asked_for_where_they_have_been_told_and_where_an_answer_weighs_them(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rng = np.random.default_rng(0)
    talk = sample_across("train", rng, ["fit"])
    batch = collate([talk], tokenizer, rng)
    assert set(batch.told_at) == set(batch.weighed_at) == {"audio", "video"}
    for shown in talk.shown:
        before = tokenizer.decode(batch.ids[0][: int(batch.told_at[shown.modality][0]) + 1])
        assert before.endswith(f"{shown.description}\n")
        parts = getattr(shown.thing, WORLDS[shown.modality].parts)
        assert batch.things[shown.modality] == [shown.thing]
        assert batch.weighed[shown.modality] == [parts]
        targets = ROSTERS[shown.modality].targets([shown.thing])
        assert targets[0, :, 0].tolist() == [1] * len(parts) + [0] * (targets.shape[1] - len(parts))
    student = Student(tokenizer)
    total, metrics = loss(student, batch)
    total.backward()
    assert {"listed_audio", "listed_video", "weighed_audio", "weighed_video"} <= metrics.keys()
    assert student.list["audio"].weight.grad.any()
    assert student.weigh["video"].weight.grad.any()
    assert student.weigh["points"].weight.grad is None
    assert student.match.weight.grad.any()


def test_parts_that_match_across_modalities_are_told_from_those_that_do_not() -> None:
    actors = [
        Actor("square", "red", "large", "rises", "first", "left"), Actor("ring", "red", "small", "blinks", "then", "right")
    ]  # fmt: skip
    rising, steady = (Note("bell", "low", motion, "short", "first") for motion in ("rising", "steady"))
    ring = WorldObject("ring", "red", "large", "top")
    torus = Solid("torus", "blue", "small", "straight", "center")
    asked = [(rising, steady, *actors), (ring, *actors), (ring, WorldObject("ring", "blue", "small", "top"), torus)]
    no = NOT_ASKED
    assert match_targets(asked).tolist() == [
        [[no, no, 1], [no, no, 0]],
        [[0, 1, no], [1, 1, no]],
        [[1, 0, no], [1, 1, no]],
    ]
