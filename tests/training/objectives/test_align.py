"""Distance of conditions to the generator's own."""

from dataclasses import replace

import pytest
import torch

from modalink.errors import TrainingError
from modalink.roles import Conditions
from modalink.training.objectives import Output
from modalink.training.objectives.align import AlignConfig
from modalink.training.objectives.diffusion import DiffusionConfig
from modalink.training.randomness import ItemRngs
from tests.training.objectives.conftest import Tutor, unlearned

RNGS = ItemRngs(0, 0, [0, 1])


def test_its_units_are_the_items_that_have_a_caption(batch) -> None:
    assert AlignConfig().count(batch) == 2


def test_items_without_loss_are_not_compared(batch, tutor, output) -> None:
    marked = unlearned(batch, 0)
    assert AlignConfig().count(marked) == 1
    made = torch.stack([torch.full((2, 4), v) for v in (4.5, 5.0, 99.0)])
    assert AlignConfig().sum(output(made), marked, {"image": tutor}, RNGS) == pytest.approx(2.0**2)


def test_mse_compares_each_captioned_item_with_the_conditions_of_its_caption(batch, tutor, output) -> None:
    made = torch.stack([torch.full((2, 4), v) for v in (4.5, 5.0, 99.0)])
    found = AlignConfig().sum(output(made), batch, {"image": tutor}, RNGS)
    assert found == pytest.approx(0.5**2 + 2.0**2)


def test_cosine_looks_at_directions_only(batch, tutor, output) -> None:
    made = torch.stack([torch.full((2, 4), 40.0), -torch.ones(2, 4), torch.ones(2, 4)])
    found = AlignConfig(distance="cosine").sum(output(made), batch, {"image": tutor}, RNGS)
    assert found == pytest.approx(0.0 + 2.0)


def test_one_condition_too_few_is_an_error_that_names_the_samples(batch, tutor, output) -> None:
    with pytest.raises(TrainingError, match=r"samples a, b: found conditions for 2 image items and 3 targets"):
        AlignConfig().sum(output(torch.ones(2, 2, 4)), batch, {"image": tutor}, RNGS)


class Namer(Tutor):
    """A generator as the objective sees it: of a caption three words, of which it has a third of its letters, and 1."""

    def text_conditions(self, captions: list[str]) -> Conditions:
        there = torch.arange(3) < torch.tensor([len(caption) // 3 for caption in captions])[:, None]
        return Conditions(
            {"words": torch.ones(len(captions), 3, 2), "style": torch.ones(len(captions), 2)}, {"words": there}
        )


@pytest.mark.parametrize(("distance", "expected"), [("mse", (1 + 4) / 2 + (4 + 2) / 2), ("cosine", 0 + (2 + 1) / 2)])
def test_several_conditions_count_alike_and_words_that_are_not_there_count_nothing(batch, distance, expected) -> None:
    words = torch.tensor([[2.0, -99.0, -99.0], [-1.0, -1.0, -99.0], [-99.0] * 3])[..., None].expand(3, 3, 2)
    made = Conditions({"words": words, "style": torch.tensor([[3.0, 3.0], [1.0, -1.0], [-99.0, -99.0]])})
    found = AlignConfig(distance=distance).sum(Output(conditions={"image": made}), batch, {"image": Namer()}, RNGS)
    assert found == pytest.approx(expected)


def test_dropped_items_teach_what_is_made_of_nothing_the_empty_caption(batch, tutor, output) -> None:
    align, diffusion = AlignConfig(condition_dropout=0.5), DiffusionConfig(condition_dropout=0.5)
    made, own = torch.full((3, 2, 4), 4.0, requires_grad=True), torch.full((1, 2, 4), 7.0, requires_grad=True)
    given = replace(output(made), nothing={"image": Conditions({"tokens": own})})
    counts = []
    for step in range(12):
        made.grad, own.grad = None, None
        rngs = ItemRngs(0, step, [0, 1])
        align.sum(given, batch, {"image": tutor}, rngs).backward()
        diffusion.sum(given, batch, {"image": tutor}, rngs)
        drop = (tutor.seen[-1] == 7).all(dim=(1, 2)).tolist()[:2]
        assert ((tutor.seen[-1] == 7) | (tutor.seen[-1] == 4)).all()  # nothing is the generator's own
        counts.append(sum(drop))
        # Its first caption has the distance 0 already.
        assert (made.grad[:2, 0, 0] != 0).tolist() == [False, not drop[1]]
        assert (0.0 if own.grad is None else own.grad.sum().item()) == pytest.approx(sum(drop) * 2 * 7.0)
    assert {0, 1, 2} == {*counts}


def test_dropping_without_anything_made_of_nothing_is_refused(batch, tutor, output) -> None:
    with pytest.raises(TrainingError, match=r"set outputs.image.nothing: zeros, or leave condition_dropout out"):
        AlignConfig(condition_dropout=0.1).sum(output(torch.ones(3, 2, 4)), batch, {"image": tutor}, RNGS)
