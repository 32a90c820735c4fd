"""The ledger: nothing lost but a torn line, nothing counted twice."""

import json

import pytest

from modalink.errors import CheckpointError
from modalink.runs.ledger import Entry, Ledger


def filled(path):
    ledger = Ledger(path)
    for step, reason in [(0, "truncated"), (0, "missing"), (2, "missing"), (5, "text_cut")]:
        ledger.add(step, f"sample {step}", reason, "what was found")
    return ledger


def test_lines_are_json(tmp_path):
    ledger = filled(tmp_path / "stage" / "ledger.jsonl")
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert lines[2] == {"step": 2, "sample": "sample 2", "reason": "missing", "detail": "what was found"}
    assert ledger.summary() == {"missing": 2, "truncated": 1, "text_cut": 1}
    assert next(iter(ledger)) == Entry(0, "sample 0", "truncated", "what was found")


def test_opened_again_it_knows_what_it_holds(tmp_path):
    filled(tmp_path / "l")
    again = Ledger(tmp_path / "l")
    assert again.summary() == {"missing": 2, "truncated": 1, "text_cut": 1}
    again.add(6, "x", "missing", "")
    assert (again.summary()["missing"], len(list(again))) == (3, 5)


def test_lines_of_unfinished_steps_are_dropped(tmp_path):
    for steps, left in {0: 0, 1: 2, 2: 2, 3: 3, 5: 3, 6: 4, 100: 4}.items():
        path = tmp_path / f"l{steps}"
        filled(path)
        again = Ledger(path)
        again.truncate(steps)
        assert sum(again.summary().values()) == left == len(list(again))
        assert sum(Ledger(path).summary().values()) == left
        again.add(steps, "next", "missing", "")
        assert len(list(Ledger(path))) == left + 1


def test_done_again_nothing_counts_twice(tmp_path):
    ledger = filled(tmp_path / "l")
    once = ledger.path.read_bytes()
    ledger.truncate(2)
    ledger.add(2, "sample 2", "missing", "what was found")
    ledger.add(5, "sample 5", "text_cut", "what was found")
    assert ledger.path.read_bytes() == once


def test_torn_at_every_byte_of_the_last_line(tmp_path):
    whole = filled(tmp_path / "whole").path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole)):
        path = tmp_path / "torn"
        path.write_bytes(whole[:end])
        ledger = Ledger(path)
        assert ledger.summary() == {"missing": 2, "truncated": 1}
        ledger.add(5, "sample 5", "text_cut", "what was found")
        assert path.read_bytes() == whole


def test_zeros_after_a_power_cut(tmp_path):
    path = filled(tmp_path / "l").path
    path.write_bytes(path.read_bytes() + b"\0" * 300)
    assert len(list(Ledger(path))) == 4
    assert b"\0" not in path.read_bytes()


def test_any_text_fits_in_a_line(tmp_path):
    ledger = Ledger(tmp_path / "l")
    odd = ['two\nlines\r\n"quoted"', "ü 猫 🦊", "lone \udc80 surrogate", "\0"]
    for text in odd:
        ledger.add(0, text, "missing", text)
    assert [entry.sample for entry in Ledger(tmp_path / "l")] == odd


def test_a_ledger_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"ledger\.jsonl: cannot be written .*the file .*/file is in the way"):
        Ledger(tmp_path / "file" / "ledger.jsonl")
    ledger = Ledger(tmp_path / "folder" / "ledger.jsonl")
    ledger.path.parent.rmdir()
    with pytest.raises(CheckpointError, match=r"cannot be written .*folder is gone, removed or renamed"):
        ledger.add(0, "a", "missing", "")
