"""Scenes: determinism, and splits that share pairs of attributes but no composition."""

import pytest

from modalink.tiny_world import CELLS, COLOURS, SHAPES, SIZES, SPLITS, WorldObject, sample_scene, split_of


def _compositions(split: str, count: int) -> set[tuple[str, str, str]]:
    scenes = (sample_scene(seed, split) for seed in range(count))
    return {(item.shape, item.colour, item.cell) for scene in scenes for item in scene.objects}


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_number_is_the_same_scene(split: str) -> None:
    assert [sample_scene(i, split) for i in range(50)] == [sample_scene(i, split) for i in range(50)]
    assert sample_scene(0, split) != sample_scene(1, split)


def test_splits_draw_different_scenes_from_one_number() -> None:
    assert len({sample_scene(7, split) for split in SPLITS}) == len(SPLITS)


def test_scenes_hold_one_to_three_objects_in_reading_order_in_cells_of_their_own() -> None:
    counts = set()
    for seed in range(300):
        places = [CELLS.index(item.cell) for item in sample_scene(seed, "train").objects]
        assert places == sorted(set(places))
        counts.add(len(places))
    assert counts == {1, 2, 3}


def test_training_never_shows_a_held_out_composition() -> None:
    triples = [WorldObject(s, c, "small", cell) for s in SHAPES for c in COLOURS for cell in CELLS]
    held_out = {(o.shape, o.colour, o.cell) for o in triples if split_of(o) != "train"}
    assert len(held_out) == 2 * len(SHAPES) * len(COLOURS)
    assert not _compositions("train", 6000) & held_out


def test_every_held_out_scene_shows_a_composition_of_its_split_and_none_of_the_other() -> None:
    for split, other in (("validation", "test"), ("test", "validation")):
        for seed in range(300):
            classes = {split_of(item) for item in sample_scene(seed, split).objects}
            assert split in classes
            assert other not in classes


def test_every_pair_of_attributes_is_seen_in_training() -> None:
    items = [item for seed in range(8000) for item in sample_scene(seed, "train").objects]
    assert {(o.shape, o.colour) for o in items} == {(s, c) for s in SHAPES for c in COLOURS}
    assert {(o.shape, o.cell) for o in items} == {(s, c) for s in SHAPES for c in CELLS}
    assert {(o.colour, o.cell) for o in items} == {(s, c) for s in COLOURS for c in CELLS}
    assert {(o.size, o.shape) for o in items} == {(s, c) for s in SIZES for c in SHAPES}


def test_an_unknown_split_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'dev'.*train, validation, test"):
        sample_scene(0, "dev")
