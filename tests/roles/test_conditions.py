"""A record of named tensors keeps its items together."""

from dataclasses import replace

import pytest
import torch

from modalink.errors import PartError
from modalink.roles import Conditions, ConditionShape

SHAPES = {"words": ConditionShape(4, tokens=3, masked=True), "style": ConditionShape(2)}


def made(items: int = 3, masked: bool = True) -> Conditions:
    """Item i has i + 1 words."""
    tensors = {"words": torch.randn(items, 3, 4), "style": torch.randn(items, 2)}
    there = torch.arange(3) < torch.arange(items)[:, None] + 1
    return Conditions(tensors, {"words": there} if masked else {})


def equal(one: Conditions, other: Conditions) -> bool:
    pairs = [(one[name], other[name]) for name in one.tensors] + [(one.mask("words"), other.mask("words"))]
    return all(torch.equal(*pair) for pair in pairs)


def test_items_are_taken_joined_and_walked_with_all_their_tensors_and_masks() -> None:
    found = made()
    assert len(found) == 3 and found["style"].shape == (3, 2)
    again = found.take([2, 0, 2])
    assert torch.equal(again["words"], found["words"][[2, 0, 2]])
    assert again.mask("words").sum(1).tolist() == [3, 1, 3]
    assert equal(Conditions.cat([*found]), found)
    assert [len(item) for item in found] == [1, 1, 1]


def test_a_sequence_without_a_mask_is_whole_also_beside_one_that_has_one() -> None:
    assert made(masked=False).mask("words").all()
    joined = Conditions.cat([made(2), made(1, masked=False)])
    assert joined.mask("words").sum(1).tolist() == [1, 2, 3]
    assert not Conditions.cat([made(masked=False)] * 2).masks


def test_chosen_items_are_taken_from_another_record() -> None:
    own, nothing = made(), Conditions({"words": torch.zeros(1, 3, 4), "style": torch.zeros(1, 2)})
    chosen = torch.tensor([True, False, True])
    mixed = own.where(chosen, nothing.to(dtype=torch.float64))
    assert mixed["words"].dtype == torch.float32 and not mixed["words"][chosen].any()
    assert torch.equal(mixed["style"][1], own["style"][1]) and not mixed["style"][0].any()
    assert mixed.mask("words").sum(1).tolist() == [3, 2, 3]
    assert not made(masked=False).where(chosen, nothing).masks


def test_they_go_to_a_type_and_a_device_masks_and_whole_numbers_staying_what_they_are() -> None:
    given = Conditions({**made().tensors, "size_px": torch.tensor([[64], [32], [16]])}, made().masks)
    moved = given.to("meta", torch.bfloat16)
    assert moved.device.type == "meta" and moved["style"].dtype == torch.bfloat16
    assert moved["size_px"].dtype == torch.int64 and moved.mask("words").dtype == torch.bool
    assert given["words"].dtype == torch.float32 and given.device.type == "cpu"


def test_a_constant_of_the_request_is_one_more_tensor() -> None:
    found = made()
    known = replace(found, tensors={**found.tensors, "seconds": torch.full((3, 1), 2.5)})
    assert known.take([1])["seconds"].tolist() == [[2.5]]
    with pytest.raises(PartError, match=r"found conditions words 3 x 4, style 2, seconds 1; the generator declares"):
        known.check(SHAPES)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conditions({}), "needed tensors of as many items each"),
        (lambda: Conditions({"a": torch.ones(2, 3), "b": torch.ones(1, 3)}), "{'a': 2, 'b': 1}"),
        (lambda: replace(made(), masks={"words": torch.ones(3, 2).bool()}), r"found a mask \(3, 2\) for \(3, 3, 4\)"),
        (lambda: replace(made(), masks={"word": torch.ones(3, 3).bool()}), "for no condition of the name 'word'"),
        (lambda: made()["pooled"], "found no condition 'pooled'; those that there are: words, style"),
        (lambda: Conditions.cat([made(), Conditions({"words": torch.ones(1, 3, 4)})]), "the same names in all"),
        (lambda: Conditions({"words": torch.ones(1, 3, 4)}).check(SHAPES), "the generator declares words 3 x 4, style"),
        (lambda: made().check({**SHAPES, "words": ConditionShape(4, tokens=3)}), "found masks of words"),
        (lambda: ConditionShape(4, masked=True), "needed tokens that it can leave out"),
        (lambda: ConditionShape(4, tokens=0), "found a condition of 0 x 4"),
    ],
)
def test_what_does_not_fit_together_is_refused(build, message) -> None:
    with pytest.raises(PartError, match=message):
        build()


def test_what_is_declared_fits() -> None:
    for masked in (True, False):
        conditions = made(masked=masked)
        conditions.check(SHAPES)
        assert {name: tuple(conditions[name].shape[1:]) for name in SHAPES} == {n: s.item for n, s in SHAPES.items()}


@pytest.mark.parametrize(("norm", "scale", "length"), [("l2", 1.0, 1.0), ("l2", 768**0.5, 768**0.5), ("rms", 0.5, 2.0)])
def test_vectors_get_the_length_that_their_norm_demands(norm, scale, length) -> None:
    shape = ConditionShape(16, tokens=3, norm=norm, scale=scale)
    values = torch.randn(2, 3, 16, dtype=torch.float64) * 7
    values[0, 1] = 0
    found = shape.normalised(values)
    expected = torch.full((2, 3), length, dtype=torch.float64)
    expected[0, 1] = 0
    torch.testing.assert_close(found.norm(dim=-1), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.cosine_similarity(found, values, dim=-1), (expected > 0).double())
    assert torch.equal(replace(shape, norm=None, scale=1.0).normalised(values), values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "l1"}, "found the norm 'l1'"),
        ({"norm": "l2", "scale": 0.0}, "found the scale 0.0"),
        ({"scale": 2.0}, "found the scale 2.0 and norm None"),
    ],
)
def test_a_norm_that_there_is_not_is_refused(changes, message) -> None:
    with pytest.raises(PartError, match=message):
        ConditionShape(4, **changes)


def test_what_was_made_is_completed_to_the_declared_tokens_with_a_mask() -> None:
    shape, made = ConditionShape(4, tokens=5, masked=True, norm="l2"), torch.randn(2, 3, 4)
    values, mask = shape.completed(made)
    assert mask is not None and mask.tolist() == [[True] * 3 + [False] * 2] * 2
    assert values.shape == (2, 5, 4) and values[:, 3:].abs().max() == 0
    values, mask = shape.completed(made, torch.tensor([[True, False, False], [True, True, True]]))
    assert mask is not None and mask.sum(1).tolist() == [1, 3] and values[0, 1:].abs().max() == 0
    whole, none = ConditionShape(4, tokens=3).completed(made)
    assert none is None and whole is made
    pooled, none = ConditionShape(4).completed(made[:, :1])
    assert none is None and torch.equal(pooled, made[:, 0])
    _, none = replace(shape, tokens=3).completed(made)
    assert none is None, "a sequence that is whole needs no mask"
