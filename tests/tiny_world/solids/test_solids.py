"""Point clouds: where the points lie, splits, and answers that follow from the solids."""

import numpy as np
import pytest

from modalink.tiny_world import SHAPES, SPLITS
from modalink.tiny_world.rendering import RGB
from modalink.tiny_world.solids.bodies import SOLIDS, Bodies, Solid, sample_bodies, split_of
from modalink.tiny_world.solids.language import KINDS, bodies_questions, describe_bodies
from modalink.tiny_world.solids.sculpting import POINTS, RADIUS, sculpt


def _single(solid: str, size: str = "large", pose: str = "straight") -> np.ndarray:
    return sculpt(Bodies((Solid(solid, "red", size, pose, "center"),), noise=1))


@pytest.mark.parametrize("solid", SOLIDS)
def test_a_cloud_has_the_size_and_colour_of_its_solid(solid: str) -> None:
    for size, radius in RADIUS.items():
        cloud = _single(solid, size)
        assert cloud.shape == (POINTS, 6)
        assert cloud.dtype == np.float32
        middle = (cloud[:, :3].max(0) + cloud[:, :3].min(0)) / 2
        reach = np.linalg.norm(cloud[:, :3] - middle, axis=1).max()
        assert 0.75 * radius < reach < 1.45 * radius
        assert np.allclose(cloud[:, 3:].mean(0), np.array(RGB["red"]) / 255, atol=0.02)


def test_points_lie_on_the_surfaces() -> None:
    sphere = _single("sphere")[:, :3]
    distance = np.linalg.norm(sphere - sphere.mean(0), axis=1)
    assert distance.std() < 0.1 * distance.mean()
    cube = _single("cube")[:, :3]
    sides = np.abs(cube - (cube.max(0) + cube.min(0)) / 2) / (np.ptp(cube, axis=0) / 2)
    assert np.all(sides.max(1) > 0.85)
    torus = _single("torus")[:, :3]
    assert np.linalg.norm((torus - torus.mean(0))[:, [0, 2]], axis=1).min() > 0.15
    cone = _single("cone")[:, :3]
    low, high = cone[cone[:, 1] < np.quantile(cone[:, 1], 0.4)], cone[cone[:, 1] > np.quantile(cone[:, 1], 0.9)]
    assert np.ptp(high[:, 0]) < 0.5 * np.ptp(low[:, 0])


def test_what_is_tilted_is_turned_in_the_plane_of_the_picture() -> None:
    straight, tilted = (_single("torus", pose=pose)[:, :2] for pose in ("straight", "tilted"))

    def slope(points: np.ndarray) -> float:
        values, vectors = np.linalg.eigh(np.cov(points.T))
        axis = vectors[:, values.argmax()]
        return abs(float(np.arctan2(axis[1], axis[0])) % np.pi)

    assert min(slope(straight), np.pi - slope(straight)) < 0.2
    assert 0.4 < min(slope(tilted), np.pi - slope(tilted)) < 0.9


def test_two_solids_stand_apart_from_left_to_right_in_the_unit_sphere() -> None:
    for number in range(200):
        bodies = sample_bodies(number, "train")
        cloud = sculpt(bodies)
        assert np.linalg.norm(cloud[:, :3], axis=1).max() < 1.1
        if len(bodies.solids) == 2:
            assert [solid.place for solid in bodies.solids] == ["left", "right"]
            assert (cloud[:, 0] < 0).sum() == pytest.approx(POINTS / 2, abs=POINTS * 0.04)


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_number_is_the_same_cloud(split: str) -> None:
    assert np.array_equal(sculpt(sample_bodies(2, split)), sculpt(sample_bodies(2, split)))


def test_splits_share_pairs_of_attributes_but_no_composition() -> None:
    shown = {body for number in range(3000) for body in sample_bodies(number, "train").solids}
    assert {split_of(body) for body in shown} == {"train"}
    assert len({(body.solid, body.colour) for body in shown}) == 48
    assert len({(body.solid, body.size) for body in shown}) == 12
    for split, other in (("validation", "test"), ("test", "validation")):
        for number in range(200):
            splits = {split_of(body) for body in sample_bodies(number, split).solids}
            assert split in splits
            assert other not in splits


def test_a_solid_knows_the_shape_that_a_picture_of_it_shows() -> None:
    shapes = [Solid(solid, "red", "small", "straight", "center").shape for solid in SOLIDS]
    assert dict(zip(SOLIDS, shapes, strict=True)) | {} == {
        "sphere": "circle", "cube": "square", "cone": "triangle", "jack": "cross", "torus": "ring", "crown": "star",
    }  # fmt: skip
    assert set(shapes) == set(SHAPES)


def test_the_caption_says_every_attribute_from_left_to_right() -> None:
    left = Solid("cone", "orange", "small", "tilted", "left")
    bodies = Bodies((left, Solid("cube", "blue", "large", "straight", "right")), noise=0)
    assert describe_bodies(bodies) == "a small tilted orange cone on the left, a large straight blue cube on the right"


def test_answers_follow_from_the_solids() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for number in range(400):
        bodies = sample_bodies(number, "train")
        for question in bodies_questions(bodies, rng):
            seen.add(question.kind)
            if question.text == "what color is the solid on the left?":
                assert question.answer == bodies.solids[0].colour
            if question.kind == "pose":
                assert any(solid.solid != "sphere" and solid.pose == question.answer for solid in bodies.solids)
            if question.kind == "existence":
                colour, solid = question.text.rstrip("?").split()[-2:]
                there = any((body.colour, body.solid) == (colour, solid) for body in bodies.solids)
                assert question.answer == ("yes" if there else "no")
            if question.kind == "comparison" and question.text.startswith("what color is the larger one"):
                assert question.answer in {body.colour for body in bodies.solids if body.size == "large"}
    assert seen == set(KINDS)
