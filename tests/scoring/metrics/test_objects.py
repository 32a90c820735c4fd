"""GenEval's rules, on boxes that can be drawn by hand."""

import pytest

from modalink.scoring.metrics.objects import Detected, Wanted, complaint, kept, positions


@pytest.mark.parametrize(
    ("box", "other", "relations"),
    [
        ((0, 0, 10, 10), (20, 0, 30, 10), ("left of",)),
        ((20, 0, 30, 10), (0, 0, 10, 10), ("right of",)),
        ((0, 0, 10, 10), (0, 20, 10, 30), ("above",)),
        ((0, 20, 10, 30), (0, 0, 10, 10), ("below",)),
        ((0, 0, 10, 10), (40, 40, 50, 50), ("left of", "above")),
        ((0, 0, 10, 10), (1, 1, 11, 11), ()),  # a tenth of both widths together is 2: they lie on each other
        ((0, 0, 10, 10), (0, 0, 10, 10), ()),
    ],
)
def test_positions_of_boxes(box, other, relations):
    assert positions(tuple(map(float, box)), tuple(map(float, other))) == relations


def test_a_larger_threshold_asks_for_more_distance():
    box, other = (0.0, 0.0, 10.0, 10.0), (8.0, 0.0, 18.0, 10.0)
    assert positions(box, other) == ("left of",)
    assert positions(box, other, threshold=0.4) == ()


def found(**objects):
    return {
        name: [Detected(tuple(map(float, box)), 0.9, colour) for box, colour in boxes]
        for name, boxes in objects.items()
    }


def test_counts():
    two = found(dog=[((0, 0, 1, 1), ""), ((2, 0, 3, 1), "")])
    assert complaint(two, [Wanted("dog", 2)], [Wanted("dog", 3)]) == ""
    assert complaint(two, [Wanted("dog", 1)], [Wanted("dog", 2)]) == "expected fewer than 2 dog, found 2"
    assert complaint(two, [Wanted("dog", 3), Wanted("cat")]) == "expected 3 dog, found 2; expected 1 cat, found 0"


def test_colours_of_the_surest_objects_count():
    dogs = found(dog=[((0, 0, 1, 1), "red"), ((2, 0, 3, 1), "blue")])
    assert complaint(dogs, [Wanted("dog", 1, "red")]) == ""
    assert complaint(dogs, [Wanted("dog", 1, "blue")]) == "expected 1 blue dog, found red"
    assert complaint(dogs, [Wanted("dog", 2, "red")]) == "expected 2 red dog, found red, blue"


def test_positions_are_of_the_objects_that_were_asked_for():
    both = found(cat=[((0, 0, 10, 10), "")], dog=[((40, 0, 50, 10), "")])
    assert complaint(both, [Wanted("cat"), Wanted("dog", position=("right of", 0))]) == ""
    reversed_ = complaint(both, [Wanted("cat"), Wanted("dog", position=("left of", 0))])
    assert reversed_ == "expected dog left of the other, found it right of"
    assert "found nothing for dog to be left of" in complaint(
        found(dog=[((0, 0, 1, 1), "")]), [Wanted("cat"), Wanted("dog", position=("left of", 0))]
    )


def test_only_the_surest_objects_are_kept():
    objects = [Detected((0.0, 0.0, 1.0, 1.0), score) for score in (0.2, 0.95, 0.5, 0.3)]
    assert [one.score for one in kept(objects, 0.3, 16)] == [0.95, 0.5]
    assert [one.score for one in kept(objects, 0.1, 2)] == [0.95, 0.5]
