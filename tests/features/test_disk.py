"""Features on disk: whole or absent, within the budget, shared."""

import os
import shutil

import pytest
import torch

from modalink.features.disk import DiskFeatures

KEY = "key"
VALUES = torch.randn(12, 256, generator=torch.Generator().manual_seed(0))  # 1 KiB each


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.pack"))


def fill(disk, numbers, key=KEY):
    for number in numbers:
        disk.put(key, str(number), VALUES[number])
    disk.flush()


def held(disk, key=KEY):
    return [number for number in range(len(VALUES)) if disk.contains(key, str(number))]


def grow_old(folder):
    for number, path in enumerate(sorted(folder.rglob("*.pack"), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (1000 + number, 1000 + number))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4)])
def test_what_is_put_is_got_by_a_later_run(tmp_path, dtype, shape):
    feature = (torch.randn(shape) * 5).to(dtype)
    disk = DiskFeatures(tmp_path, 10**6)
    disk.put(KEY, "a", feature)
    assert torch.equal(disk.get(KEY, "a"), feature)  # it waits to be written
    disk.flush()
    found = DiskFeatures(tmp_path, 10**6).get(KEY, "a")
    assert found.dtype == dtype and torch.equal(found, feature)


def test_nothing_else_is_got(tmp_path):
    fill(DiskFeatures(tmp_path, 10**6, "one"), [0])
    assert DiskFeatures(tmp_path, 10**6, "one").contains(KEY, "0")
    disk = DiskFeatures(tmp_path, 10**6, "one")
    assert disk.get(KEY, "1") is disk.get("other", "0") is None
    assert DiskFeatures(tmp_path, 10**6, "other machine").get(KEY, "0") is None


def test_a_part_of_a_tensor_and_a_transposed_one_are_kept_as_they_look(tmp_path):
    disk = DiskFeatures(tmp_path, 10**6)
    disk.put(KEY, "a", VALUES[:, 3])
    disk.put(KEY, "b", VALUES[:2].T)
    disk.flush()
    assert torch.equal(disk.get(KEY, "a"), VALUES[:, 3]) and torch.equal(disk.get(KEY, "b"), VALUES[:2].T)


@pytest.mark.parametrize("harm", ["empty", "cut", "flipped", "torn index", "no index"])
def test_what_is_harmed_is_not_got_and_can_be_put_again(tmp_path, harm):
    fill(DiskFeatures(tmp_path, 10**6), [0, 1])
    pack, index = next(tmp_path.rglob("*.pack")), next(tmp_path.rglob("*.jsonl"))
    data = pack.read_bytes()
    if harm.endswith("index"):
        index.write_bytes(index.read_bytes()[:-9] if harm == "torn index" else b"")
    else:
        pack.write_bytes({"empty": b"", "cut": data[:-9], "flipped": data[:-1] + bytes([data[-1] ^ 1])}[harm])
    disk = DiskFeatures(tmp_path, 10**6)
    assert disk.get(KEY, "1") is None
    whole = disk.get(KEY, "0")
    assert (whole is None) == (harm in ("empty", "no index"))
    assert whole is None or torch.equal(whole, VALUES[0])
    fill(disk, [1])
    assert torch.equal(disk.get(KEY, "1"), VALUES[1])


def test_of_two_places_the_whole_one_is_taken_whichever_is_read_first(tmp_path):
    for number in range(4):
        disk = DiskFeatures(tmp_path, 10**6)
        assert disk.get(KEY, "0") is None
        fill(disk, [0])
        if number < 3:
            pack = next(pack for pack in tmp_path.rglob("*.pack") if any(pack.read_bytes()))
            pack.write_bytes(bytes(pack.stat().st_size))
    assert torch.equal(DiskFeatures(tmp_path, 10**6).get(KEY, "0"), VALUES[0])


def test_damage_is_told(tmp_path, caplog):
    fill(DiskFeatures(tmp_path, 10**6), [0])
    pack = next(tmp_path.rglob("*.pack"))
    pack.write_bytes(b"x" * pack.stat().st_size)
    assert DiskFeatures(tmp_path, 10**6).get(KEY, "0") is None
    assert "corrupt and is made anew" in caplog.text


def test_a_full_folder_keeps_what_is_used_and_takes_nothing_new(tmp_path):
    disk = DiskFeatures(tmp_path, 4 * 1024)
    fill(disk, range(12))
    assert held(disk) == [0, 1, 2, 3]
    assert size(tmp_path) == 4 * 1024


