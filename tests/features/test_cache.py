"""The feature cache: the same answer as without it, never another's, never too large."""

import time

import pytest
import torch
from torch import nn

from modalink.features.cache import FeatureCache, FeatureKey, weights_digest


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
    return [FeatureCache(chunk=1), FeatureCache(folder, chunk=1), FeatureCache(folder, memory_bytes=0, chunk=1)]


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
    cache = FeatureCache(tmp_path, chunk=1)
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


def files(folder):
    return sorted(folder.rglob("*.safetensors"))


@pytest.mark.parametrize("harm", ["empty", "cut", "flipped", "swapped"])
def test_a_corrupt_file_is_computed_again(tmp_path, harm, caplog):
    values = torch.randn(2, 64)
    FeatureCache(tmp_path, chunk=1).get(KEY, ["aa", "bb"], lambda places: values[places])
    first, second = files(tmp_path)
    data = first.read_bytes()
    flipped = data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]
    first.write_bytes({"empty": b"", "cut": data[:-9], "flipped": flipped, "swapped": second.read_bytes()}[harm])
    compute = Counted(values)
    cache = FeatureCache(tmp_path, memory_bytes=0, chunk=1)
    features = torch.stack(cache.get(KEY, ["aa", "bb"], compute))
    assert compute.asked == [[0]]
    assert torch.equal(features, torch.stack([values[0] * 2, values[1]]))
    assert ("corrupt" in caplog.text) == (harm in ("flipped", "swapped"))
    assert torch.equal(torch.stack(cache.get(KEY, ["aa"], compute)), values[:1] * 2)  # the file is whole again
    assert len(compute.asked) == 1


def test_memory_stays_within_its_limit():
    values = torch.randn(10, 25)  # 100 bytes each
    cache = FeatureCache(memory_bytes=350, chunk=1)
    names = [f"n{i}" for i in range(10)]
    compute = Counted(values)
    for _ in range(2):
        assert torch.equal(torch.stack(cache.get(KEY, names, compute)), values * 2)
    assert compute.asked[10:] == [[i] for i in range(3, 10)]  # the first three stay


def test_a_part_kept_does_not_hold_the_whole():
    big = torch.randn(4, 1000)
    cache = FeatureCache(memory_bytes=4000, chunk=4)
    cache.get(KEY, NAMES, lambda places: big[places])
    kept = cache._memory.get(f"{KEY.sha256}/aa1")
    assert kept.untyped_storage().nbytes() == 4000


def test_disk_stays_within_its_limit_and_new_runs_replace_old_features(tmp_path):
    values = torch.randn(10, 1000)  # about 4,200 bytes a file
    limit = 4 * 4600
    names = [f"n{i}" for i in range(10)]
    FeatureCache(tmp_path, disk_bytes=limit, chunk=1).get(KEY, names, lambda places: values[places])
    kept = [path.stem for path in files(tmp_path)]
    assert kept == ["n0", "n1", "n2", "n3"]
    time.sleep(0.02)
    again = FeatureCache(tmp_path, disk_bytes=limit, memory_bytes=0, chunk=1)
    again.get(KEY, ["n1"], lambda places: pytest.fail("n1 is on disk"))
    again.get(key(weights="other"), names, lambda places: values[places])
    assert sum(path.stat().st_size for path in files(tmp_path)) <= limit
    left = {(path.parts[-3] == KEY.sha256, path.stem) for path in files(tmp_path)}
    assert left == {(True, "n1"), (False, "n0"), (False, "n1"), (False, "n2")}


def test_no_half_written_file_is_left(tmp_path):
    FeatureCache(tmp_path, chunk=1).get(KEY, NAMES, lambda places: torch.ones(len(places), 2))
    assert all(path.suffix == ".safetensors" for path in tmp_path.rglob("*") if path.is_file())


def test_a_full_disk_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modalink.tensor_files.save", full)
    values = torch.randn(4, 2)
    cache = FeatureCache(tmp_path, chunk=1)
    assert torch.equal(torch.stack(cache.get(KEY, NAMES, lambda places: values[places])), values)
    assert caplog.text.count("No space left on device") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_two_processes_may_share_a_folder(tmp_path):
    values = torch.randn(1, 2)
    one, other = FeatureCache(tmp_path, chunk=1), FeatureCache(tmp_path, memory_bytes=0, chunk=1)
    one.get(KEY, ["aa"], lambda places: values[places])
    assert torch.equal(torch.stack(other.get(KEY, ["aa"], lambda places: pytest.fail("it is on disk"))), values)
    files(tmp_path)[0].unlink()
    assert torch.equal(torch.stack(other.get(KEY, ["aa"], lambda places: values[places])), values)
