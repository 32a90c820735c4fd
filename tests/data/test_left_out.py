"""A sample that cannot be read is replaced, written down, and in too large a number the end of the run."""

import pytest

from modalink.data.sources.pairs import PairsConfig
from modalink.errors import DataError
from tests.support.numbered import NumbersConfig, loader, run


def test_skipped_samples_are_replaced_and_written_down(prepare, ledger):
    configs = [NumbersConfig(path="a", size=10, bad=(2, 5))]
    batches = run(loader(configs, prepare, ledger, batch=4), 4)
    assert sorted(name for batch in batches[:2] for name in batch) == [f"a{i}" for i in range(10) if i not in (2, 5)]
    assert all(len(batch) == 4 for batch in batches)
    entries = [(entry.sample, entry.reason, entry.detail) for entry in ledger if entry.step < 2]
    assert sorted(entries) == [("a2", "bad_record", "of no use"), ("a5", "bad_record", "of no use")]
    assert ledger.summary()["bad_record"] >= 2


def test_fail_names_the_sample_and_its_source(prepare, ledger):
    configs = [NumbersConfig(path="a", size=10, bad=(2,))]
    with pytest.raises(DataError, match=r"^numbers a: sample a2 is bad \(bad_record\): of no use$"):
        run(loader(configs, prepare, ledger, on_bad="fail"), 3)
    assert ledger.summary() == {}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_source_of_bad_samples_ends_the_run(prepare, ledger, workers, size):
    configs = [NumbersConfig(path="a", size=size, bad=tuple(range(size)))]
    with pytest.raises(DataError, match=rf"numbers a: all its {size} samples are bad; the last was a\d \(bad_record\)"):
        run(loader(configs, prepare, ledger, workers=workers), 1)
    assert {entry.sample for entry in ledger} == {f"a{i}" for i in range(size)}


def test_one_good_sample_in_an_epoch_keeps_the_run_alive(prepare, ledger):
    for good in range(6):
        configs = [NumbersConfig(path="a", size=6, bad=tuple(i for i in range(6) if i != good))]
        assert run(loader(configs, prepare, ledger, batch=2, seed=good), 10) == [[f"a{good}"] * 2] * 10


def test_a_bad_source_among_good_ones_is_not_starved_in_silence(prepare, ledger):
    configs = [NumbersConfig(path="a", size=5), NumbersConfig(path="b", size=5, bad=tuple(range(5)))]
    with pytest.raises(DataError, match=r"numbers b: all its 5 samples are bad"):
        run(loader(configs, prepare, ledger), 20)


def test_a_large_source_of_bad_samples_ends_the_run_early(prepare, ledger, monkeypatch):
    monkeypatch.setattr("modalink.data.loader.MAX_BAD_RUN", 20)
    configs = [NumbersConfig(path="a", size=10**6, bad=tuple(range(10**6)))]
    with pytest.raises(DataError, match="numbers a: 20 in a row of its samples are bad"):
        run(loader(configs, prepare, ledger), 1)


def test_an_empty_source_is_an_error(prepare, ledger):
    with pytest.raises(DataError, match="numbers a: looked for samples; found none"):
        loader([NumbersConfig(size=0)], prepare, ledger)


def test_bad_media_of_every_kind_beside_real_photos(photos, prepare, ledger, write_lines):
    (photos / "truncated.jpg").write_bytes((photos / "china.jpg").read_bytes()[:20_000])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "words.jpg").write_text("these are words")
    (photos / "folder.jpg").mkdir()
    (photos / "huge.pgm").write_bytes(b"P5 30000 30000 255\n\0\0\0")
    good = ["astronaut.png", "coffee.png", "rocket.jpg", "china.jpg", "flower.jpg"]
    bad = {
        "truncated.jpg": "truncated", "empty.jpg": "empty", "words.jpg": "not_an_image", "folder.jpg": "not_a_file",
        "huge.pgm": "too_large", "missing.jpg": "missing", "https://example.com/a.jpg": "remote",
    }  # fmt: skip
    rows = [{"id": name, "image": name, "caption": f"a photo called {name}"} for name in [*good, *bad]]
    write_lines("photos/captions.jsonl", [*rows, {"id": "mute", "image": "rocket.jpg"}, "{broken"])
    config = PairsConfig(path=str(photos), captions="captions.jsonl")
    batches = run(loader([config], prepare, ledger, batch=5, workers=2), 1)
    assert sorted(batches[0]) == sorted(good)
    found = {entry.sample: entry.reason for entry in ledger if entry.step == 0}
    expected = bad | {"mute": "no_caption", f"{photos / 'captions.jsonl'}, line 14": "bad_record"}
    assert found.items() <= expected.items()
    run(loader([config], prepare, ledger, batch=5), 4)
    assert {entry.sample: entry.reason for entry in ledger} == expected
    with pytest.raises(DataError, match=r"pairs .*photos: sample .* is bad"):
        run(loader([config], prepare, ledger, batch=5, on_bad="fail"), 1)
