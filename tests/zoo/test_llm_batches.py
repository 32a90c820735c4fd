"""What the tiny language model learns from: labels on replies alone, and superposed descriptions that lose nothing."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from modalink import zoo
from modalink.tiny_world import Dialogue, Question, Scene, WorldObject, describe, sample_dialogue, sample_scene
from modalink.tiny_world.dialogues import interview
from modalink.zoo.build.llm import Student, collate, loss
from modalink.zoo.build.superposed import LAYOUTS, Slots, lay_out
from modalink.zoo.build.targets import OBJECT_WIDTH

_SCENE = Scene(
    (WorldObject("circle", "red", "large", "top left"), WorldObject("star", "blue", "small", "center")), background=0
)
_TALK = Dialogue("questions", (("what color is the star?", "blue"), ("hi", "hello!")), _SCENE, describe(_SCENE))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(zoo.path("llm"))


def test_a_batch_holds_the_text_of_the_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = np.random.default_rng(0)
    talks = [sample_dialogue("train", rng) for _ in range(20)]
    batch = collate(talks, tokenizer, rng)
    for row, talk in zip(batch.ids, talks, strict=True):
        text = tokenizer.apply_chat_template(talk.messages(), tokenize=False)
        whole = tokenizer(text).input_ids
        assert row[: len(whole)].tolist() == whole
        assert set(row[len(whole) :].tolist()) <= {tokenizer.pad_token_id}


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
    talks = [_TALK, interview(_SCENE, describe(_SCENE), asked)]
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
        talk = interview(_SCENE, describe(_SCENE), [question])
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
        slots = lay_out(scene, side, rng)
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
