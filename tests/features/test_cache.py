"""The feature cache: the same answer as without it, never another's, never too large."""

import pytest
import torch
from torch import nn

from modalink.features.cache import FeatureCache, FeatureKey
from modalink.features.disk import DiskFeatures
from modalink.tensor_files import weights_digest


class Counted:
    """Doubles the items at the asked places and remembers which it was asked for."""

    def __init__(self, values):
        self.values = values
        self.asked = []

    def __call__(self, places):
        self.asked.append(places)
        return self.values[places] * 2


def key(**changes):
    parts = {"weights": "w", "settings": {"layer": -2}, "preprocessing": {"size": 4}, "dtype": torch.float32} | changes
    return FeatureKey.of(**parts)


KEY = key()
NAMES = ["aa1", "bb2", "cc3", "dd4"]


def caches(folder):
    disk = DiskFeatures(folder, 10**6)
    return [FeatureCache(), FeatureCache(disk), FeatureCache(disk, memory_bytes=0)]


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_same_answer_as_without_it(tmp_path, kind, dtype):
    compute = Counted(torch.randn(4, 3, 5).to(dtype))
    cache = caches(tmp_path)[kind]
    for _ in range(3):
        features = cache.get(KEY, NAMES, compute)
        assert {feature.dtype for feature in features} == {dtype}
        assert torch.equal(torch.stack(features), compute.values * 2)
    assert compute.asked == [[0], [1], [2], [3]]


def test_only_what_is_missing_is_computed_and_order_is_kept():
    values = torch.randn(6, 2)
    cache = FeatureCache(chunk=2)
    names = ["a", "b", "c", "d", "e", "f"]
    cache.get(KEY, ["b", "e"], lambda places: values[[1, 4]][places])
    compute = Counted(values)
    shuffled = [5, 4, 0, 5, 1, 2]
    compute.values = values[shuffled]
    features = torch.stack(cache.get(KEY, [names[i] for i in shuffled], compute))
    assert compute.asked == [[0, 2], [5, 5]]  # f and a, then c, again c to fill the chunk
    assert torch.equal(features[[0, 2, 3, 5]], values[[5, 0, 5, 2]] * 2)
    assert torch.equal(features[[1, 4]], values[[4, 1]])


def test_items_of_different_lengths_are_never_computed_together():
    rows = [torch.ones(n, 2) for n in (1, 2, 1, 1, 2)]
    asked = []

    def compute(places):
        asked.append(places)
        return [rows[i] for i in places]

    found = FeatureCache(chunk=2).get(KEY, [f"n{i}" for i in range(5)], compute, [len(row) for row in rows])
    assert asked == [[0, 2], [3, 3], [1, 4]]
    assert [len(feature) for feature in found] == [1, 2, 1, 1, 2]


def test_what_is_held_is_known_without_reading_it(tmp_path):
    for cache in caches(tmp_path):
        cache.get(KEY, ["aa"], lambda places: torch.ones(1, 2))
        assert cache.holds(KEY, "aa") and not cache.holds(KEY, "bb") and not cache.holds(key(weights="v"), "aa")


def test_every_chunk_has_the_same_shape():
    compute = Counted(torch.randn(11, 2))
    FeatureCache(chunk=4).get(KEY, [f"n{i}" for i in range(11)], compute)
    assert [len(places) for places in compute.asked] == [4, 4, 4]
    assert compute.asked[2] == [8, 9, 10, 8]


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "v"},
        {"settings": {"layer": -1}},
        {"settings": {}},
        {"preprocessing": {"size": 5}},
        {"preprocessing": {"size": 4, "crop": True}},
        {"dtype": torch.bfloat16},
    ],
)
def test_any_other_key_finds_nothing(tmp_path, changes):
    values = torch.randn(1, 2)
    cache = FeatureCache(DiskFeatures(tmp_path, 10**6))
    cache.get(KEY, ["a"], lambda places: values[places])
    compute = Counted(values)
    assert torch.equal(torch.stack(cache.get(key(**changes), ["a"], compute)), values * 2)
    assert compute.asked == [[0]]


def test_the_order_of_settings_means_nothing():
    assert key(settings={"a": 1, "b": 2}) == key(settings={"b": 2, "a": 1})


def test_keys_of_what_is_no_data_are_refused():
    with pytest.raises(TypeError):
        key(settings={"layer": object()})
    with pytest.raises(ValueError):
        key(settings={"scale": float("nan")})


def test_the_digest_of_weights_sees_every_change():
    def module():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))

    digest = weights_digest(module())
    assert weights_digest(module()) == digest
    changed = [module() for _ in range(4)]
    with torch.no_grad():
        changed[0][0].weight[0, 0] += 1e-7
        changed[1][1].running_mean[1] = 1
        changed[2].bfloat16()
        changed[3].add_module("more", nn.Linear(1, 1))
    digests = {digest, *map(weights_digest, changed), weights_digest(nn.Sequential(module()))}
    assert len(digests) == 6


def test_memory_stays_within_its_limit():
    values = torch.randn(10, 25)  # 100 bytes each, in 128
    cache = FeatureCache(memory_bytes=450, chunk=1)
    names = [f"n{i}" for i in range(10)]
    compute = Counted(values)
    for _ in range(2):
        assert torch.equal(torch.stack(cache.get(KEY, names, compute)), values * 2)
    assert compute.asked[10:] == [[i] for i in range(3, 10)]  # the first three stay


def test_a_part_kept_does_not_hold_the_whole():
    big = torch.randn(4, 1000)
    cache = FeatureCache(memory_bytes=4032, chunk=4)
    cache.get(KEY, NAMES, lambda places: big[places])
    kept = cache._memory.get(f"{KEY.sha256}/aa1")
    assert kept.untyped_storage().data_ptr() != big.untyped_storage().data_ptr()


def test_features_of_every_kind_lie_side_by_side_in_memory():
    kinds = [torch.float32, torch.bfloat16, torch.int8, torch.bool, torch.float64, torch.complex64]
    values = [torch.arange(float(5 + n)).to(kind) for n, kind in enumerate(kinds)]
    values += [torch.tensor(3.0), torch.ones(2, 0), torch.arange(12.0).view(3, 4).T]
    cache = FeatureCache(chunk=1)
    names = [f"n{i}" for i in range(len(values))]
    cache.get(KEY, names, lambda places: [values[place] for place in places])
    kept = [cache._memory.get(f"{KEY.sha256}/{name}") for name in names]
    for one, value in zip(kept, values, strict=True):
        assert one.dtype == value.dtype and torch.equal(one, value)
        assert one.data_ptr() % 64 == 0
    assert len({one.untyped_storage().data_ptr() for one in kept if one.numel()}) == 1


def test_what_is_larger_than_a_slab_is_kept_in_one_of_its_own(monkeypatch):
    monkeypatch.setattr("modalink.features.cache._SLAB", 128)
    values = [torch.randn(20), torch.randn(500), torch.randn(20)]
    cache = FeatureCache(chunk=1)
    names = ["a", "b", "c"]
    for _ in range(2):
        found = cache.get(KEY, names, lambda places: [values[place] for place in places])
        assert all(map(torch.equal, found, values))
