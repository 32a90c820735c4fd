"""Pictures: determinism, objects where the scene says, shapes and sizes that differ to the eye."""

import itertools

import numpy as np
import pytest

from modalink.tiny_world import CELLS, SHAPES, Scene, WorldObject, object_mask, render, sample_scene


def _alone(shape: str, size: str = "large", cell: str = "center", colour: str = "white") -> Scene:
    return Scene((WorldObject(shape, colour, size, cell),), background=5)


def test_the_same_scene_is_the_same_picture_clean_or_shaky() -> None:
    scene = sample_scene(3, "train")
    assert np.array_equal(render(scene), render(scene))
    assert np.array_equal(render(scene, augment_seed=1), render(scene, augment_seed=1))
    assert not np.array_equal(render(scene, augment_seed=1), render(scene, augment_seed=2))
    assert not np.array_equal(render(scene), render(scene, augment_seed=1))


@pytest.mark.parametrize("cell", CELLS)
def test_an_object_lies_in_its_cell(cell: str) -> None:
    mask = object_mask(_alone("circle", cell=cell))
    rows, columns = np.nonzero(mask > 0.5)
    row, column = divmod(CELLS.index(cell), 3)
    assert abs(rows.mean() + 0.5 - (row + 0.5) * 64 / 3) < 1.5
    assert abs(columns.mean() + 0.5 - (column + 0.5) * 64 / 3) < 1.5


def test_objects_stand_out_from_the_background() -> None:
    for seed in range(100):
        scene = sample_scene(seed, "train")
        picture, mask = render(scene).astype(float), object_mask(scene)
        inside, outside = picture[mask > 0.95], picture[mask == 0].mean(0)
        assert np.abs(inside - outside).max(1).min() > 40


@pytest.mark.parametrize("size", ["small", "large"])
def test_any_two_shapes_differ_in_many_pixels(size: str) -> None:
    masks = {shape: object_mask(_alone(shape, size)) for shape in SHAPES}
    for one, other in itertools.combinations(SHAPES, 2):
        union = np.maximum(masks[one], masks[other]).sum()
        assert np.abs(masks[one] - masks[other]).sum() > 0.12 * union, (one, other)


def test_a_large_object_covers_twice_a_small_one() -> None:
    for shape in SHAPES:
        assert object_mask(_alone(shape, "large")).sum() > 2 * object_mask(_alone(shape, "small")).sum()


def test_a_ring_is_open_and_a_cross_has_bare_corners() -> None:
    middle = np.s_[31:33, 31:33]
    assert object_mask(_alone("ring"))[middle].max() < 0.5
    assert object_mask(_alone("circle"))[middle].min() == 1
    corner = np.s_[25:27, 25:27]
    assert object_mask(_alone("cross"))[corner].max() == 0
    assert object_mask(_alone("square"))[corner].min() == 1
