"""Inception score and CLIPScore where they are known in closed form."""

import numpy as np
import pytest

from modalink.errors import DataError
from modalink.scoring.metrics.clip_score import clip_scores, cosines, ref_clip_scores
from modalink.scoring.metrics.inception import from_logits, inception_score


def test_inception_score_is_one_for_sameness_and_the_class_count_for_variety() -> None:
    assert inception_score(np.full((20, 4), 0.25)) == pytest.approx((1, 0))
    assert inception_score(np.tile(np.eye(4), (10, 1))) == pytest.approx((4, 0))


def test_splits_are_in_order_unless_shuffled() -> None:
    sorted_rows = np.repeat(np.eye(2), 10, axis=0)
    assert inception_score(sorted_rows, splits=2)[0] == pytest.approx(1)
    assert inception_score(sorted_rows, splits=2, seed=2020)[0] > 1.5


def test_logits_are_not_taken_for_probabilities() -> None:
    logits = np.log(np.array([[0.5, 0.5], [0.9, 0.1]]))
    assert from_logits(logits + 7) == pytest.approx(np.array([[0.5, 0.5], [0.9, 0.1]]))
    with pytest.raises(DataError, match="logits"):
        inception_score(np.tile(logits, (5, 1)))
    with pytest.raises(DataError, match="2 samples"):
        inception_score(np.eye(2))


def test_clip_score() -> None:
    images = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    captions = np.array([[3.0, 4.0], [0.0, 1.0], [-1.0, 0.0]])
    assert cosines(images, captions) == pytest.approx([0.6, 0, -1])
    scores = clip_scores(images, captions)
    assert scores == pytest.approx([1.5, 0, 0])
    references = [np.array([[0.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 5.0]]), np.array([[1.0, 0.0]])]
    assert ref_clip_scores(scores, captions, references) == pytest.approx([2 * 1.5 / 2.5, 0, 0])