def test_a_later_run_throws_out_what_was_not_used_for_longest(tmp_path):
    fill(DiskFeatures(tmp_path, 4 * 1024), range(4))
    grow_old(tmp_path)
    disk = DiskFeatures(tmp_path, 4 * 1024)
    assert torch.equal(disk.get(KEY, "0"), VALUES[0])  # used again: it stays
    fill(disk, range(4, 12))
    assert size(tmp_path) == 4 * 1024
    assert held(DiskFeatures(tmp_path, 4 * 1024)) == [0, 4, 5, 6]
    assert disk.get(KEY, "1") is None  # it is gone, and nothing breaks


def test_many_small_features_share_a_file(tmp_path):
    fill(DiskFeatures(tmp_path, 10**6), range(12))
    assert len(list(tmp_path.rglob("*.pack"))) == 1
    fill(DiskFeatures(tmp_path / "small", 16 * 5 * 1024), range(12))  # a pack holds five
    assert sorted(path.stat().st_size for path in (tmp_path / "small").rglob("*.pack")) == [2048, 5120, 5120]


def test_packs_that_are_being_filled_count_as_full(tmp_path):
    disk = DiskFeatures(tmp_path, 32 * 1024)  # sixteen packs of two
    for number in range(12):
        fill(disk, [number], key=f"key {number}")
    fill(disk, range(12))
    assert len(held(disk)) == 8


def test_processes_see_what_others_add(tmp_path):
    one, other = DiskFeatures(tmp_path, 10**6), DiskFeatures(tmp_path, 10**6)
    fill(one, [0])
    fill(other, [1])
    assert held(one) == held(other) == [0, 1]
    fill(one, [2])
    assert torch.equal(other.get(KEY, "2"), VALUES[2])
    shutil.rmtree(tmp_path / "any")
    assert torch.equal(other.get(KEY, "2"), VALUES[2])  # what is mapped stays
    assert one.get(KEY, "2") is None
    fill(one, [2])
    assert torch.equal(one.get(KEY, "2"), VALUES[2])


def test_packs_are_mapped_and_grow_under_their_readers(tmp_path):
    writer, reader = DiskFeatures(tmp_path, 10**6), DiskFeatures(tmp_path, 10**6)
    fill(writer, [0])
    first = reader.get(KEY, "0")
    fill(writer, [1, 2])
    assert torch.equal(reader.get(KEY, "2"), VALUES[2]) and torch.equal(first, VALUES[0])
    assert reader.get(KEY, "2").data_ptr() == reader.get(KEY, "2").data_ptr()  # read, checked and copied by nobody
    first.zero_()
    assert torch.equal(DiskFeatures(tmp_path, 10**6).get(KEY, "0"), VALUES[0])  # whose values change changes no file


def test_no_more_packs_are_mapped_than_a_process_may(tmp_path, monkeypatch):
    monkeypatch.setattr("modalink.features.disk._MAPPED", 2)
    fill(DiskFeatures(tmp_path, 16 * 1024), range(12))  # a pack each
    disk = DiskFeatures(tmp_path, 16 * 1024)
    for _ in range(2):
        assert all(torch.equal(disk.get(KEY, str(number)), VALUES[number]) for number in range(12))
    assert len(disk._maps) == 2


def test_why_nothing_more_is_taken_is_known(tmp_path):
    disk = DiskFeatures(tmp_path, 4 * 1024)
    fill(disk, range(4))
    assert not disk.refusal
    fill(disk, [4])
    assert disk.refusal == "it is full at 4,096 bytes, and all there is in use"


def test_a_full_disk_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modalink.files.append", full)
    disk = DiskFeatures(tmp_path, 10**6)
    fill(disk, range(4))
    assert held(disk) == []
    assert caplog.text.count("No space left on device") == 1


def test_a_folder_that_cannot_be_made_does_not_stop_the_run(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    disk = DiskFeatures(tmp_path / "file" / "features", 10**6)
    fill(disk, range(4))
    assert disk.get(KEY, "0") is None
    assert caplog.text.count("features are not kept in") == 1


def test_what_waits_is_written_when_there_is_enough_of_it(tmp_path):
    disk = DiskFeatures(tmp_path, 10**6)
    for number in range(300):
        disk.put(KEY, f"n{number}", VALUES[0])
    assert size(tmp_path) == 244 * 1024  # 61 at a time are as much as a pack holds, 56 wait
    assert all(disk.contains(KEY, f"n{number}") for number in range(300))
