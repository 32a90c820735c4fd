import pytest
import torch

from modalink.errors import DataError, PartError
from modalink.model.collating import collate
from modalink.model.items import Item
from modalink.model.prepared import IGNORED, Prepared
from modalink.ragged import Layout

A = Prepared("a", [1, 2, 3], [1, IGNORED, 3])
B = Prepared("b", [4, 5, 6, 7], [IGNORED, IGNORED, 6, 7])


def test_packed_rows_stand_one_after_the_other_with_their_own_positions():
    batch = collate([A, B], packed=True, pad_id=0)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert batch.attention_mask.flatten().tolist() == [0, 3, 7]
    assert batch.samples == ["a", "b"]


def test_padded_rows_are_filled_on_the_right():
    batch = collate([A, B], packed=False, pad_id=9)
    assert batch.input_ids.tolist() == [[1, 2, 3, 9], [4, 5, 6, 7]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.labels.tolist() == [[IGNORED, IGNORED, 3, IGNORED], [IGNORED, IGNORED, 6, 7]]


@pytest.mark.parametrize("packed", [True, False])
def test_logits_are_wanted_one_place_before_each_label_and_never_across_samples(packed):
    batch = collate([A, B], packed=packed, pad_id=0)
    assert batch.wanted.tolist() == [3, 6, 7]
    ids = batch.input_ids[0] if packed else batch.input_ids
    assert ids[batch.predicting].tolist() == [2, 5, 6]
    assert batch.label_count == 3


def test_a_first_token_with_a_label_is_not_predicted_by_the_sample_before():
    batch = collate([A, Prepared("c", [8, 9], [8, 9])], packed=True, pad_id=0)
    assert batch.wanted.tolist() == [3, 9]


def test_an_encoder_decoder_predicts_labels_where_they_stand():
    samples = [Prepared("a", [1, 2, 3], [7, 8]), Prepared("b", [4], [9])]
    batch = collate(samples, packed=False, pad_id=0, encoder_decoder=True)
    assert batch.wanted.tolist() == [7, 8, 9]
    assert batch.predicting.tolist() == [[True, True], [True, False]]
    assert "position_ids" not in batch.inputs()


def test_items_are_stacked_in_reading_order_and_targets_know_their_sample():
    def item(value):
        return Item.of(torch.full((1, 1, 2), value), tokens=1, caption=f"caption {value}")

    first = Prepared("a", [1], [1], media={"image": [item(1.0), item(2.0)]})
    second = Prepared("b", [2], [2], media={"image": [item(3.0)]}, targets={"image": [item(4.0)]})
    batch = collate([first, second], packed=True, pad_id=0)
    assert batch.media["image"].values[:, 0, 0].tolist() == [1.0, 2.0, 3.0]
    assert batch.targets["image"].samples == [1]
    assert batch.targets["image"].captions == ["caption 4.0"]
    assert batch.inputs()["pixel_values"].shape == (3, 1, 2)


def test_the_digest_depends_on_values_shape_and_type():
    values = torch.arange(4.0)
    digests = {
        Item.of(values).digest,
        Item.of(values + 1).digest,
        Item.of(values.view(2, 2)).digest,
        Item.of(values.to(torch.float64)).digest,
        Item.of(values.to(torch.bfloat16)).digest,
    }
    assert len(digests) == 5
    assert Item.of(values.clone()).digest == Item.of(values).digest


def test_items_of_different_shapes_are_refused_with_both_shapes():
    def sample(name, size):
        return Prepared(name, [1], [1], media={"image": [Item.of(torch.zeros(1, size))]})

    batch = collate([sample("a", 2), sample("b", 3)], packed=True, pad_id=0)
    with pytest.raises(PartError, match=r"\(2,\), \(3,\)"):
        batch.inputs()


@pytest.mark.parametrize("packed", [True, False])
def test_the_places_of_items_and_signals_are_those_of_the_batch(packed):
    """Sample a has an item of two tokens at 1 and 2, b one of one token at 0 and signal tokens at 1 and 2."""
    a = Prepared("a", [1, 9, 9], [1, 1, 1], media={"image": [Item.of(torch.zeros(1, 2))]}, places={"image": [[1, 2]]})
    more = {"places": {"image": [[0]]}, "signals": {"image": [[1, 2]]}}
    b = Prepared("b", [9, 7, 8, 2], [1] * 4, media={"image": [Item.of(torch.zeros(1, 2), Layout(1, (1,)))]}, **more)
    batch = collate([a, b], packed=packed, pad_id=0)
    places, signals = batch.places["image"], batch.signals["image"]
    assert batch.input_ids.flatten()[places.index].tolist() == [9, 9, 9]
    assert batch.input_ids.flatten()[signals.index].tolist() == [7, 8]
    assert (places.lengths, places.samples, signals.samples) == ((2, 1), ("a", "b"), ("b",))


def test_an_empty_batch_is_refused():
    with pytest.raises(DataError, match="at least one"):
        collate([], packed=True, pad_id=0)
